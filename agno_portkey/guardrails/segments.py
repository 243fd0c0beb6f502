"""Cuts a text that comes in chunks into pieces that a guard can be asked about one by one.

Where it is cut depends on the text alone, never on the chunks.
"""

from __future__ import annotations

import re

__all__ = ["Segments"]

# After a line, or a sentence and the white space that shows it is over.
_END = re.compile(r"\n|(?<=[.!?\u2026])\s")
_SPACE = re.compile(r"\s")

# Characters: where a longer piece is cut at white space, where it is cut anywhere, and how much
# of what stands before a piece a guard is told.
LIMIT = 240
HARD_LIMIT = 960
BEFORE = 80


class Segments:
    """The pieces of one text; `before` is the end of what has been cut off already."""

    def __init__(self) -> None:
        self.before = ""
        self._held = ""

    def feed(self, text: str) -> list[str]:
        """The pieces that are complete with `text`, the next chunk."""
        held = self._held + text
        pieces, place = [], 0
        # A window: what is left of a long text is not copied for every piece of it.
        while cut := _cut(held[place : place + HARD_LIMIT]):
            pieces.append(held[place : place + cut])
            place += cut
        self._held = held[place:]
        return pieces

    def flush(self) -> str:
        """What is left at the end."""
        rest, self._held = self._held, ""
        return rest

    def passed(self, piece: str) -> None:
        """`piece` was let go: it stands before the next one."""
        self.before = (self.before + piece)[-BEFORE:]


def _cut(held: str) -> int:
    """Where the piece at the beginning of `held` ends; 0 if that can't be told yet."""
    if (end := _END.search(held, 0, LIMIT)) is not None:
        return end.end()
    if len(held) <= LIMIT:
        return 0
    spaces = [*_SPACE.finditer(held, 0, LIMIT)]
    if spaces:
        return spaces[-1].end()
    if (space := _SPACE.search(held, LIMIT, HARD_LIMIT)) is not None:
        return space.end()
    return HARD_LIMIT if len(held) >= HARD_LIMIT else 0
