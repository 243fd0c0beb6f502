"""`Run` and `Runs`: evidence is bound to what was shown, and a forgotten run is refused."""

from __future__ import annotations

import copy
import threading
from datetime import UTC, datetime

import pytest
from agno.tools.function import Function, FunctionCall

from agno_portkey.contracts import Critique, Issue, Judgement, Plan, Step, digest
from agno_portkey.run_facts import Usage
from agno_portkey.runs import RUN_KEY, Run, Runs, Steps, run_in
from agno_portkey.verdict import Verdict

PLAN = Plan(goal="a", steps=(Step(action="x", tool="t"), Step(action="y", tool="u")))
OTHER = Plan(goal="b", steps=(Step(action="x", tool="t"),))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
YES = Judgement(decision="approve", score=9)


def test_a_run_says_nothing_of_itself_and_is_never_copied() -> None:
    run = Run("r", "swarm")
    assert repr(run) == "<governed run>"
    assert copy.deepcopy({"k": run})["k"] is run
    assert copy.copy(run) is run
    assert run_in({RUN_KEY: run}) is run
    assert run_in({RUN_KEY: "forged"}) is None
    assert run_in(None) is None


def test_what_is_said_counts_for_the_plan_that_was_shown() -> None:
    run = Run("r", None)
    assert run.show("judge") is None
    assert run.hear("judge", YES) is None
    run.propose(PLAN)
    assert run.show("judge") == PLAN
    run.propose(OTHER)  # swapped while it is judged
    said = run.hear("judge", YES)
    assert said is not None
    assert said.plan_digest == digest(PLAN) != run.plan_digest


def test_another_plan_takes_back_all_that_was_said_and_cleared() -> None:
    run = Run("r", None)
    run.propose(PLAN)
    run.show("j")
    run.hear("j", YES)
    run.hear("j", Critique())
    run.clear("runner")
    run.spent = True
    assert run.settled
    run.propose(PLAN)
    assert run.settled
    run.propose(OTHER)
    assert not run.settled
    assert run.judgement is None
    assert run.critique is None
    assert run.clearance is None
    assert run.steps is None


def test_a_clearance_uses_up_the_judgement() -> None:
    run = Run("r", None)
    with pytest.raises(LookupError):
        run.clear("runner")
    run.propose(PLAN)
    run.show("j")
    run.hear("j", YES)
    clearance = run.clear("runner")
    assert clearance.runner_run_id == "runner"
    assert clearance.plan is PLAN
    assert run.judgement is None


def test_steps_tell_what_is_missing_and_what_comes_first() -> None:
    steps = Steps(PLAN)
    both = frozenset({"t", "u"})
    assert steps.missing(both) == (1, 2)
    assert steps.missing(frozenset({"u"})) == (2,)
    assert steps.open_before(2, both) == 1
    assert steps.open_before(2, frozenset({"u"})) is None
    steps.done.add(1)
    assert steps.open_before(2, both) is None
    assert steps.missing(both) == (2,)


def test_a_refusal_is_kept_for_the_leader_and_for_the_end() -> None:
    run = Run("r", None)
    run.refuse(Verdict(False, "g", ("no",)))
    assert run.untold == ["no"]
    assert [v.reason for v in run.refusals] == ["no"]


def test_runs_are_found_by_their_own_and_their_members_ids() -> None:
    runs = Runs()
    run = runs.open("team", "Swarm")
    station = runs.join("member", run, "judge", "Judge")
    assert runs.find("member") is station
    assert runs.find("team").part == "leader"
    assert runs.find("unknown") is None
    assert runs.find(None) is None
    assert copy.deepcopy(runs) is runs


def test_the_oldest_ended_run_is_forgotten_first_with_its_members() -> None:
    runs = Runs(limit=2)
    first, second = runs.open("1", None), runs.open("2", None)
    runs.join("2.1", second, "runner", None)
    second.ended = True
    runs.open("3", None)
    assert runs.find("1").run is first
    assert runs.find("2") is None
    assert runs.find("2.1") is None
    runs.open("4", None)  # none has ended: the oldest goes
    assert runs.find("1") is None
    assert runs.find("3") is not None


def test_a_forgotten_run_takes_no_new_members() -> None:
    runs = Runs(limit=1)
    gone = runs.open("1", None)
    runs.open("2", None)
    runs.join("1.1", gone, "runner", None)
    assert runs.find("1.1") is None


def test_any_cleared_looks_for_a_clearance_that_is_not_spent() -> None:
    runs = Runs()
    run = runs.open("1", None)
    assert not runs.any_cleared(NOW)
    run.propose(PLAN)
    run.clear("runner")
    assert runs.any_cleared(NOW)
    run.spent = True
    assert not runs.any_cleared(NOW)


def test_an_id_used_again_begins_anew() -> None:
    runs = Runs()
    run = runs.open("1", None)
    runs.join("1.1", run, "runner", None)
    run.propose(PLAN)
    run.clear("1.1")
    again = runs.open("1", None)
    assert again is not run
    assert again.clearance is None
    assert runs.find("1.1") is None
    assert not runs.is_live(run)


def test_the_worst_that_was_said_of_a_plan_counts() -> None:
    run = Run("r", None)
    run.propose(PLAN)
    run.show("j")
    no = Judgement(decision="reject", score=9.5, reasons=("no",))
    low = Judgement(decision="approve", score=6)
    for said, counts in ((YES, YES), (low, low), (YES, low), (no, no), (YES, no)):
        run.hear("j", said)
        assert run.judgement.output == counts
    blocking = Critique(issues=(Issue(severity="blocking", description="b"),))
    for critique, counts in (
        (Critique(), Critique()),
        (blocking, blocking),
        (Critique(), blocking),
    ):
        run.hear("j", critique)
        assert run.critique.output == counts
    run.propose(OTHER)
    run.show("j")
    run.hear("j", YES)
    assert run.judgement.output == YES
    run.propose(PLAN)
    run.show("j")
    run.hear("j", YES)
    assert run.judgement.output == no


def test_many_threads_at_once_keep_the_registry_whole() -> None:
    runs = Runs(limit=50)

    def open_many(name: str) -> None:
        for n in range(2_000):
            run = runs.open(f"{name}{n % 40}", None)
            runs.join(f"{name}{n % 40}.m", run, "runner", None)

    threads = [threading.Thread(target=open_many, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs._runs) == 50
    assert len(runs._stations) <= 100


def test_what_a_run_has_cost_is_known_if_it_is_known_of_every_request() -> None:
    known, unknown, nothing = Usage(1, 10, 0.5, 1.0), Usage(1, 5, None, 0.5), Usage()
    assert nothing + known + known == Usage(2, 20, 1.0, 2.0)
    assert (known + unknown).cost is None
    assert (unknown + known).cost is None
    assert known + nothing == known
    assert (nothing + nothing).cost is None
    assert Usage(1, 1, 0.0) + known == Usage(2, 11, 0.5, 1.0)


def test_what_a_leader_calls_is_among_what_was_put_out() -> None:
    run = Run("team", "Team")
    run.outputs.append("a member's")
    assert run.everything() == ("a member's",)
    good = FunctionCall(function=Function(name="search"), arguments={"query": "x"})
    bad = FunctionCall(function=Function(name="drop_table"), error="no such table")
    run.led(good)
    run.led(bad)
    leader, member = run.everything()
    assert member == "a member's"
    assert [(t.tool_name, t.tool_args, t.tool_call_error) for t in leader.tools] == [
        ("search", {"query": "x"}, False),
        ("drop_table", {}, True),
    ]
