"""What runs show of their tools while they go on, and what results were refused meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from agno.models.message import Message

__all__ = ["Showing"]

# How many refused results wait for a call to raise what they were refused with.
_SEVERAL = 1_000


class Showing:
    """Shared by a model's copies, and thread-safe, as what each line does is one step."""

    def __init__(self) -> None:
        self._plain: set[str] = set()
        # By the message, since the run of a tool's context may be the one that is continued.
        self._refused: dict[int, tuple[Message, Exception]] = {}

    @contextmanager
    def nothing(self, run_id: str | None) -> Iterator[None]:
        """While a run is asked for as a whole: nobody sees its events."""
        if run_id is None:
            yield
            return
        self._plain.add(run_id)
        try:
            yield
        finally:
            self._plain.discard(run_id)

    def shows(self, run_id: str | None) -> bool:
        """Whether somebody may see the events of a run."""
        return run_id not in self._plain

    def refuse(self, results: Sequence[Message], error: Exception) -> None:
        """Have the call that would send `results`, or the end of the run, raise `error`."""
        for message in results:
            while len(self._refused) >= _SEVERAL:
                self._refused.pop(next(iter(self._refused)), None)
            self._refused[id(message)] = message, error

    def refusal(self, messages: Sequence[Message]) -> Exception | None:
        """What one of `messages`, a tool's result, was refused with; told once."""
        if not self._refused:
            return None
        found = [self._refused.pop(id(message), None) for message in messages]
        return next((error for _, error in filter(None, found)), None)
