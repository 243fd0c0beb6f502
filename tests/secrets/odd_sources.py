"""Sources that do what no source should do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any


class Told:
    """A source that gives what it is told to, and counts how often it was asked."""

    environment: str | None = None

    def __init__(self, *values: Any) -> None:
        self.values = [*values]
        self.asked = 0
        self._lock = threading.Lock()

    def read(self, name: str) -> Any:
        with self._lock:
            self.asked += 1
            value = self.values[0] if len(self.values) == 1 else self.values.pop(0)
        if isinstance(value, BaseException):
            raise value
        return value() if isinstance(value, Callable) else value


class Hanging:
    """A source that hangs until it is let go."""

    environment: str | None = None

    def __init__(self, value: str = "sk-late-value") -> None:
        self.let_go = threading.Event()
        self.asked = 0
        self.value = value
        self.begun = threading.Semaphore(0)

    def read(self, name: str) -> str:
        self.asked += 1
        self.begun.release()
        self.let_go.wait()
        return self.value


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def turned_until(begun: threading.Semaphore) -> None:
    """Return once a thread has said that it has begun, which a loop that stands never does."""
    while not begun.acquire(blocking=False):  # noqa: ASYNC110 - it is no event of this loop
        await asyncio.sleep(0)
