"""Joins the text of an answer that broke off with what another target makes of its rest."""

from __future__ import annotations

__all__ = ["Joiner", "Restarted"]

# So much of the answer's beginning, said again, is a new beginning and no coincidence.
_TELLING = 32


class Restarted(Exception):
    """The target began the answer anew in place of continuing it."""


class Joiner:
    """What was shown so far, and what may be shown next; every character exactly once.

    A target is asked to continue from `prefill`, which is the shown text without the white space
    at its end (some providers refuse that). What it says is held until it differs from the
    answer's beginning: a target that starts over is found out before a word is shown twice.
    """

    def __init__(self, shown: str = "") -> None:
        self._shown = shown
        self._begin()

    @property
    def shown(self) -> str:
        """All text that was shown."""
        return self._shown

    @property
    def prefill(self) -> str:
        """What the next target is to continue."""
        return self._shown.rstrip()

    def resume(self) -> None:
        """Another target goes on from here; what was held of the last one is forgotten."""
        self._begin()

    def feed(self, text: str) -> str:
        """What of `text`, the next piece of an answer, can be shown now."""
        if self._decided:
            return self._show(text)
        self._held += text
        said = self._held.lstrip()
        start = self._start
        if not said or (len(said) < len(start) and start.startswith(said)):
            return ""
        if start and said.startswith(start):
            raise Restarted
        return self._settle()

    def flush(self) -> str:
        """What is still held when the answer has come to its end."""
        return "" if self._decided else self._settle()

    def _begin(self) -> None:
        self._held = ""
        self._start = self._shown.lstrip()[:_TELLING]
        self._decided = not self._shown

    def _settle(self) -> str:
        """Show what was held, without the white space that was shown before."""
        self._decided = True
        return self._show(_without_overlap(self._shown, self._held))

    def _show(self, text: str) -> str:
        self._shown += text
        return text


def _without_overlap(shown: str, said: str) -> str:
    """`said` without the white space at its beginning that ends `shown`."""
    seen = shown[len(shown.rstrip()) :]
    blank = said[: len(said) - len(said.lstrip())]
    # The target was given the text without `seen`, and may say it again, or less of it.
    if seen.startswith(blank):
        return said[len(blank) :]
    return said.removeprefix(seen)
