"""`Span`: a stretch of a text that holds personal data, and how spans that overlap are settled."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Span", "widest"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `start` up to `end` of a text hold data of `type`; `score` is from 0 to 1."""

    start: int
    end: int
    type: str
    score: float = 1.0


def widest(spans: Iterable[Span], text: str | None = None) -> tuple[Span, ...]:
    """Spans in the order of the text, no two of which overlap: the longest wins.

    What a shorter one covers beyond a longer one stays covered, as a span of its own, so that
    nothing which was found is let go; with `text`, a rest without a letter or digit is dropped.
    """
    ordered = sorted(spans, key=lambda span: (span.start - span.end, -span.score, span))
    starts: list[int] = []
    kept: list[Span] = []
    for span in ordered:
        for start, end in _free(span, starts, kept):
            if (start, end) != (span.start, span.end) and _is_empty(text, start, end):
                continue
            rest = Span(start, end, span.type, span.score)
            place = bisect_right(starts, start)
            starts.insert(place, start)
            kept.insert(place, rest)
    return tuple(kept)


def _free(span: Span, starts: list[int], kept: list[Span]) -> list[tuple[int, int]]:
    """The parts of `span` that no span of `kept`, which is in order, covers."""
    free: list[tuple[int, int]] = []
    place = max(bisect_right(starts, span.start) - 1, 0)
    begin = span.start
    while begin < span.end and place < len(kept) and kept[place].start < span.end:
        taken = kept[place]
        if taken.end > begin:
            if taken.start > begin:
                free.append((begin, taken.start))
            begin = taken.end
        place += 1
    if begin < span.end:
        free.append((begin, span.end))
    return free


def _is_empty(text: str | None, start: int, end: int) -> bool:
    return text is not None and not any(char.isalnum() for char in text[start:end])
