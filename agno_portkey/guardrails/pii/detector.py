"""`Detector`: what finds personal data in a text by its form alone, and helpers for patterns."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from agno_portkey.guardrails.pii.spans import Span

__all__ = ["Detector", "words_before"]

_BEFORE = 48


class Detector(ABC):
    """Finds the spans of one type; its time is linear in the length of the text.

    `gate` is a pattern without which there is nothing to find: a text that does not have it is
    not searched further.
    """

    type: str
    gate: ClassVar[re.Pattern[str] | None] = None

    def find(self, text: str) -> list[Span]:
        """The spans in `text`; they may overlap."""
        if self.gate is not None and self.gate.search(text) is None:
            return []
        return [Span(start, end, self.type, score) for start, end, score in self.look(text)]

    @abstractmethod
    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        """Where something begins and ends, and how sure that is."""


def words_before(text: str, start: int, length: int = _BEFORE) -> str:
    """What stands before `start`, in lower case, back to the last blank line."""
    return text[max(0, start - length) : start].lower().rpartition("\n\n")[2]
