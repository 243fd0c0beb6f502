"""Texts to the numbers that MiniLM reads: BERT's uncased WordPiece.

`bert_vocab.txt` is the vocabulary of Google's bert-base-uncased (Apache-2.0), unchanged. The
package `tokenizers` would do the same, but it comes with a client of a model hub.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib.resources import files

from agno_portkey.errors import ConfigurationError

__all__ = ["VOCABULARY_SHA256", "WordPiece", "vocabulary"]

VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
_LONGEST_WORD = 100
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def vocabulary() -> bytes:
    """The vocabulary that ships with this package, as it is on the disk."""
    return files("agno_portkey.cache.semantic").joinpath("bert_vocab.txt").read_bytes()


class WordPiece:
    """Greedy longest pieces of each word. ConfigurationError if `raw` is not the vocabulary."""

    def __init__(self, raw: bytes) -> None:
        if sha256(raw).hexdigest() != VOCABULARY_SHA256:
            raise ConfigurationError("bert_vocab.txt is not the one the embeddings are made with")
        pieces = raw.decode().splitlines()
        self._numbers = {piece: number for number, piece in enumerate(pieces)}

    def encode(self, text: str, limit: int) -> list[int]:
        """At most `limit` numbers, those that open and close a text among them."""
        numbers: list[int] = [self._numbers["[CLS]"]]
        for word in _words(text):
            numbers.extend(self._of_word(word))
            if len(numbers) >= limit:
                break
        return [*numbers[: limit - 1], self._numbers["[SEP]"]]

    @cached_property
    def _unknown(self) -> list[int]:
        return [self._numbers["[UNK]"]]

    def _of_word(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return self._unknown
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else "##" + word[start:end]
                if (number := self._numbers.get(piece)) is not None:
                    break
            else:
                return self._unknown
            found.append(number)
            start = end
        return found


def _words(text: str) -> Iterator[str]:
    clean = unicodedata.normalize("NFD", "".join(map(_cleaned, text)))
    # Letter by letter: the form of a letter does not depend on its place in the word.
    bare = "".join(char.lower() for char in clean if unicodedata.category(char) != "Mn")
    for run in bare.split():
        yield from (part for part in re.split(_punctuation_of(run), run) if part)


@lru_cache(maxsize=4096)
def _cleaned(char: str) -> str:
    """`char` as the model was trained on it; ideographs stand alone, controls go."""
    if char in "\t\n\r" or char.isspace():
        return " "
    code = ord(char)
    if code in (0, 0xFFFD) or unicodedata.category(char) in ("Cc", "Cf", "Co"):
        return ""
    if any(low <= code <= high for low, high in _IDEOGRAPHS):
        return f" {char} "
    return char


def _punctuation_of(run: str) -> str:
    marks = {c for c in run if _is_punctuation(c)}
    return f"([{re.escape(''.join(sorted(marks)))}])" if marks else "(?!)"


def _is_punctuation(char: str) -> bool:
    if char.isascii():
        return char.isprintable() and not char.isalnum() and char != " "
    return unicodedata.category(char).startswith("P")
