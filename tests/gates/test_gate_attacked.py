"""Ways round a gate that were found by attack: dropped clearances, others' runs, old words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from admission_scene import Desk, Scene, play
from agno.run import RunContext
from agno.tools.function import Function
from dropping import begun_anew, ended_early, superseded

from agno_portkey import Gate
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates import (
    Check,
    GuardCheck,
    JudgementCheck,
    Sampling,
    any_of,
    approving,
    weighted,
)
from agno_portkey.gates.books import Books
from agno_portkey.gates.books import books_of as books_in
from agno_portkey.gates.case import Case, told_by
from agno_portkey.gates.tools import protect
from agno_portkey.hooks.gate import tenant_of
from agno_portkey.run_facts import Fingerprint
from agno_portkey.runs import Runs
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict

KNOWN = Fingerprint("sha256:f1", {"Judge.model": "gpt-4o-mini"})


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    return Scene(portkey_provider)


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "agno.db")


def desk(file: str, *gates: Gate, **options: Any) -> Desk:
    made = Desk.of(*gates, books=books_in(file), **options)
    made.charter.fingerprint_now = lambda: KNOWN
    return made


def run_tests(desk: Desk, run_id: str = "team-r", **who: Any) -> list[str]:
    """What the protected tool of the plan's first step has done."""
    done: list[str] = []

    def run_tests(suite: str) -> str:
        done.append(suite)
        return "ok"

    tool = protect(Function(name="run_tests", entrypoint=run_tests), desk.charter)
    context = RunContext(run_id=run_id, **{"session_id": "s1", "user_id": "ann", **who})
    assert tool.entrypoint is not None
    tool.entrypoint(_agno_run_context=context, suite="smoke")
    return done


# A clearance that this process has dropped is dropped in every other


@pytest.mark.parametrize("drop", [superseded, ended_early, begun_anew])
def test_what_one_process_has_dropped_no_other_goes_on_with(
    file: str, drop: Callable[[Desk], None]
) -> None:
    one = desk(file).judged(9)
    one.admit()
    drop(one)
    other = Desk.of(books=books_in(file), run_id="something else")
    for each in (one, other):
        with pytest.raises(ToolRefused):
            run_tests(each)


def test_it_goes_on_elsewhere_where_nothing_was_dropped(file: str) -> None:
    desk(file).judged(9).admit()
    other = desk(file, run_id="something else")
    assert run_tests(other) == ["smoke"]


def test_a_known_run_is_not_thrown_out_by_an_older_one_of_its_id(file: str) -> None:
    one = desk(file).judged(9)
    one.admit()
    # Another process, in which a caller has chosen the same id for a run of its own.
    other = desk(file, run_id="something else")
    known = other.charter.open("team", "Release")
    with pytest.raises(ToolRefused):
        run_tests(other)
    assert other.charter.runs.is_live(known)


def test_what_was_only_observed_is_no_leave(file: str) -> None:
    watched = desk(file, mode="observe").judged(9)
    assert watched.admit().id is None
    assert watched.charter.books.clearances.of_swarm("Release") == []
    other = desk(file, run_id="something else")
    with pytest.raises(ToolRefused):
        run_tests(other)


# Somebody else's run, and a team that was changed


@pytest.mark.parametrize("who", [{"session_id": "eves"}, {"user_id": "eve"}])
def test_somebody_else_does_not_go_on_with_a_run(file: str, who: dict[str, str]) -> None:
    one = desk(file).judged(9)
    one.admit()
    with pytest.raises(ToolRefused, match=r"another (session|user)"):
        run_tests(one, **who)
    assert run_tests(one) == ["smoke"]


def test_a_team_that_was_changed_meanwhile_does_not_go_on(file: str) -> None:
    one = desk(file).judged(9)
    one.admit()
    one.charter.fingerprint_now = lambda: Fingerprint("sha256:f2", {"Judge.model": "another"})
    with pytest.raises(ToolRefused, match="were changed since it was cleared"):
        run_tests(one)


def test_a_clearance_that_ran_out_opens_nothing_for_aides(file: str) -> None:
    one = desk(file, Gate(max_age=1)).judged(9)
    held = one.admit()
    assert held.expires_at is not None
    assert not one.charter.runs.any_cleared(held.expires_at)
    assert one.charter.runs.any_cleared(one.charter.books.clock())
    for nobody in (Runs(), desk(file).charter.runs):
        assert not nobody.any_cleared(one.charter.books.clock())


@pytest.mark.parametrize(
    ("team", "caller", "whose"),
    [
        ({"agno_portkey.tenant": "acme"}, {"agno_portkey.tenant": "evil"}, "acme"),
        (None, {"agno_portkey.tenant": "evil"}, "evil"),
        ({}, {}, None),
    ],
)
def test_a_caller_does_not_alter_what_a_team_says_of_its_tenant(
    team: Any, caller: Any, whose: str | None
) -> None:
    assert tenant_of(SimpleNamespace(metadata=team), caller) == whose


# Old words


def test_samples_before_a_call_that_failed_count(scene: Scene) -> None:
    scene.judge(3.0, 3.5, Fault.status(400), 9.5)
    scene.script("planner", "critic", "judge", "judge", "runner")
    sampling = Sampling(least=3, noise=1.5, most=6)
    ended = play(scene.team(Gate(min_score=5.5, sampling=sampling)))
    assert not ended.shipped
    assert not scene.runner_calls


def test_an_unsampled_check_takes_the_worst_that_was_said(scene: Scene) -> None:
    scene.judge(7.9, 8.1)
    scene.script("planner", "critic", "judge", "runner", "judge", "runner")
    steady = Gate(name="steady", min_score=3, sampling=Sampling(noise=0.5))
    ended = play(scene.team((Gate(name="strict", min_score=8), steady)))
    assert not ended.shipped
    assert not scene.runner_calls


@pytest.mark.parametrize(
    "check",
    [
        any_of(JudgementCheck(), GuardCheck()),
        weighted((JudgementCheck(), 1), (GuardCheck(), 3), at_least=0.7),
    ],
)
def test_one_judgement_is_good_for_one_run_of_a_plan(check: Check) -> None:
    one = Desk.of(Gate(checks=(check,))).judged(9)
    one.admit()
    again = one.charter.runs.join("again", one.run, "runner", "Runner")
    with pytest.raises(GateClosed, match="have it judged again"):
        one.charter.admit(again, "again")


class Junk(Check):
    def decide(self, case: Case) -> Verdict:
        return Verdict("no", self.name, ("it is bad",))  # type: ignore[arg-type]


def test_a_junk_yes_is_none() -> None:
    case = Case(plan=SOUND, plan_digest="d", critique=None, judgement=None)
    said = told_by(Junk(), case)
    assert said.passed is False
    assert "gave str in place of True or False" in said.reason

    class Strange(Gate):
        def decide(self, case: Case) -> Verdict:
            return Verdict(1.0, self.name)  # type: ignore[arg-type]

    assert "in place of True or False" in Desk.of(Strange()).judged(9).refused().reason


# Approvals


def test_an_approval_whose_use_can_not_be_kept_is_taken_back(file: str) -> None:
    gate = Gate(approval=True)
    one = desk(file, gate).judged(9)
    assert "a person has to approve" in one.refused().reason
    books = one.charter.books
    [waits] = books.clearances.waiting()
    approving.approve(books, waits.id, by="ann")

    class Broken:
        def put(self, decided: Any) -> None:
            raise OSError("no space")

    one.charter.books = Books(history=Broken(), clearances=books.clearances)  # type: ignore[arg-type]
    assert "OSError" in one.refused().reason
    assert books.clearances.get(waits.id).state == "revoked"


def test_an_approval_is_for_who_it_was_left_for(file: str) -> None:
    one = desk(file, Gate(approval=True)).judged(9)
    one.run.who = type(one.run.who)("s1", None, "acme", "release")
    one.refused()
    books = one.charter.books
    [waits] = books.clearances.waiting()
    approving.approve(books, waits.id, by="ann")
    eve = desk(file, Gate(approval=True), run_id="eves")
    assert eve.run.who.user_id == "ann"
    assert "there is no plan yet" in eve.refused().reason
    assert books.clearances.get(waits.id).state == "granted"


def test_an_approval_of_no_time_is_none(file: str) -> None:
    one = desk(file, Gate(approval=True)).judged(9)
    one.refused()
    books = one.charter.books
    [waits] = books.clearances.waiting()
    with pytest.raises(Exception, match="max_age"):
        approving.approve(books, waits.id, by="ann", max_age=0.0)


def test_a_plan_that_somebody_was_cleared_for_is_not_left_as_refused(file: str) -> None:
    one = desk(file).judged(9)
    one.admit()
    other = one.charter.runs.join("other", one.run, "runner", "Runner")
    with pytest.raises(GateClosed):
        one.charter.admit(other, "other")
    assert one.charter.books.clearances.waiting() == []
