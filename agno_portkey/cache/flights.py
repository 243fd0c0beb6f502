"""Single flight: of several who ask the same at once, one asks, and the others have its answer."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.calls import IO

__all__ = ["Flight", "Flights", "wait_for"]

_SHORTEST, _LONGEST = 0.002, 0.05
# Seconds without a further piece of a stream, after which nobody waits for the rest: who reads it
# may have stopped, or be waiting for the one who waits.
_STALLED = 3.0


@dataclass(slots=True)
class Flight:
    """One call that others wait for; `landed` with its answer, or without.

    `began` and `heard`, when its last piece came, are by the monotonic clock.
    """

    owner: tuple[int, Any] = field(default_factory=lambda: _whoever())
    landed: bool = False
    answer: Any = None
    began: float = field(default_factory=time.monotonic)
    heard: float | None = None

    def land(self, answer: Any = None) -> None:
        """Give those who wait the answer, or none; what was given stays."""
        if not self.landed:
            self.answer, self.landed = answer, True


class Flights:
    """The calls of this process that are under way, by what they ask."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Flight] = {}
        self._process = os.getpid()

    def join(self, key: str) -> tuple[Flight, bool]:
        """The flight for `key`, and whether the caller is the one who asks."""
        if self._process != os.getpid():
            # Who asks for these, or holds the lock, is in the process that this was forked from.
            self._begin()
        with self._lock:
            held = self._under_way.get(key)
            if held is None:
                held = self._under_way[key] = Flight()
                return held, True
            return held, False

    def leave(self, key: str, flight: Flight) -> None:
        """The asker's flight is over, in whatever way."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]
        flight.land()


async def wait_for(
    flight: Flight, io: IO, seconds: float, *, clock: Callable[[], float] = time.monotonic
) -> Any:
    """The answer of somebody else's flight; None if it has none, or not in `seconds` of its begin.

    Whoever would wait for itself, as one does that asks while it reads its own stream, goes alone.
    It looks again and again: to be woken, a caller without an event loop would need a thread, and
    one with it might need the thread that the asker is waiting for.
    """
    if flight.owner == _whoever():
        return None
    ends, pause = min(clock(), flight.began) + seconds, _SHORTEST
    while not flight.landed and clock() < ends and not _stalls(flight, clock()):
        await io.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)
    return flight.answer if flight.landed else None


def _stalls(flight: Flight, now: float) -> bool:
    return flight.heard is not None and now - flight.heard > _STALLED


def _whoever() -> tuple[int, Any]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), None if task is None else id(task)
