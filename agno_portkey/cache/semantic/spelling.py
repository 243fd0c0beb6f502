"""A text as tokens: words in lower case, numbers, signs; each with what its spelling says."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agno_portkey.cache.semantic.english import listed

__all__ = ["Token", "tokens"]

# A letter that only looks like a small word: "plan A", "the US", "IT".
MARK = "·"
_SMALL = frozenset(listed("small"))
_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])[-+]?\d+(?:[.,:/-]\d+)*(?![\w]))"
    r"|(?P<word>\.?[^\W_](?:[\w]|[.'&@/:-](?=\w))*(?:\+\+|\#)?|\w+)"
    r"|(?P<operator>[=!<>&|+*^~-]{2,})"
    r"|(?P<sign>[^\s\w.,;:!?\"'()/`\u201c\u201d\u2026\u2013\u2014\u00bf\u00a1-]|-(?=\s*\d))"
    r"|(?P<stop>[,.;:!?](?=\s|$))"
)
_QUOTES = {0x2018: "'", 0x2019: "'"}
_CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "cant": "can not", "won't": "will not",
    "wont": "will not", "shan't": "shall not", "dont": "do not", "doesnt": "does not",
    "didnt": "did not", "isnt": "is not", "arent": "are not", "wasnt": "was not",
    "couldnt": "could not", "shouldnt": "should not", "wouldnt": "would not", "hasnt": "has not",
    "havent": "have not", "whats": "what is", "hows": "how is", "wheres": "where is",
    "whos": "who is", "im": "i am", "ive": "i have", "let's": "let us", "gonna": "going to",
    "wanna": "want to",
}  # fmt: skip
_ENDINGS = {
    "n't": "not", "'re": "are", "'m": "am", "'ve": "have", "'ll": "will", "'d": "would",
}  # fmt: skip
_IS_BEFORE_S = frozenset(listed("is_before_s"))


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what is compared; `name` if it is written like a proper name.

    `first` if it begins a sentence with a capital, so that nobody can tell.
    """

    text: str
    name: bool = False
    first: bool = False


def tokens(text: str) -> list[Token]:
    """The tokens of `text`; punctuation that says nothing is left out, a comma stays."""
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    found: list[Token] = []
    shouted = _shouted(text)
    first = True
    for match in _TOKEN.finditer(text):
        if match["stop"]:
            # "Hello, convert this": so early, a comma is a greeting's.
            first = first or match["stop"] in ".!?:" or len(found) < 2
            if match["stop"] == ",":
                found.append(Token(","))
            continue
        if match[0] == "I" and found and found[-1].name:
            found.append(Token("1"))
        elif match["word"]:
            found.extend(_of_word(match[0], shouted, first))
        else:
            found.append(Token(match[0]))
        first = False
    return found


def _shouted(text: str) -> bool:
    """Whether most words are in capitals, so that capitals say nothing."""
    words = [word for word in text.split() if sum(map(str.isalpha, word)) > 1]
    return 2 * sum(map(str.isupper, words)) > len(words)


def _of_word(raw: str, shouted: bool, first: bool) -> list[Token]:
    lower = raw.lower()
    small = raw.isupper() and raw != "I" and lower in _SMALL
    if small and not shouted and not (first and raw == "A"):
        return [Token(lower + MARK, name=True)]
    name = raw[0].isupper() and not shouted and not first and raw != "I"
    if lower in _CONTRACTIONS:
        return [Token(part) for part in _CONTRACTIONS[lower].split()]
    for ending, full in _ENDINGS.items():
        if lower.endswith(ending) and len(lower) > len(ending):
            return [*_of_word(raw[: -len(ending)], shouted, first), Token(full)]
    if lower.endswith("'s"):
        whose = lower[:-2]
        if whose in _IS_BEFORE_S:
            return [Token(whose), Token("is")]
        return [*_of_word(raw[:-2], shouted, first), Token("'s")]
    inner = any(c.isdigit() for c in raw) or "@" in raw or "://" in raw or raw.startswith(".")
    if not inner and re.search(r"[-/'&:]", raw):
        return [
            Token(part.lower(), name and part[0].isupper())
            for part in re.split(r"[-/'&:]+", raw)
            if part
        ]
    return [Token(_joined(lower), name, raw[0].isupper() and (first or shouted))]


def _joined(word: str) -> str:
    """Without dots inside initials: "U.S." is "us·"; a name such as "node.js" keeps its own."""
    if re.fullmatch(r"(?:\w\.)+\w?", word):
        bare = word.replace(".", "")
        return bare + MARK if bare in _SMALL else bare
    return word
