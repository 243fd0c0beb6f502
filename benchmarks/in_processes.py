"""Plays jobs in processes of their own; a job whose process dies is told as such, never lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

__all__ = ["Desk", "Died", "play_each"]

# Entered once in each process; what it gives plays one job after the other there.
Desk = Callable[[], AbstractContextManager[Callable[[Any], Any]]]
_CONTEXT = get_context("spawn")


@dataclass(frozen=True)
class Died:
    """In the place of an outcome: the process ended, with `exit_code`, before there was one."""

    exit_code: int | None


def play_each(jobs: Iterable[Any], desk: Desk, *, processes: int) -> Iterator[tuple[Any, Any]]:
    """Each of `jobs` with its outcome or `Died`, in the order in which they end.

    Jobs, outcomes and `desk` are pickled. A process that died is replaced if it had played
    anything; where none is left, the jobs that still wait have died as well.
    """
    waiting = deque(jobs)
    idle = [_Worker(desk) for _ in range(min(processes, len(waiting)))]
    busy: dict[Any, _Worker] = {}
    exit_code = None
    while busy or (waiting and idle):
        while waiting and idle:
            worker = idle.pop()
            worker.take(waiting.popleft())
            busy[worker.pipe] = worker
        for pipe in wait([*busy]):
            worker = busy.pop(pipe)
            outcome = worker.outcome()
            yield worker.job, outcome
            if not isinstance(outcome, Died):
                idle.append(worker)
                continue
            exit_code = outcome.exit_code
            if worker.has_played and waiting:
                idle.append(_Worker(desk))
    for worker in idle:
        worker.end()
    yield from ((job, Died(exit_code)) for job in waiting)


class _Worker:
    """One process, with one job at a time."""

    def __init__(self, desk: Desk) -> None:
        self.job: Any = None
        self.has_played = False
        self.pipe, theirs = _CONTEXT.Pipe()
        # A daemon ends with this process, however that ends.
        self._process = _CONTEXT.Process(target=_serve, args=(desk, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends when the process does

    def take(self, job: Any) -> None:
        self.job = job
        with suppress(BrokenPipeError):  # it has died at the start, as its outcome will tell
            self.pipe.send(job)

    def outcome(self) -> Any:
        try:
            outcome = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Died(self._process.exitcode)
        self.has_played = True
        return outcome

    def end(self) -> None:
        self.pipe.close()
        self._process.join()


def _serve(desk: Desk, pipe: Connection) -> None:
    with desk() as play:
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                return
            pipe.send(play(job))
