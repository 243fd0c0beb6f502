"""The threads of checks: limits, loops that are left, forks, and the end of a process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import agno_portkey
from agno_portkey import threads, workers
from agno_portkey.threads import Loop, Pool
from agno_portkey.workers import Job, arace, race

LONG, SHORT = 30.0, 0.03
HOW = ("sync", "async")


def never(place: int, outcome: Any) -> bool:
    return False


def run(how: str, jobs: list[Job], ends: Callable[[int, Any], bool] = never) -> list[Any]:
    return race(jobs, ends) if how == "sync" else asyncio.run(arace(jobs, ends))


def blocking(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(function, timeout)


def awaiting(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(None, timeout, function)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool of at most two threads in place of the one that all checks share."""
    monkeypatch.setattr(threads, "LIMIT", 2)
    monkeypatch.setattr(workers, "pool", Pool())
    return workers.pool


@pytest.mark.parametrize("how", HOW)
def test_where_all_threads_hang_a_check_fails_in_its_time(how: str, two_threads: Pool) -> None:
    forever = threading.Event()
    run(how, [blocking(forever.wait, SHORT)] * 2)
    [failed] = run(how, [blocking(lambda: 1, SHORT)])
    assert isinstance(failed.error, TimeoutError)
    assert "no thread was to be had" in str(failed.error)
    forever.set()
    assert run(how, [blocking(lambda: 1)]) == [1]


@pytest.mark.parametrize("how", HOW)
def test_where_all_threads_are_busy_a_check_waits_for_one(how: str, two_threads: Pool) -> None:
    go = threading.Event()
    run(how, [blocking(go.wait, SHORT)] * 2)
    threading.Timer(SHORT, go.set).start()
    jobs = [blocking(partial(str, place)) for place in range(5)]
    assert run(how, jobs) == ["0", "1", "2", "3", "4"]


def test_what_stands_behind_an_end_is_never_begun(
    monkeypatch: pytest.MonkeyPatch, two_threads: Pool
) -> None:
    monkeypatch.setattr(threads, "LIMIT", 1)
    begun: list[int] = []
    jobs = [blocking(lambda: "no"), *[blocking(lambda: begun.append(1))] * 3]
    assert race(jobs, lambda place, outcome: True) == ["no", None, None, None]
    assert race([blocking(lambda: 2)], never) == [2]
    assert begun == []


def test_a_race_that_is_called_off_begins_nothing_more(
    monkeypatch: pytest.MonkeyPatch, two_threads: Pool
) -> None:
    monkeypatch.setattr(threads, "LIMIT", 1)
    begun, go = threading.Event(), threading.Event()
    later: list[int] = []

    def first() -> None:
        begun.set()
        go.wait(LONG)

    async def body() -> None:
        task = asyncio.create_task(
            arace([blocking(first), blocking(lambda: later.append(1))], never)
        )
        await asyncio.to_thread(begun.wait, LONG)
        task.cancel()

    asyncio.run(body())
    go.set()
    assert race([blocking(lambda: 1)], never) == [1]
    assert later == []


def test_who_waits_for_a_thread_asks_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, two_threads: Pool
) -> None:
    asked: list[int] = []

    class Counts(Pool):
        def submit(self, task: Callable[[], None]) -> bool:
            asked.append(1)
            return False

    monkeypatch.setattr(workers, "pool", Counts())
    race([blocking(lambda: 1, 0.3)], never)
    assert 3 < len(asked) < 15


def test_a_system_without_threads_fails_the_check_and_not_the_next(two_threads: Pool) -> None:
    before = threading.stack_size(2**46)  # nobody has room for that
    try:
        [failed] = race([blocking(lambda: 1, SHORT)], never)
    finally:
        threading.stack_size(before)
    assert isinstance(failed.error, TimeoutError)
    for _ in range(3):
        assert race([blocking(lambda: 1)], never) == [1]


def test_threads_that_were_needed_once_are_let_go_and_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "LIMIT", 24)
    monkeypatch.setattr(workers, "pool", Pool())
    for _ in range(3):
        barrier = threading.Barrier(24)
        used: list[threading.Thread] = []

        def meets(barrier: threading.Barrier = barrier, used: list[Any] = used) -> None:
            used.append(threading.current_thread())
            barrier.wait(LONG)

        assert race([blocking(meets)] * 24, never) == [None] * 24
        until = time.monotonic() + LONG
        while sum(thread.is_alive() for thread in used) > 16 and time.monotonic() < until:
            time.sleep(0.001)
        assert sum(thread.is_alive() for thread in used) == 16


def test_a_loop_that_was_left_ends_when_all_on_it_has_ended() -> None:
    own, go, begun = Loop(), asyncio.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def stays() -> threading.Thread:
        loops.append(asyncio.get_running_loop())
        begun.set()
        await go.wait()
        return threading.current_thread()

    staying = own.submit(stays())
    assert begun.wait(LONG)
    own.abandon()
    own.abandon()
    other = own.submit(_thread()).result(LONG)
    loops[0].call_soon_threadsafe(go.set)
    left = staying.result(LONG)
    assert left is not other
    left.join(LONG)
    assert loops[0].is_closed()
    assert other.is_alive()
    own.abandon()
    other.join(LONG)
    assert not other.is_alive()


def test_an_outcome_that_comes_when_the_loop_is_closed_harms_nobody() -> None:
    asked, closed = threading.Event(), threading.Event()

    def ends(place: int, outcome: Any) -> bool:
        asked.set()
        return closed.wait(LONG)

    async def body() -> None:
        task = asyncio.create_task(arace([blocking(threading.current_thread)], ends))
        await asyncio.to_thread(asked.wait, LONG)
        task.cancel()

    asyncio.run(body())
    closed.set()
    assert race([blocking(lambda: 1)] * 3, never) == [1, 1, 1]


async def _thread() -> threading.Thread:
    return threading.current_thread()


# Processes


# The package's own modules alone, without all that it imports.
_ALONE = f"""
import sys, types
sys.modules["agno_portkey"] = types.ModuleType("agno_portkey")
sys.modules["agno_portkey"].__path__ = {agno_portkey.__path__!r}
"""


def _python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", *options, "-c", _ALONE + code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_checks_that_hang_hinder_neither_the_next_nor_the_end_of_the_process() -> None:
    code = """
import asyncio, threading, time
from agno_portkey.workers import Job, arace, race
never = lambda place, outcome: False
forever = threading.Event()
async def hangs():
    forever.wait()
async def one():
    return 1
for _ in range(10):
    outcomes = race([Job(forever.wait, 0.01), Job(None, 0.01, hangs)] * 2, never)
    assert all(isinstance(each.error, TimeoutError) for each in outcomes), outcomes
    outcomes = asyncio.run(arace([Job(forever.wait, 0.01)] * 2, never))
    assert all(isinstance(each.error, TimeoutError) for each in outcomes), outcomes
    jobs = [Job(lambda: 1, 30), Job(None, 30, one)]
    assert race(jobs, never) == asyncio.run(arace(jobs, never)) == [1, 1]
print("done")
"""
    ended = _python(code)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)


def test_a_child_process_has_threads_of_its_own() -> None:
    code = """
import os, sys
from agno_portkey import threads
from agno_portkey.workers import Job, race
async def one():
    return 1
jobs = [Job(lambda: 1, 30), Job(None, 30, one)]
check = lambda: race(jobs, lambda place, outcome: False)
assert check() == [1, 1]
with threads.pool._lock, threads.loop._lock:
    child = os.fork()
    if child == 0:
        os._exit(0 if check() == [1, 1] else 1)
assert check() == [1, 1]
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    # Newer Pythons warn of any fork beside threads.
    ended = _python(code, "-W", "ignore::DeprecationWarning")
    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_what_a_child_begins_with_is_not_what_its_parent_had_locked() -> None:
    async def one() -> int:
        return 1

    with threads.pool._lock, threads.loop._lock:
        threads._begin_anew()
        assert race([blocking(lambda: 1), Job(None, LONG, one)], never) == [1, 1]
