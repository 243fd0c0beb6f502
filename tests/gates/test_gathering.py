"""Checks that ask: at once, within their time, once for each plan, and never on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from admission_scene import Desk, judgement

from agno_portkey.contracts import Plan
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Gate
from agno_portkey.gates.books import Books
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks import Check, all_of, any_of, weighted
from agno_portkey.gates.clearance import Clearances
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict

OTHER = Plan(goal="Ship 2.2", steps=SOUND.steps)


@dataclass(frozen=True, kw_only=True)
class Asks(Check):
    """Asks `body`, and keeps the cases that it was asked of."""

    name: str = "asks"
    body: Callable[[Case], Any] = field(repr=False, hash=False)
    cases: list[Case] = field(default_factory=list, repr=False, hash=False)

    asks = True

    def decide(self, case: Case) -> Verdict:
        self.cases.append(case)
        said: Verdict = self.body(case)
        return said


def yes(name: str = "asks", score: float = 1.0) -> Verdict:
    return Verdict(True, name, (), score)


def no(name: str = "asks", score: float = 0.0) -> Verdict:
    return Verdict(False, name, ("it is too dear",), score)


def asks(*said: Any, name: str = "asks", **options: Any) -> Asks:
    """A check that says each of these in turn, the last again and again; errors are raised."""
    left = [*said]

    def body(case: Case) -> Any:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, BaseException):
            raise one
        return one

    return Asks(name=name, body=body, **options)


FORMS = ("sync", "async")


def refusal(desk: Desk, form: str = "sync", run_id: str | None = None) -> str:
    try:
        admitted(desk, form, run_id)
    except GateClosed as closed:
        return str(closed.verdict.reason)
    raise AssertionError("it was admitted")


def admitted(desk: Desk, form: str = "sync", run_id: str | None = None) -> Any:
    return desk.admit(run_id) if form == "sync" else asyncio.run(desk.aadmit(run_id))


# What they may come to


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (no(), "it is too dear"),
        (ZeroDivisionError("secret"), "the check asks failed: ZeroDivisionError"),
        (SystemExit(1), "the check asks failed: SystemExit"),
        ("fine", "the check asks gave str in place of a verdict"),
        (None, "the check asks gave NoneType in place of a verdict"),
    ],
    ids=["no", "raises", "exits", "junk", "nothing"],
)
def test_a_check_that_does_not_say_yes_keeps_the_gate_closed(
    form: str, said: Any, why: str
) -> None:
    desk = Desk.of(Gate(checks=(asks(said),))).judged()
    assert refusal(desk, form) == why
    assert desk.run.clearance is None


@pytest.mark.parametrize("form", FORMS)
def test_one_that_hangs_refuses_after_its_time(form: str) -> None:
    free = threading.Event()
    hangs = Asks(body=lambda case: free.wait() and yes(), timeout=0.05)
    desk = Desk.of(Gate(checks=(hangs,))).judged()
    try:
        assert refusal(desk, form) == "the check asks failed: no verdict within 0.05 s"
    finally:
        free.set()


@pytest.mark.parametrize("form", FORMS)
def test_one_that_says_yes_opens_it(form: str) -> None:
    check = asks(yes())
    desk = Desk.of(Gate(checks=(check,))).judged()
    assert admitted(desk, form).plan == SOUND
    assert len(check.cases) == 1


def test_it_is_asked_of_the_whole_case() -> None:
    check = asks(yes())
    desk = Desk.of(Gate(checks=(check,))).judged()
    desk.run.request = "Ship it"
    desk.admit()
    [case] = check.cases
    assert (case.plan, case.request, case.fingerprint) == (SOUND, "Ship it", "sha256:f1")
    assert case.judgement.output == judgement(9)


# How often


def test_each_is_asked_once_for_each_plan() -> None:
    one, two = asks(yes("one"), name="one"), asks(no("two"), name="two")
    desk = Desk.of(Gate(name="a", checks=(one,)), Gate(name="b", checks=(two,))).judged()
    for run_id in ("r1", "r2"):
        assert desk.refused(run_id).reason == "it is too dear"
    assert (len(one.cases), len(two.cases)) == (1, 1)
    desk.judged(plan=OTHER)
    desk.refused("r3")
    assert [case.plan for case in one.cases] == [SOUND, OTHER]


def test_what_has_failed_is_asked_again() -> None:
    check = asks(ZeroDivisionError(), "junk", yes())
    desk = Desk.of(Gate(checks=(check,))).judged()
    assert "failed: ZeroDivisionError" in desk.refused("r1").reason
    assert "in place of a verdict" in desk.refused("r2").reason
    assert desk.admit("r3")
    assert len(check.cases) == 3


def test_two_gates_with_checks_of_one_name_ask_both() -> None:
    passes, refuses = asks(yes()), asks(no())
    desk = Desk.of(Gate(name="a", checks=(passes,)), Gate(name="b", checks=(refuses,))).judged()
    verdict = desk.refused()
    assert verdict.evidence["gates"] == {"a": True, "b": False}


def test_without_a_plan_nobody_is_asked() -> None:
    check = asks(yes())
    desk = Desk.of(Gate(checks=(check,)))
    assert "there is no plan yet" in desk.refused().reason
    assert check.cases == []


def test_one_that_nobody_has_asked_refuses_and_may_pass_yet() -> None:
    desk = Desk.of(Gate(checks=(asks(no()),))).judged()
    assert desk.charter.decide(desk.run).reasons == ("it has not been asked yet",)
    assert desk.charter.may_pass(desk.run)
    desk.refused()
    assert not desk.charter.may_pass(desk.run)


# At once


@pytest.mark.parametrize("form", FORMS)
def test_all_are_asked_at_once(form: str) -> None:
    # Each waits for the other two.
    together = threading.Barrier(3)

    def body(case: Case) -> Verdict:
        together.wait(30)
        return yes()

    one, two, three = (Asks(name=name, body=body) for name in ("one", "two", "three"))
    desk = Desk.of(Gate(name="a", checks=(one, two)), Gate(name="b", checks=(three,))).judged()
    assert admitted(desk, form)


async def test_the_event_loop_goes_on_while_they_are_asked() -> None:
    asked, free = threading.Event(), threading.Event()

    def body(case: Case) -> Verdict:
        asked.set()
        # Only the event loop frees it.
        return yes() if free.wait(30) else no()

    desk = Desk.of(Gate(checks=(Asks(body=body),))).judged()

    async def goes_on() -> None:
        assert await asyncio.to_thread(asked.wait, 30)
        free.set()

    clearance, _ = await asyncio.gather(desk.aadmit(), goes_on())
    assert clearance.plan == SOUND


async def test_the_event_loop_goes_on_while_a_clearance_is_kept() -> None:
    kept, free = threading.Event(), threading.Event()

    class Slow(Clearances):
        def put(self, grant: Any) -> None:
            kept.set()
            assert free.wait(30)
            super().put(grant)

    desk = Desk.of(books=Books(clearances=Slow())).judged()

    async def goes_on() -> None:
        assert await asyncio.to_thread(kept.wait, 30)
        free.set()

    clearance, _ = await asyncio.gather(desk.aadmit(), goes_on())
    assert desk.charter.books.clearances.get(clearance.id).state == "claimed"


# Combined


def test_the_parts_of_combined_checks_are_asked_too() -> None:
    parts = [asks(yes(name), name=name) for name in ("one", "two", "three")]
    whole = all_of(
        any_of(parts[0], asks(no("four"), name="four")),
        weighted((parts[1], 1), (parts[2], 2), at_least=0.5),
    )
    desk = Desk.of(Gate(checks=(whole,))).judged()
    assert desk.admit()
    assert [len(part.cases) for part in parts] == [1, 1, 1]


# Adjusted thresholds


class Adjusted:
    def __init__(self, **of_gate: Any) -> None:
        self.of_gate = of_gate
        self.asked: list[Any] = []

    def current(self, gates: Any) -> Any:
        self.asked.append([*gates])
        if isinstance(error := self.of_gate.get("error"), Exception):
            raise error
        return self.of_gate


@dataclass(frozen=True, kw_only=True)
class Measures(Asks):
    """Measures 0.6, against the threshold that holds."""

    name: str = "measures"
    body: Callable[[Case], Any] = field(default=lambda case: None, repr=False, hash=False)

    @property
    def threshold(self) -> float:
        return 0.5

    def decide(self, case: Case) -> Verdict:
        self.cases.append(case)
        needed = case.threshold_of(self)
        return self.verdict(*([] if needed <= 0.6 else ["too little"]), score=0.6, threshold=needed)


@pytest.mark.parametrize(
    ("adjusted", "opens"),
    [
        ({}, True),
        ({"g": {"measures": 0.6}}, True),
        ({"g": {"measures": 0.61}}, False),
        ({"other": {"measures": 0.9}}, True),
        ({"g": {"judgement": 0.95}}, False),
        ({"g": {"judgement": 0.9}}, True),
    ],
)
def test_a_threshold_that_was_adjusted_holds(adjusted: Any, opens: bool) -> None:
    thresholds = Adjusted(**adjusted)
    check = Measures()
    desk = Desk.of(Gate(name="g", checks=(check,)), books=Books(thresholds=thresholds)).judged(9)
    if opens:
        assert desk.admit()
    else:
        desk.refused()
    assert thresholds.asked == [["g"]]
    assert desk.run.thresholds == adjusted


def test_thresholds_that_can_not_be_read_keep_it_closed() -> None:
    books = Books(thresholds=Adjusted(error=ZeroDivisionError("secret")))
    desk = Desk.of(books=books).judged()
    assert desk.refused().reason == "the gate's database failed: ZeroDivisionError"


# A thousand at once


def _slow(case: Case) -> Verdict:
    # Until another one is asked as well, or nobody is left to be.
    threading.Event().wait(0.002)
    return yes() if "no" not in case.request else no()


def _desks(count: int) -> list[Desk]:
    gate = Gate(checks=(Asks(body=_slow),))
    first = Desk.of(gate)
    desks = [Desk.at(first.charter, f"run{number}") for number in range(count)]
    for number, desk in enumerate(desks):
        desk.run.request = "no" if number % 3 == 0 else "yes"
        desk.judged(9 if number % 5 else 2)
    return desks


def _right(desks: list[Desk], opened: list[bool]) -> None:
    assert opened == [bool(number % 3 and number % 5) for number in range(len(desks))]
    for desk, is_open in zip(desks, opened, strict=True):
        assert (desk.run.clearance is not None) is is_open
        held = desk.charter.books.clearances.held_by(f"{desk.run.id}-r")
        assert (held is not None) is is_open


async def test_of_a_thousand_gates_at_once_none_is_lost_or_wrongly_open() -> None:
    desks = _desks(1000)
    ends = await asyncio.gather(*(desk.aadmit() for desk in desks), return_exceptions=True)
    assert all(isinstance(end, GateClosed) for end in ends if isinstance(end, BaseException))
    _right(desks, [not isinstance(end, GateClosed) for end in ends])


def test_nor_of_a_thousand_in_threads() -> None:
    desks = _desks(1000)

    def opens(desk: Desk) -> bool:
        try:
            return bool(desk.admit())
        except GateClosed:
            return False

    with ThreadPoolExecutor(64) as threads:
        _right(desks, [*threads.map(opens, desks)])


def test_a_run_that_many_ask_to_be_let_into_lets_one() -> None:
    desk = Desk.of(Gate(checks=(Asks(body=_slow),))).judged()
    for number in range(50):
        desk.charter.runs.join(f"r{number}", desk.run, "runner", "Runner")
    together = threading.Barrier(50)

    def opens(number: int) -> bool:
        together.wait(30)
        try:
            return bool(desk.admit(f"r{number}"))
        except GateClosed:
            return False

    with ThreadPoolExecutor(50) as threads:
        assert [*threads.map(opens, range(50))].count(True) == 1


def test_a_plan_that_is_changed_before_it_is_cleared_is_not() -> None:
    desk = Desk.of().judged()
    decide, told = desk.charter.decide, []

    def changing(run: Any) -> Verdict:
        told.append(decide(run))
        run.propose(OTHER)
        return told[-1]

    desk.charter.decide = changing  # type: ignore[method-assign]
    assert desk.refused().reason == "the plan was changed while it was decided on"
    assert [verdict.passed for verdict in told] == [True, False]
    assert desk.run.clearance is None
