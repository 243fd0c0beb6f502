"""The terms of a text: its words, without those that say nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache

from agno_portkey.errors import MissingExtraError

__all__ = ["heaviest", "stems", "stop_words", "terms_of", "without_accents", "words_of"]

_WORD = re.compile(r"[^\W_]+")
# The accents of Latin, Greek and Cyrillic letters. Elsewhere marks tell letters apart.
_ACCENTS = re.compile("[\u0300-\u036f]+")
_MOST = 400


def words_of(text: str) -> list[str]:
    """The words of `text`, in order, in lower case: letters and digits, composed, and no other.

    Both sides of a search cut by it: the words file by this function, Postgres by `cutting.py`,
    which says the same as SQL.
    """
    # One letter each, wherever it stands: a dotted capital I would be two, a sigma either of two.
    plain = unicodedata.normalize("NFC", text).replace("\u0130", "i").lower()
    return _WORD.findall(plain.replace("\u03c2", "\u03c3"))


def without_accents(text: str) -> str:
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def heaviest(terms: Mapping[str, float]) -> dict[str, float]:
    """The terms that weigh most, as many as a database is asked for at once."""
    return dict(sorted(terms.items(), key=lambda item: -item[1])[:_MOST])


def terms_of(text: str) -> dict[str, float]:
    """What to look for, and how often `text` has it.

    English stop words are left out, unless there is nothing else.
    """
    words = words_of(text)
    telling = [word for word in words if word not in stop_words()]
    return {word: float(often) for word, often in Counter(telling or words).items()}


@cache
def stop_words() -> frozenset[str]:
    try:
        from bm25s.stopwords import STOPWORDS_EN_PLUS  # type: ignore[import-untyped]
    except ImportError:
        raise _missing() from None
    return frozenset(STOPWORDS_EN_PLUS)


def stems(words: list[str]) -> list[str]:
    """The stems of English words."""
    try:
        from Stemmer import Stemmer  # type: ignore[import-not-found]
    except ImportError:
        raise _missing() from None
    # Made anew, since one is good for one thread at a time.
    found: list[str] = Stemmer("porter").stemWords(words)
    return found


def _missing() -> MissingExtraError:
    return MissingExtraError("search by words needs: pip install 'agno-portkey[knowledge]'")
