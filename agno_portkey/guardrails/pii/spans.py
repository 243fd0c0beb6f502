"""`Span`: a stretch of a text that holds personal data, and how spans that overlap are settled."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agno_portkey.errors import AnalysisFailed

__all__ = ["Span", "beside", "checked", "widest"]


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


def beside(spans: Iterable[Span], taken: Sequence[tuple[int, int]], text: str) -> tuple[Span, ...]:
    """What of `spans` is not `taken`; both are in order. A rest without a letter is dropped."""
    kept: list[Span] = []
    ends = [end for _, end in taken]
    for span in spans:
        begin, place = span.start, bisect_right(ends, span.start)
        while place < len(taken) and taken[place][0] < span.end:
            start, end = taken[place]
            if not _is_empty(text, begin, start):
                kept.append(Span(begin, start, span.type, span.score))
            begin, place = end, place + 1
        if begin == span.start:
            kept.append(span)
        elif not _is_empty(text, begin, span.end):
            kept.append(Span(begin, span.end, span.type, span.score))
    return tuple(kept)


def checked(spans: Any, text: str) -> Sequence[Span]:
    """`spans`, a list of them as it must be: AnalysisFailed if one is not in `text`, or is none.

    Whoever tells of a place that is not there may have looked at another text.
    """
    if not isinstance(spans, list | tuple):
        raise AnalysisFailed(f"a search gave a {type(spans).__name__} in place of spans")
    for span in spans:
        if not isinstance(span, Span) or not isinstance(span.type, str) or not span.type:
            raise AnalysisFailed("a search gave what is no span of a type")
        places = span.start, span.end
        if not all(isinstance(place, int) for place in places) or not (
            0 <= span.start < span.end <= len(text)
        ):
            raise AnalysisFailed(
                f"a search found {span.type} from {span.start} to {span.end} in a text of "
                f"{len(text)} characters: mend the recogniser of it"
            )
    return spans


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
