"""Work that is done a few pieces at a time, on threads or on the running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, SyncIO, step

__all__ = ["aspread", "spread"]

T = TypeVar("T")
# What is to be done of one piece; it waits through the io that it is given alone.
Work = Callable[[T, IO], Coroutine[Any, Any, None]]


def spread(pieces: Sequence[T], work: Work[T], *, workers: int) -> None:
    """Do `work` of every piece, at most `workers` at once; the first error ends it."""
    io, taken, workers = SyncIO(), _Taken(pieces), min(workers, len(pieces))

    def worker() -> None:
        for piece in taken:
            try:
                step(work(piece, io))
            except BaseException:
                taken.end()
                raise

    if workers < 2:
        worker()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="agno-portkey-spread") as pool:
        try:
            # A context can be entered once at a time.
            done = [pool.submit(contextvars.copy_context().run, worker) for _ in range(workers)]
            wait(done)
        except BaseException:
            # Ctrl-C is this thread's alone: the others would go on to the last piece.
            taken.end()
            raise
    for each in done:
        each.result()


async def aspread(pieces: Sequence[T], work: Work[T], *, workers: int) -> None:
    """The same on the running event loop."""
    io, taken = AsyncIO(), _Taken(pieces)

    async def worker() -> None:
        for piece in taken:
            await work(piece, io)

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(workers, len(pieces)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Taken(Iterator[T]):
    """An iterator that several threads take from."""

    def __init__(self, pieces: Sequence[T]) -> None:
        self._lock = threading.Lock()
        self._pieces = iter(pieces)
        self._ended = False

    def __next__(self) -> T:
        with self._lock:
            if self._ended:
                raise StopIteration
            return next(self._pieces)

    def end(self) -> None:
        self._ended = True
