"""Whether two questions have one answer: what a verifier is shown, and how it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Comparison", "Verifier", "same_answers"]

# Words: what is longer can say the same in other words.
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two questions that are worded alike, and the answers that were given to them.

    `answer` is None while the question that is asked now has none yet.
    """

    question: str
    answer: str | None
    kept_question: str
    kept_answer: str


# True if the kept answer answers the question, False if not, None where that can't be told.
Verifier = Callable[[Comparison], "bool | Awaitable[bool | None] | None"]


def same_answers(comparison: Comparison) -> bool | None:
    """Whether two answers are the same where that can be seen: JSON, or a few words."""
    given, kept = comparison.answer, comparison.kept_answer
    if given is None:
        return None
    if _normal(given) == _normal(kept):
        return True
    one, other = _as_json(given), _as_json(kept)
    if one is not None and other is not None:
        return bool(one == other)
    if max(len(given.split()), len(kept.split())) <= _SHORT:
        return False
    return None


def _normal(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s%.,:/+-]", " ", text.casefold()).split()).rstrip(".")


def _as_json(text: str) -> Any:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict | list) else None
