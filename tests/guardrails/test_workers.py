"""Checks beside their caller: each its own outcome, in its time; the first no ends the rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from agno_portkey.workers import Failed, Job, arace, race

LONG, SHORT = 30.0, 0.03
HOW = ("sync", "async")


def never(place: int, outcome: Any) -> bool:
    return False


def run(how: str, jobs: Sequence[Job], ends: Callable[[int, Any], bool] = never) -> list[Any]:
    return race(jobs, ends) if how == "sync" else asyncio.run(arace(jobs, ends))


def blocking(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(function, timeout)


def awaiting(function: Callable[[], Any], timeout: float = LONG) -> Job:
    return Job(None, timeout, function)


@pytest.fixture
def forever() -> Iterator[threading.Event]:
    """What a hanging check waits for; it is let go when the test is over."""
    event = threading.Event()
    yield event
    event.set()


async def one() -> int:
    return 1


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", HOW)
def test_no_jobs_have_no_outcomes(how: str) -> None:
    assert run(how, []) == []


@pytest.mark.parametrize("how", HOW)
def test_outcomes_stand_in_the_order_of_the_jobs_not_of_their_ends(how: str) -> None:
    second, third = threading.Event(), threading.Event()

    async def last() -> str:
        third.set()
        return "c"

    def first() -> str:
        assert second.wait(LONG)
        return "a"

    def middle() -> str:
        assert third.wait(LONG)
        second.set()
        return "b"

    assert run(how, [blocking(first), blocking(middle), awaiting(last)]) == ["a", "b", "c"]


@pytest.mark.parametrize("how", HOW)
def test_blocking_jobs_are_under_way_at_once(how: str) -> None:
    barrier = threading.Barrier(12)
    places = run(how, [blocking(lambda: barrier.wait(LONG))] * 12)
    assert sorted(places) == [*range(12)]


@pytest.mark.parametrize("how", HOW)
def test_awaiting_jobs_are_under_way_at_once(how: str) -> None:
    barrier = asyncio.Barrier(12)
    places = run(how, [awaiting(barrier.wait)] * 12)
    assert sorted(places) == [*range(12)]


def test_a_job_with_both_forms_is_awaited_where_that_is_possible() -> None:
    both = Job(lambda: "blocked", LONG, one)
    assert (run("sync", [both]), run("async", [both])) == (["blocked"], [1])


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("how_it_ends", [blocking(lambda: "no"), awaiting(lambda: said("no"))])
def test_the_first_end_calls_off_all_that_is_under_way(
    how: str, how_it_ends: Job, forever: threading.Event
) -> None:
    cancelled = threading.Event()

    async def waits() -> None:
        try:
            await hangs()
        finally:
            cancelled.set()

    jobs = [blocking(forever.wait), awaiting(waits), awaiting(waits), how_it_ends]
    assert run(how, jobs, lambda place, outcome: outcome == "no") == [None, None, None, "no"]
    assert cancelled.wait(LONG)


async def said(text: str) -> str:
    return text


@pytest.mark.parametrize("how", HOW)
def test_where_nobody_can_tell_whether_it_ends_it_ends_failed(how: str) -> None:
    def cant_tell(place: int, outcome: Any) -> bool:
        raise ValueError("what is that?")

    [first, second] = run(how, [blocking(lambda: 1), awaiting(hangs)], cant_tell)
    assert isinstance(first.error, ValueError)
    assert second is None


# Too late


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["blocks", "awaits"])
def test_who_is_late_has_no_verdict(how: str, kind: str, forever: threading.Event) -> None:
    late = blocking(forever.wait, SHORT) if kind == "blocks" else awaiting(hangs, SHORT)
    [failed, other] = run(how, [late, blocking(lambda: 2)])
    assert other == 2
    assert isinstance(failed.error, TimeoutError)
    assert str(failed.error) == "no verdict within 0.03 s"


def test_a_job_that_blocks_the_loop_of_others_is_left_behind(forever: threading.Event) -> None:
    async def blocks() -> None:
        forever.wait()

    [failed] = race([awaiting(blocks, SHORT)], never)
    assert isinstance(failed.error, TimeoutError)
    assert race([awaiting(one)], never) == [1]


def test_a_verdict_that_comes_before_anybody_could_see_it_is_late_is_late() -> None:
    async def blocks() -> str:
        threading.Event().wait(2 * SHORT)
        return "passed"

    [failed] = asyncio.run(arace([awaiting(blocks, SHORT)], never))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TimeoutError)


def test_a_late_job_of_both_forms_is_cancelled_when_it_is_late() -> None:
    async def body() -> tuple[bool, list[Any]]:
        cancelled = asyncio.Event()

        async def waits() -> None:
            try:
                await hangs()
            finally:
                cancelled.set()

        outcomes = await arace([Job(None, SHORT, waits), awaiting(cancelled.wait)], never)
        return cancelled.is_set(), outcomes

    was_cancelled, [failed, saw_it] = asyncio.run(body())
    assert was_cancelled
    assert isinstance(failed.error, TimeoutError)
    assert saw_it is True


# What is raised


class Odd(BaseException):
    pass


RAISED = (
    ValueError("x"),
    SystemExit(3),
    KeyboardInterrupt("x"),
    GeneratorExit("x"),
    StopIteration("x"),
    Odd("x"),
    asyncio.CancelledError("x"),
)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_thread_raises_is_its_outcome(how: str, error: BaseException) -> None:
    def raises() -> None:
        raise error

    [failed, other] = run(how, [blocking(raises), blocking(lambda: 2)])
    assert failed.error is error
    assert other == 2
    # The thread is there for the next one.
    assert run(how, [blocking(lambda: 3)]) == [3]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "error", [SystemExit(3), Odd("x"), ValueError("x")], ids=lambda error: type(error).__name__
)
def test_whatever_is_raised_while_awaiting_is_its_outcome(how: str, error: BaseException) -> None:
    raised = asyncio.Event()

    async def raises() -> None:
        raised.set()
        raise error

    async def goes_on() -> int:
        await raised.wait()
        await asyncio.sleep(0.01)
        return 2

    [failed, other] = run(how, [awaiting(raises), awaiting(goes_on)])
    assert failed.error is error
    assert other == 2


def test_an_interrupt_raised_by_a_check_does_not_end_the_loop_of_others() -> None:
    async def raises() -> None:
        raise KeyboardInterrupt("x")

    [failed, other] = race([awaiting(raises), awaiting(one)], never)
    assert isinstance(failed.error, KeyboardInterrupt)
    assert other == 1


@pytest.mark.parametrize("how", HOW)
def test_a_job_that_calls_itself_off_has_failed(how: str) -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    [failed] = run(how, [awaiting(cancels)])
    assert isinstance(failed.error, asyncio.CancelledError)


@pytest.mark.parametrize("how", HOW)
def test_what_a_blocking_job_gives_to_await_is_awaited(how: str) -> None:
    class Awaitable_:
        def __await__(self) -> Iterator[Any]:
            return one().__await__()

    async def raises() -> None:
        raise SystemExit("x")

    jobs = [blocking(lambda: one()), blocking(Awaitable_), blocking(lambda: raises())]
    [first, second, failed] = run(how, jobs)
    assert (first, second) == (1, 1)
    assert isinstance(failed.error, SystemExit)
