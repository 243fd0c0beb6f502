"""Runs checks beside their caller: several at once, each within its time, the first no ends all."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from agno_portkey.threads import loop, pool
from agno_portkey.verdict import OwnWords

__all__ = ["Failed", "Job", "TooLate", "arace", "race"]

# Seconds after which a check that has not ended gets company: most are over before that, and
# then one thread has done them all. Where there is no thread to be had it asks less often.
_PATIENCE = 0.001
_LEAST_OFTEN = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """One check: `function` blocks, `afunction` awaits; one may be left out. Seconds to do it in.

    A blocking call that has only `afunction` runs it on an event loop of its own thread.
    """

    function: Callable[[], Any] | None
    timeout: float
    afunction: Callable[[], Awaitable[Any]] | None = None


class TooLate(OwnWords, TimeoutError):
    """A job took longer than it was given; its words are none of the job's."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What became of a job that raised, or took too long (`TimeoutError`)."""

    error: BaseException


async def _called(
    function: Callable[[], Awaitable[Any]],
    ending: tuple[type[BaseException], ...] = (SystemExit,),
) -> Any:
    try:
        return await function()
    except ending as error:
        # Raised from a task it would end the loop, and all else that runs there.
        return Failed(error)


class _Race:
    """Jobs under way at once, and what became of them; `finish` is called when it is over."""

    def __init__(
        self, jobs: Sequence[Job], ends: Callable[[int, Any], bool], finish: Callable[[], object]
    ) -> None:
        self.jobs = jobs
        self.outcomes: list[Any] = [None] * len(jobs)
        self.over = False
        self._ends = ends
        self._finish = finish
        self._open = set(range(len(jobs)))
        self._queue: deque[int] = deque()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._context = contextvars.copy_context()
        self._patience = _PATIENCE
        self.futures: dict[int, Any] = {}

    def run(self, indices: Sequence[int]) -> None:
        """Do the blocking jobs at `indices` on a thread, one after the other."""
        self._queue.extend(indices)
        self.hurry()

    def hurry(self) -> None:
        """One more thread for the jobs that nobody has begun, if there is one."""
        if self._queue and not pool.submit(self._work):
            self._patience = min(2 * self._patience, _LEAST_OFTEN)

    def _work(self) -> None:
        while not self.over:
            try:
                index = self._queue.popleft()
            except IndexError:
                return
            function = self.jobs[index].function
            try:
                outcome = self._context.copy().run(_whole, function)
            except BaseException as error:
                outcome = Failed(error)
            self.settle(index, outcome)

    def settle(self, index: int, outcome: Any) -> None:
        """Note what became of a job, unless that is known, or nobody asks any more.

        What comes late is no verdict, even if it comes before anybody has looked.
        """
        late = time.monotonic() >= self._started + self.jobs[index].timeout
        if late and not isinstance(outcome, Failed):
            outcome = self._too_late(index)
        with self._lock:
            if self.over or index not in self._open:
                return
            self._open.discard(index)
            try:
                ended = self._ends(index, outcome)
            except Exception as error:  # nobody knows what it means
                outcome, ended = Failed(error), True
            self.outcomes[index] = outcome
            self.over = ended or not self._open
        if self.over:
            self._finish()

    def _too_late(self, index: int) -> Failed:
        waits = " (no thread was to be had for it)" if index in self._queue else ""
        return Failed(TooLate(f"no verdict within {self.jobs[index].timeout:g} s{waits}"))

    def settle_by(self, index: int, future: Any) -> None:
        """The same with the outcome of a future that is done."""
        if future.cancelled():
            self.settle(index, Failed(asyncio.CancelledError("called off by itself")))
            return
        error = future.exception()
        self.settle(index, future.result() if error is None else Failed(error))

    def wait_for(self) -> float:
        """How many seconds to wait before looking again."""
        left = min((self.jobs[i].timeout for i in list(self._open)), default=0.0)
        left += self._started - time.monotonic()
        return max(0.0, min(left, self._patience) if self._queue else left)

    def look(self) -> None:
        """Fail what is late, and let nothing wait behind something slow."""
        now = time.monotonic()
        for index in list(self._open):
            if now >= self._started + self.jobs[index].timeout:
                self.settle(index, self._too_late(index))
                if (future := self.futures.get(index)) is not None:
                    future.cancel()
                if isinstance(future, Future):
                    loop.abandon()
        self.hurry()

    def call_off(self) -> None:
        """End what can be ended; whatever it still raises was asked for by nobody."""
        self.over = True
        for future in self.futures.values():
            future.cancel()


def _whole(function: Callable[[], Any] | None) -> Any:
    """What `function` returns; an awaitable, as a lambda can return, is waited for."""
    result = function() if function is not None else None
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def race(jobs: Sequence[Job], ends: Callable[[int, Any], bool]) -> list[Any]:
    """The outcomes of `jobs`, run at once: results, and `Failed` where there is none.

    With the first that `ends(its place, its outcome)` is true of, the others are called off, and
    theirs are None.
    """
    done = threading.Event()
    run = _Race(jobs, ends, done.set)
    try:
        for index, job in enumerate(jobs):
            if job.function is None and job.afunction is not None:
                called = _called(job.afunction, (SystemExit, KeyboardInterrupt))
                run.futures[index] = future = loop.submit(called)
                future.add_done_callback(partial(run.settle_by, index))
        run.run([i for i, job in enumerate(jobs) if job.function is not None])
        while jobs and not done.wait(run.wait_for()):
            run.look()
    finally:
        run.call_off()
    return run.outcomes


async def arace(jobs: Sequence[Job], ends: Callable[[int, Any], bool]) -> list[Any]:
    """`race` on an event loop: what can be awaited is awaited here, all else runs beside it."""
    here = asyncio.get_running_loop()
    done = asyncio.Event()
    run = _Race(jobs, ends, lambda: _tell(here, done))
    try:
        for index, job in enumerate(jobs):
            if job.afunction is not None:
                run.futures[index] = future = here.create_task(_called(job.afunction))
                future.add_done_callback(partial(run.settle_by, index))
        run.run([i for i, job in enumerate(jobs) if job.afunction is None])
        while jobs and not done.is_set():
            # Not wait_for, which on Python 3.11 can lose that its caller was cancelled.
            with suppress(TimeoutError):
                async with asyncio.timeout(run.wait_for()):
                    await done.wait()
                    break
            run.look()
    finally:
        run.call_off()
    return run.outcomes


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(done.set)
