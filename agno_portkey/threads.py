"""Threads for checks: a pool for what blocks, and an event loop for what can only be awaited.

A thread that hangs can't be ended. It is left behind, and as a daemon it does not hold up the
end of the process, which is why these are not the threads of `concurrent.futures`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

__all__ = ["Loop", "Pool"]

LIMIT = 256
_IDLE = 16


class _Worker(threading.Thread):
    def __init__(self, pool: Pool) -> None:
        super().__init__(daemon=True, name="agno-portkey-check")
        self.inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._pool = pool

    def run(self) -> None:
        while True:
            self.inbox.get()()
            if not self._pool.take_back(self):
                return


class Pool:
    """Threads that are made when all others are busy, up to a limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._count = 0

    def submit(self, task: Callable[[], None]) -> bool:
        """Run `task`, which may not raise, on a thread; False where none is to be had."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
            if worker is None:
                if self._count >= LIMIT:
                    return False
                self._count += 1
        if worker is None:
            worker = _Worker(self)
            try:
                worker.start()
            except RuntimeError:  # the system has none
                with self._lock:
                    self._count -= 1
                return False
        worker.inbox.put(task)
        return True

    def take_back(self, worker: _Worker) -> bool:
        """Keep `worker` for the next task; a surplus one is let go."""
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(worker)
                return True
            self._count -= 1
            return False


class Loop:
    """An event loop in a thread; one that hangs is replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run `coroutine`, which may not raise what ends a loop."""
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(
                    target=_turn, args=(loop,), daemon=True, name="agno-portkey-loop"
                ).start()
                self._loop = loop
            # Still under the lock: nobody abandons the loop before it has the task.
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def abandon(self) -> None:
        """Begin anew with the next coroutine: one that was late may block the whole loop."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(_wind_up, loop)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Stop `loop` once what still runs on it has come to its end."""
    if not asyncio.all_tasks(loop):
        loop.stop()
        return
    loop.call_later(0.1, _wind_up, loop)


pool = Pool()
loop = Loop()


def _begin_anew() -> None:
    # A child process has none of its parent's threads, and maybe their locks, taken.
    pool.__init__()  # type: ignore[misc]
    loop.__init__()  # type: ignore[misc]


with suppress(AttributeError):  # where there are no forks
    os.register_at_fork(after_in_child=_begin_anew)
