"""What is noted of the latest runs, by their ids."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Latest"]

T = TypeVar("T")

# More than run at one time.
_NOTED_RUNS = 1_000


class Latest(Generic[T]):
    """One note for each of the latest runs; thread-safe, shared by a model and its copies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: dict[str, T] = {}

    def of(self, run_id: str | None) -> T | None:
        """What was noted of a run, None if nothing was."""
        return self._notes.get(run_id or "")

    def take(self, run_id: str | None) -> T | None:
        """What was noted of a run, which is forgotten with it."""
        with self._lock:
            return self._notes.pop(run_id or "", None)

    def note(self, run_id: str, value: T) -> None:
        """Keep the note of a run; past the limit the oldest run's is forgotten."""
        with self._lock:
            self._notes.pop(run_id, None)
            while len(self._notes) >= _NOTED_RUNS:
                del self._notes[next(iter(self._notes))]
            self._notes[run_id] = value
