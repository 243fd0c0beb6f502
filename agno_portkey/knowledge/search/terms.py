"""The terms of a text: its words, without those that say nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

from agno_portkey.errors import MissingExtraError

__all__ = ["stems", "stop_words", "terms_of", "words_of"]

# What SQLite's unicode61 takes for a word as well: letters and digits.
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of `text`, in order, in lower case."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


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
