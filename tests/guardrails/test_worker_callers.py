"""Checks and their caller: its context, its cancellation, its loops, and any mix of checks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agno_portkey.workers import Job, arace, race

LONG, SHORT = 30.0, 0.03
HOW = ("sync", "async")
VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


def never(place: int, outcome: Any) -> bool:
    return False


def run(how: str, jobs: list[Job], ends: Callable[[int, Any], bool] = never) -> list[Any]:
    return race(jobs, ends) if how == "sync" else asyncio.run(arace(jobs, ends))


def blocking(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(function, timeout)


def awaiting(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(None, timeout, function)


async def one() -> int:
    return 1


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_a_job_sees_its_callers_context_and_leaves_no_trace_in_it(how: str, kind: str) -> None:
    def look() -> str:
        seen = VAR.get()
        VAR.set("changed")
        return seen

    async def alook() -> str:
        return look()

    job = blocking(look) if kind == "blocking" else awaiting(alook)

    def inside() -> None:
        VAR.set("caller")
        assert run(how, [job] * 5) == ["caller"] * 5
        assert VAR.get() == "caller"

    contextvars.copy_context().run(inside)
    assert VAR.get() == "unset"


async def test_a_caller_that_is_cancelled_takes_its_jobs_with_it() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await hangs()
        finally:
            cancelled.set()

    task = asyncio.create_task(arace([awaiting(waits)], never))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cancelled.wait()


@pytest.mark.parametrize("steps", range(8))
async def test_a_cancellation_is_never_lost_to_an_outcome(steps: int) -> None:
    go, after = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        await go.wait()
        after.set()

    task = asyncio.create_task(arace([awaiting(waits)], never))
    await asyncio.sleep(0)
    go.set()
    await after.wait()
    for _ in range(steps):
        await asyncio.sleep(0)
    was_under_way = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == was_under_way


def test_two_loops_one_after_the_other() -> None:
    async def body() -> list[Any]:
        return await arace([blocking(lambda: 1), awaiting(one)], never)

    assert [asyncio.run(body()) for _ in range(3)] == [[1, 1]] * 3


async def test_a_blocking_race_inside_a_running_loop() -> None:
    assert race([awaiting(one), blocking(lambda: 2), blocking(one)], never) == [1, 2, 1]


KINDS = ("result", "raise", "hang", "await", "await raise", "await late", "await in a thread")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(KINDS), max_size=8), st.sampled_from(HOW))
def test_any_mix_of_jobs_gives_each_its_own_outcome(kinds: list[str], how: str) -> None:
    forever = threading.Event()

    def made(place: int, kind: str) -> Job:
        def raises() -> None:
            raise ValueError(place)

        async def result() -> int:
            return place

        async def araises() -> None:
            raises()

        jobs = {
            "result": blocking(lambda: place),
            "raise": blocking(raises),
            "hang": blocking(forever.wait, SHORT),
            "await": awaiting(result),
            "await raise": awaiting(araises),
            "await late": awaiting(hangs, SHORT),
            "await in a thread": blocking(lambda: result()),
        }
        return jobs[kind]

    outcomes = run(how, [made(place, kind) for place, kind in enumerate(kinds)])
    forever.set()
    for place, (kind, outcome) in enumerate(zip(kinds, outcomes, strict=True)):
        if kind in ("hang", "await late"):
            assert isinstance(outcome.error, TimeoutError)
        elif "raise" in kind:
            assert (type(outcome.error), outcome.error.args) == (ValueError, (place,))
        else:
            assert outcome == place
