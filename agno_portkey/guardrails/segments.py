"""Cuts a text that comes in chunks into pieces that a guard can be asked about one by one.

Where it is cut depends on the text alone, never on the chunks.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Literal, TypeAlias, TypeVar

from agno_portkey.guardrails.placeholders import BEGUN, LONGEST
from agno_portkey.guardrails.small_words import BEGINNINGS, SMALL_WORDS

__all__ = ["AsyncTogether", "Ranges", "Release", "Segments", "Together"]

T = TypeVar("T")
# How much of an answer is waited for: the next word, the first word that may be more than a small
# one, or a sentence.
Release = Literal["word", "eager", "segment"]
# What is not to be cut apart: ranges of a text, given what stands before it.
Ranges: TypeAlias = Iterable[tuple[int, int]]
Together: TypeAlias = Callable[[str, str], Ranges]
AsyncTogether: TypeAlias = Callable[[str, str], Awaitable[Ranges]]
# Asks for ranges on its way to a result.
Steps: TypeAlias = Generator[tuple[str, str], Ranges, T]

# After a line, or a sentence and the white space that shows it is over.
_END = re.compile(r"\n|(?<=[.!?\u2026\u3002])\s|(?<=[.!?\u2026]['\")\]\u2019\u201d])\s")
_SPACE = re.compile(r"\s")
# A dot behind these ends nothing.
_SHORT = re.compile(
    r"(?:(?<![^\W_])[A-Za-z]|\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Rev|Hon|Gen|Col|Capt|Lt|Sgt|Sr|Jr|St|Mt|Ft"
    r"|Ave|Blvd|Rd|Apt|Dept|No|Nos|Inc|Ltd|Co|Corp|vs|etc|approx|e\.g|i\.e|cf|al))\.$"
)
_WORD = re.compile(r"[ \t]*([A-Za-z]+(?:'[a-z]+)?)[,;:]?[ \t]")

# Characters: where a longer piece is cut at white space, where it is cut anywhere, and how much
# of what stands before a piece a guard is told.
LIMIT = 240
HARD_LIMIT = 960
BEFORE = 80
# The same where some ranges are to stay together: one after the other is tried.
_WINDOWS = (LIMIT, 2 * LIMIT, HARD_LIMIT, 4 * HARD_LIMIT)
# From which length on a piece may have been cut anywhere.
CUT = HARD_LIMIT - LONGEST


def _nothing(before: str, held: str) -> Ranges:
    return ()


class Segments:
    """The pieces of one text; `before` is the end of what has been cut off already.

    Where `apart` is not wanted, a long piece without an end of its own is cut within no range that
    is to stay together; `feed` and `afeed` ask for these.
    """

    def __init__(
        self, release: Release = "segment", *, apart: bool = True, behind: str = ""
    ) -> None:
        self.before = behind
        self._release = release
        self._apart = apart
        self._held = ""
        # What was cut off last, and how much of it belongs to the sentence under way.
        self._behind = behind
        self._since = 0
        # How many windows have held no place to cut at; what is in them does not change any more.
        self._tried = 0

    def feed(self, text: str, together: Together = _nothing) -> list[str]:
        """The pieces that are complete with `text`, the next chunk."""
        steps = self._steps(text)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(together(*asked))
        except StopIteration as done:
            pieces: list[str] = done.value
            return pieces

    async def afeed(self, text: str, together: AsyncTogether) -> list[str]:
        """The same, where the ranges are waited for."""
        steps = self._steps(text)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(await together(*asked))
        except StopIteration as done:
            pieces: list[str] = done.value
            return pieces

    def flush(self) -> str:
        """What is left at the end."""
        rest, self._held = self._held, ""
        return rest

    def passed(self, piece: str) -> None:
        """`piece` was let go: it stands before the next one."""
        self.before = (self.before + piece)[-BEFORE:]

    def _steps(self, text: str) -> Steps[list[str]]:
        held = self._held + text
        pieces, place = [], 0
        while True:
            # A window: what is left of a long text is not copied for every piece of it.
            cut = yield from self._cut(held[place : place + _WINDOWS[-1] + BEFORE])
            if not cut:
                break
            pieces.append(held[place : place + cut])
            place += cut
            self._behind = (self._behind + pieces[-1])[-BEFORE:]
        self._held = held[place:]
        return pieces

    def _cut(self, held: str) -> Steps[int]:
        """Where the piece at the beginning of `held` ends; 0 if that can't be told yet."""
        if self._release == "word":
            return _word(held)
        if self._release == "eager" and (small := _small(held, first=self._since == 0)):
            self._since += small
            return small
        limit = max(1, LIMIT - self._since)
        cut = _sentence(held, limit)
        if not cut:
            cut = _long(held, limit) if self._apart else (yield from self._whole(held, limit))
        if cut:
            self._since = self._tried = 0
        return cut

    def _whole(self, held: str, limit: int) -> Steps[int]:
        """The end of a long piece that is in no range which is to stay together."""
        for window in (limit, *_WINDOWS[1:])[self._tried :]:
            # What shows that a range goes on stands behind the window.
            seen = held[: window + BEFORE]
            if len(seen) < window + BEFORE:
                return 0
            ranges = [*(yield self._behind, seen)]
            spaces = [space.end() for space in _SPACE.finditer(held, 0, window)]
            for place in reversed(spaces):
                if _start_of(held, place, ranges) == place:
                    return place
            if window >= HARD_LIMIT and (start := _start_of(held, window, ranges)):
                return start
            self._tried += 1
        return _start_of(held, _WINDOWS[-1])


def _sentence(held: str, limit: int) -> int:
    for end in _END.finditer(held, 0, limit):
        place = end.start()
        if held[place] == "\n" or not _SHORT.search(held, max(0, place - 8), place):
            return end.end()
    return 0


def _long(held: str, limit: int) -> int:
    if len(held) <= limit:
        return 0
    before = reversed([*_SPACE.finditer(held, 0, limit)])
    for space in (*before, *_SPACE.finditer(held, limit, HARD_LIMIT)):
        if place := _start_of(held, space.end()):
            return place
    return _start_of(held, HARD_LIMIT) if len(held) >= HARD_LIMIT else 0


def _small(held: str, *, first: bool) -> int:
    """The end of a small word at the beginning of `held`, which names nobody; 0 if it is none."""
    if (found := _WORD.match(held, 0, LIMIT)) is None:
        return 0
    word = found.group(1)
    return found.end() if word in SMALL_WORDS or (first and word in BEGINNINGS) else 0


def _word(held: str) -> int:
    """The end of the first word; what may be a placeholder is in one."""
    for space in _SPACE.finditer(held, 0, HARD_LIMIT):
        if _start_of(held, space.end()) == space.end():
            return space.end()
    return _start_of(held, HARD_LIMIT) if len(held) >= HARD_LIMIT else 0


def _start_of(held: str, place: int, ranges: Iterable[tuple[int, int]] = ()) -> int:
    """`place`, or where the range or placeholder that it is in begins; 0 if at the beginning."""
    start = _outside(_begun(held, place), ranges)
    # What a range begins in may be a placeholder, and a range goes before that.
    return start if start == place else _outside(_begun(held, start), ranges)


def _begun(held: str, place: int) -> int:
    found = BEGUN.search(held, max(0, place - LONGEST), place)
    return found.start() if found else place


def _outside(place: int, ranges: Iterable[tuple[int, int]]) -> int:
    return min([place, *(max(0, a) for a, b in ranges if a < place < b)])
