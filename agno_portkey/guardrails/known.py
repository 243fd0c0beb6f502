"""What guards were asked about before, and had nothing to say of: it comes with every call."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence
from typing import Any

__all__ = ["Known"]

# A guard may come to know more: after so many seconds it is asked again.
_LASTS = 300.0
_SEVERAL = 1_000


class Known:
    """Which guards passed what without a word; thread-safe, and bounded in size and time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed: dict[Hashable, tuple[float, tuple[Any, ...]]] = {}

    def holds(self, what: Hashable, guards: Sequence[Any]) -> bool:
        """Whether these very guards passed `what` of late."""
        until, asked = self._passed.get(what, (0.0, ()))
        return until > time.monotonic() and asked == tuple(guards)

    def note(self, what: Hashable, guards: Sequence[Any]) -> None:
        """They passed it just now; past the limit the oldest is forgotten."""
        with self._lock:
            self._passed.pop(what, None)
            while len(self._passed) >= _SEVERAL:
                del self._passed[next(iter(self._passed))]
            self._passed[what] = (time.monotonic() + _LASTS, tuple(guards))
