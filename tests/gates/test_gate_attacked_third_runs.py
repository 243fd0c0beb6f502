"""Runs that end, and databases that fail, while a Runner is admitted: found by attack."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from admission_scene import Desk
from agno.run import RunContext
from agno.tools.function import Function
from dropping import superseded

from agno_portkey import Gate
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates import Check, approving
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.owed import Owed
from agno_portkey.gates.step import StepCharter
from agno_portkey.gates.tools import protect
from agno_portkey.runs import Fingerprint
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict

KNOWN = Fingerprint("sha256:f1", {"Judge.model": "gpt-4o-mini"})


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


def a_desk(file: str, *gates: Gate, run_id: str = "team", **changed: Any) -> Desk:
    """A team as in a process of its own, on the database in `file`."""
    # Nothing is made up for in the background unless a test waits for it.
    books = replace(books_in(file), owed=Owed(600, 600), **changed)
    one = Desk.of(*gates, books=books, run_id=run_id)
    one.charter.fingerprint_now = lambda: KNOWN
    return one


def states(file: str) -> list[str]:
    return [grant.state for grant in Clearances(file).of_swarm("Release")]


def done_elsewhere(file: str) -> list[str]:
    """What the protected tool does in another process, for the Runner's run of the team."""
    done: list[str] = []
    entry = lambda suite: done.append(suite)  # noqa: E731
    charter = a_desk(file, run_id="another").charter
    tool = protect(Function(name="run_tests", entrypoint=entry), charter)
    context = RunContext(run_id="team-r", session_id="s1", user_id="ann")
    assert tool.entrypoint is not None
    with suppress(ToolRefused):
        tool.entrypoint(_agno_run_context=context, suite="smoke")
    return done


@contextmanager
def replaced(clearances: Clearances, **methods: Callable[..., Any]) -> Iterator[None]:
    """What keeps the rows of `clearances`, with other methods."""
    store: Any = clearances._store
    vars(store).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(store)[name]


def down(*args: Any, **given: Any) -> Any:
    raise OSError("down")


def lying(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method` of a database that commits, and loses its connection before it says so."""

    def lie(*args: Any) -> Any:
        method(*args)
        raise OSError("connection lost")

    return lie


# A database that fails after it has committed


def test_a_clearance_whose_keeping_failed_is_good_nowhere(file: str) -> None:
    one = a_desk(file).judged(9)
    clearances = one.charter.books.clearances
    with replaced(clearances, insert=lying(clearances._store.insert)):
        assert one.refused().reason == "the gate's database failed: OSError"
    assert states(file) == ["revoked"]
    assert done_elsewhere(file) == []


def test_that_it_was_refused_is_in_the_history(file: str) -> None:
    one = a_desk(file).judged(9)
    books = one.charter.books
    with replaced(books.clearances, insert=lying(books.clearances._store.insert)):
        one.refused()
    assert books.history is not None
    passed, refused = books.history.series()
    assert passed.passed
    assert (refused.passed, refused.outcome, refused.by) == (False, "fail", "gate")
    assert refused.reasons == (
        "taken back by gate",
        "it could not be kept: the gate's database failed: OSError",
    )
    assert refused.plan_digest == passed.plan_digest


def test_a_clearance_that_was_not_kept_at_all_is_not_owed(file: str) -> None:
    one = a_desk(file).judged(9)
    with replaced(one.charter.books.clearances, insert=down):
        one.refused()
    assert states(file) == []
    assert one.admit().id is not None
    assert states(file) == ["claimed"]


def approved(file: str) -> tuple[Desk, str]:
    """A run whose plan a person has approved; and its clearance."""
    one = a_desk(file, Gate(approval=True)).judged(9)
    one.refused()
    books = one.charter.books
    [waits] = books.clearances.waiting()
    approving.approve(books, waits.id, by="boss")
    return one, waits.id


def test_one_whose_claim_failed_is_good_nowhere(file: str) -> None:
    one, id = approved(file)
    clearances = one.charter.books.clearances
    with replaced(clearances, swap=lying(clearances._store.swap)):
        assert one.refused().reason == "the gate's database failed: OSError"
    with suppress(OSError):
        one.charter.books.owed.settle()
    assert clearances.get(id).state == "revoked"
    assert done_elsewhere(file) == []


def test_one_that_was_not_claimed_can_be_used_still(file: str) -> None:
    one, id = approved(file)
    with replaced(one.charter.books.clearances, swap=down):
        one.refused()
    assert one.admit().id == id


# A team run that ends while its Runner waits to be admitted


@dataclass(frozen=True, kw_only=True)
class Meanwhile(Check):
    """Something happens while it is asked."""

    name: str = "meanwhile"
    asks: bool = True
    happens: list[Callable[[], object]] = field(default_factory=list)

    def decide(self, case: Any) -> Verdict:
        for happen in self.happens:
            happen()
        return Verdict(True, self.name, (), 1.0)


def declined(one: Desk) -> None:
    one.charter.decline(one.run)


def begun_anew(one: Desk) -> None:
    one.charter.open("team", "Release")


def ended(one: Desk) -> None:
    one.run.ended = True


ENDS = pytest.mark.parametrize("end", [declined, begun_anew, ended])


@ENDS
def test_a_run_that_ends_while_checks_are_asked_is_not_cleared(
    end: Callable[[Desk], None], file: str
) -> None:
    happens: list[Callable[[], object]] = []
    one = a_desk(file, Gate(checks=(Meanwhile(happens=happens),))).judged(9)
    happens.append(lambda: end(one))
    assert one.refused().reason.startswith("its team's run ")
    assert states(file) == []
    assert one.run.clearance is None


@ENDS
def test_one_that_ends_while_its_clearance_is_kept_loses_it(
    end: Callable[[Desk], None], file: str
) -> None:
    one = a_desk(file).judged(9)
    clearances = one.charter.books.clearances
    insert = clearances._store.insert

    def late(row: Any) -> bool:
        end(one)
        return insert(row)

    with replaced(clearances, insert=late):
        one.refused()
    assert states(file) == ["revoked"]
    assert done_elsewhere(file) == []
    assert one.run.clearance is None


@ENDS
def test_one_that_ends_while_an_approval_is_claimed_loses_that(
    end: Callable[[Desk], None], file: str
) -> None:
    one, id = approved(file)
    clearances = one.charter.books.clearances
    swap = clearances._store.swap

    def late(old: Any, new: Any) -> bool:
        if new["state"] == "claimed":
            end(one)
        return swap(old, new)

    with replaced(clearances, swap=late):
        assert one.refused().reason.startswith("its team's run ")
    assert clearances.get(id).state == "revoked"
    assert one.run.clearance is None


def test_another_plan_while_a_clearance_is_kept_takes_it_back(file: str) -> None:
    one = a_desk(file).judged(9)
    clearances = one.charter.books.clearances
    insert = clearances._store.insert

    def late(row: Any) -> bool:
        superseded(one)
        return insert(row)

    with replaced(clearances, insert=late):
        assert "has another plan by now" in one.refused().reason
    assert states(file) == ["revoked"]


async def test_a_workflow_that_has_ended_hands_on_no_clearance(file: str) -> None:
    charter = StepCharter(Gate(), swarm="Release", books=books_in(file))
    one = Desk.at(charter, "flow").judged(9)
    assert await charter.apass(one.run, None, AsyncIO()) == SOUND
    one.run.ended = True
    with pytest.raises(GateClosed, match="has ended"):
        await one.aadmit()
    assert states(file) == ["granted"]


# What is called off while the database is busy


async def test_what_was_called_off_is_taken_back_once_the_database_lets_it(file: str) -> None:
    one = a_desk(file).judged(9)
    books = one.charter.books
    inside, free, failed = threading.Event(), threading.Event(), threading.Event()
    insert = books.clearances._store.insert

    def slow(row: Any) -> bool:
        inside.set()
        assert free.wait(30)
        return insert(row)

    def busy(*args: Any) -> bool:
        failed.set()
        raise OSError("database is locked")

    with replaced(books.clearances, insert=slow, swap=busy):
        asked = asyncio.create_task(one.aadmit())
        assert await asyncio.to_thread(inside.wait, 30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        free.set()
        assert await asyncio.to_thread(failed.wait, 30)
    books.owed.settle()
    assert states(file) == ["revoked"]
    assert done_elsewhere(file) == []


def test_what_is_called_off_as_its_loop_ends_is_taken_back_too(file: str) -> None:
    one = a_desk(file).judged(9)
    insert = one.charter.books.clearances._store.insert
    inside, free = threading.Event(), threading.Event()

    def slow(row: Any) -> bool:
        inside.set()
        assert free.wait(30)
        return insert(row)

    async def play() -> None:
        asked = asyncio.create_task(one.aadmit())
        assert await asyncio.to_thread(inside.wait, 30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        # The loop takes nothing more by the time that it is written.
        free.set()

    with replaced(one.charter.books.clearances, insert=slow):
        asyncio.run(play())
    assert states(file) == ["revoked"]


async def test_so_is_an_approval_that_was_being_claimed(file: str) -> None:
    one, id = approved(file)
    books = one.charter.books
    inside, free, failed = threading.Event(), threading.Event(), threading.Event()
    swap = books.clearances._store.swap

    def slow(old: Any, new: Any) -> bool:
        if new["state"] == "revoked":
            failed.set()
            raise OSError("database is locked")
        inside.set()
        assert free.wait(30)
        return swap(old, new)

    with replaced(books.clearances, swap=slow):
        asked = asyncio.create_task(one.aadmit())
        assert await asyncio.to_thread(inside.wait, 30)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        free.set()
        assert await asyncio.to_thread(failed.wait, 30)
    books.owed.settle()
    assert books.clearances.get(id).state == "revoked"


# Two threads that know a run of another process again


def test_two_threads_that_go_on_with_a_run_leave_it_its_clearance(file: str) -> None:
    a_desk(file).judged(9).admit()
    other = a_desk(file, run_id="another")
    both = threading.Barrier(2)
    of_team_run = other.charter.books.clearances.of_team_run

    def together(*args: Any, **given: Any) -> Any:
        found = of_team_run(*args, **given)
        # Both have looked before either goes on, unless one is kept from looking.
        with suppress(threading.BrokenBarrierError):
            both.wait(1)
        return found

    vars(other.charter.books.clearances)["of_team_run"] = together
    known: list[Any] = []
    threads = [
        threading.Thread(target=lambda: known.append(other.charter.station("team-r")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert states(file) == ["claimed"]
    first, second = known
    assert first is second is not None
    assert first.run.clearance is not None


# A threshold that was tightened in the middle of a run


@dataclass(frozen=True, kw_only=True)
class Asked(Check):
    """Comes to 0.6, and has to be waited for."""

    name: str = "asked"
    asks: bool = True
    during: list[Callable[[], object]] = field(default_factory=list)

    @property
    def threshold(self) -> float:
        return 0.5

    def decide(self, case: Any) -> Verdict:
        needed = case.threshold_of(self)
        for happen in self.during:
            happen()
        passed = needed <= 0.6
        return Verdict(passed, self.name, () if passed else (f"0.6, {needed} needed",), 0.6)


class Adjusted:
    """Thresholds that somebody adjusts."""

    def __init__(self) -> None:
        self.now = {"gate": {"asked": 0.5}}

    def current(self, gates: Any) -> dict[str, dict[str, float]]:
        return self.now


def test_a_threshold_holds_for_what_a_check_has_said_before_it_was_tightened(file: str) -> None:
    adjusted = Adjusted()
    one = a_desk(file, Gate(checks=(Asked(),)), thresholds=adjusted)
    one.run.propose(SOUND)
    assert "has not judged this plan" in one.refused().reason
    adjusted.now = {"gate": {"asked": 0.9}}
    assert one.judged(9).refused().reason == "0.6, 0.9 needed"
    assert states(file).count("claimed") == 0


def test_what_a_check_says_by_a_threshold_of_before_does_not_count(file: str) -> None:
    during: list[Callable[[], object]] = []
    one = a_desk(file, Gate(checks=(Asked(during=during),)), thresholds=Adjusted()).judged(9)
    # As another Runner of the team does that asks at the same time.
    during.append(lambda: setattr(one.run, "thresholds", {"gate": {"asked": 0.9}}))
    assert one.refused().reason == "it has not been asked yet"


def test_what_a_check_has_said_by_the_same_threshold_is_not_asked_again(file: str) -> None:
    times: list[int] = []
    check = Asked(during=[lambda: times.append(1)])
    one = a_desk(file, Gate(checks=(check,)), thresholds=Adjusted())
    one.run.propose(SOUND)
    one.refused()
    one.judged(9).admit()
    assert times == [1]


def test_books_that_come_late_are_made_once(file: str) -> None:
    one = Desk.of(books=Books()).judged(9)
    made: list[Books] = []
    both = threading.Barrier(2)

    def since() -> Books:
        with suppress(threading.BrokenBarrierError):
            both.wait(1)
        made.append(books_in(file))
        return made[-1]

    one.charter.books_since = since
    threads = [threading.Thread(target=lambda: one.charter.books) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [one.charter.books] == made
