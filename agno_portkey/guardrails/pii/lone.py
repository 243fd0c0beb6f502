"""`Lone`: one thread for what only one may use; a thread that hangs is left behind."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Generic, TypeVar

__all__ = ["Late", "Lone"]

H = TypeVar("H")
T = TypeVar("T")

# Threads that may hang at once: each keeps what it holds.
MOST = 4
# Seconds that the end of the process waits for what runs: a thread that is cut off inside
# compiled code may abort the process.
_GRACE = 10.0


class Late(Exception):
    """A task gave no answer in time."""


class Lone(Generic[H]):
    """Runs tasks one after the other on a daemon thread, each with what the thread holds.

    A task that is late is left behind with its thread and what that holds: those after it go on
    with another thread, for which `make` makes it anew. While `MOST` hang they wait instead. A
    thread that keeps the interpreter to itself, as a pattern of `re` does, can't be left.
    """

    def __init__(self, held: H, make: Callable[[], H], *, name: str) -> None:
        self._held: H | None = held
        self._make, self._name = make, name
        self._begin_anew()
        atexit.register(self.end)
        with suppress(AttributeError):  # where there are no forks
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        # A forked process has the object and not its threads. What one of them had then is lost.
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[H], Any]]] = deque()
        self._worker: threading.Thread | None = None
        self._running: Future[Any] | None = None
        self._left: list[Future[Any]] = []
        self._over = False

    def run(self, task: Callable[[H], T], seconds: float) -> T:
        """What `task` makes of what is held; Late if that takes more than `seconds`.

        Once the process ends who ends it is told so at once.
        """
        future: Future[T] = Future()
        job = future, task
        with self._changed:
            # A daemon's thread goes with the process while it waits.
            if self._over and threading.current_thread() is threading.main_thread():
                raise Late("nothing is begun any more")
            self._hire()
            self._waiting.append(job)
            self._changed.notify()
        wait([future], seconds)
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                future.cancel()
            elif not future.done():
                self._leave(future)
        if not future.done() or future.cancelled():
            raise Late(f"no answer within {seconds:g} s")
        return future.result()

    def _hire(self) -> None:
        if self._worker is None and not self._over:
            worker = threading.Thread(target=self._work, daemon=True, name=self._name)
            worker.start()
            self._worker = worker

    def _leave(self, late: Future[Any]) -> None:
        """Go on without the thread that runs what is late, unless too many hang."""
        self._left = [each for each in self._left if not each.done()]
        if self._running is late and len(self._left) < MOST:
            self._left.append(late)
            self._worker = self._running = None
            if self._waiting:
                self._hire()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            future, task = job
            held: H | None = None
            try:
                held = self._take()
                result = task(held)
            except BaseException as error:
                self._give_back(future, held)
                future.set_exception(error)
            else:
                self._give_back(future, held)
                future.set_result(result)
                del result
            # While there is nothing to do, nothing of a task is kept.
            del job, future, task, held

    def _next(self) -> tuple[Future[Any], Callable[[H], Any]] | None:
        """The next task; None for a thread that was left behind."""
        with self._changed:
            while self._worker is threading.current_thread():
                if self._waiting:
                    job = self._waiting.popleft()
                    self._running = job[0]
                    return job
                self._changed.wait()
        return None

    def _take(self) -> H:
        with self._changed:
            held, self._held = self._held, None
        return self._make() if held is None else held

    def _give_back(self, future: Future[Any], held: H | None) -> None:
        with self._changed:
            if self._running is future:
                self._held, self._running = held, None

    def end(self) -> None:
        """Begin nothing any more, and give what runs a moment; what hangs gets none."""
        with self._changed:
            self._waiting.clear()
            self._over, self._worker = True, None
            self._changed.notify_all()
            running = [self._running] if self._running else []
        wait(running, _GRACE)
