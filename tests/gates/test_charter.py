"""`Charter`: clears one run of the Runner for one judged plan, and says why it does not."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest

from agno_portkey.contracts import Critique, Judgement, Plan, Step
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Charter, Gate
from agno_portkey.runs import Run, Station
from agno_portkey.verdict import Event

PLAN = Plan(goal="a", steps=(Step(action="x", tool="t"), Step(action="y", tool="u")))
OTHER = Plan(goal="b", steps=(Step(action="x", tool="t"),))


class Story:
    """A charter and one run of its team, told step by step."""

    def __init__(self, *gates: Gate, **options: Any) -> None:
        self.events: list[Event] = []
        options = {"tools": frozenset({"t", "u"}), "swarm": "Team", **options}
        self.charter = Charter(
            gates or Gate(min_score=8), observers=[self.events.append], **options
        )
        self.run: Run = self.charter.runs.open("team", "Team")
        self.runner = self.charter.runs.join("runner", self.run, "runner", "Runner")

    def judge(self, score: float = 9, plan: Plan = PLAN) -> Story:
        self.run.propose(plan)
        self.judges = getattr(self, "judges", 0) + 1
        run_id = "judge" if self.judges == 1 else f"judge {self.judges}"
        self.run.show(run_id)
        station = self.charter.runs.join(run_id, self.run, "judge", "Judge")
        self.charter.heard(station, run_id, Judgement(decision="approve", score=score))
        return self

    def admit(self, run_id: str = "runner") -> Any:
        return self.charter.admit(self.runner, run_id)

    @property
    def verdicts(self) -> list[bool]:
        return [e.verdict.passed for e in self.events if e.kind == "gate" and e.verdict]


def test_a_judged_plan_is_cleared_for_this_run_and_its_retries_only() -> None:
    story = Story().judge()
    clearance = story.admit()
    assert clearance.plan == PLAN
    assert story.admit() is clearance
    with pytest.raises(GateClosed, match="has not judged this plan"):
        story.admit("another run")
    assert story.verdicts == [True, False]
    assert story.charter.require_clearance("runner")[0] is story.runner


def test_a_clearance_that_was_used_does_not_serve_again() -> None:
    story = Story().judge()
    story.admit()
    story.run.steps.done.update({1, 2})
    assert story.charter.finish(story.runner, "runner") == ()
    assert story.run.settled
    with pytest.raises(GateClosed, match="used up"):
        story.charter.require_clearance("runner")
    with pytest.raises(GateClosed, match="has not judged"):
        story.admit()


def test_a_runner_that_ends_early_is_not_settled_and_loses_its_clearance() -> None:
    story = Story().judge()
    story.admit()
    story.run.steps.done.add(1)
    assert story.charter.finish(story.runner, "runner") == (2,)
    assert not story.run.settled
    assert story.run.clearance is None
    assert "without doing step 2 (u)" in story.run.refusals[-1].reason
    with pytest.raises(GateClosed):
        story.charter.require_clearance("runner")


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        ({}, "without doing step 2 (u)"),
        ({"u": "u raised OSError: disk full"}, "step 2 (u): u raised OSError: disk full"),
        ({"t": "t raised"}, "without doing step 2 (u)"),
    ],
)
def test_a_team_whose_runner_ended_early_hears_why_and_nothing_else(
    failed: dict[str, str], said: str
) -> None:
    story = Story().judge()
    story.admit()
    story.run.steps.done.add(1)
    story.run.steps.failed.update(failed)
    story.charter.finish(story.runner, "runner")
    (reason,) = story.charter.decline(story.run).verdict.reasons
    assert reason.endswith(said)


def test_a_plan_that_was_cleared_before_is_judged_again() -> None:
    story = Story().judge()
    story.admit()
    story.charter.finish(story.runner, "runner")
    with pytest.raises(GateClosed, match="again, since its clearance was used"):
        story.admit()
    story.judge()
    with pytest.raises(GateClosed, match="give each run an id of its own"):
        story.admit()
    story.runner = story.charter.runs.join("runner 2", story.run, "runner", "Runner")
    assert story.admit("runner 2").plan == PLAN


def test_evidence_that_comes_after_all_takes_the_complaint_back() -> None:
    story = Story()
    story.run.complaints["planner"] = "no plan"
    planner = story.charter.runs.join("planner", story.run, "planner", "Planner")
    story.charter.planned(planner, PLAN)
    story.run.complaints["judge"] = "no judgement"
    story.judge()
    assert story.run.complaints == {}


def test_only_the_cleared_run_can_end_it() -> None:
    story = Story().judge()
    story.admit()
    with pytest.raises(GateClosed, match="another plan was put forward"):
        story.charter.finish(story.runner, "an older run")
    story.run.propose(OTHER)
    with pytest.raises(GateClosed, match="another plan was put forward"):
        story.charter.finish(story.runner, "runner")
    assert not story.run.settled


SECRET = "ship it to Ann Lee"


class Raising(Gate):
    def decide(self, case: Any) -> Any:
        raise ZeroDivisionError(SECRET)


class Silent(Gate):
    def decide(self, case: Any) -> Any:
        return None


class Odd(Gate):
    def decide(self, case: Any) -> Any:
        return SECRET


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Raising, "the gate failed: ZeroDivisionError"),
        (Silent, "the gate gave NoneType in place of a verdict"),
        (Odd, "the gate gave str in place of a verdict"),
    ],
)
def test_a_gate_that_fails_to_decide_refuses(
    gate: type[Gate], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(Gate(), gate(name="own")).judge()
    with caplog.at_level(logging.DEBUG, "agno_portkey"), pytest.raises(GateClosed) as closed:
        story.admit()
    assert closed.value.verdict.reasons == (said,)
    assert said in str(story.charter.decline(story.run))
    # What an error or a wrong answer quotes is for the log.
    assert SECRET not in str(closed.value) + str(story.charter.decline(story.run))
    assert (SECRET in caplog.text) is (gate is Raising)


def test_a_judgement_counts_once_a_run() -> None:
    story = Story().judge()
    station = story.charter.runs.find("judge")
    story.charter.heard(station, "judge", Judgement(decision="approve", score=9))
    assert story.run.judgements == 1


def test_every_gate_has_to_pass_and_the_lowest_score_counts() -> None:
    story = Story(Gate(name="low", min_score=5), Gate(name="high", min_score=9)).judge(score=7)
    verdict = story.charter.decide(story.run)
    assert not verdict.passed
    assert verdict.source == "low, high"
    assert verdict.evidence["gates"] == {"low": True, "high": False}
    assert verdict.reasons == ("its score is 7, and 9 is needed",)
    assert verdict.score == 0.7
    with pytest.raises(GateClosed):
        story.admit()


@pytest.mark.parametrize("run_id", [None, "unknown", "team", "judge", "other runner"])
def test_only_the_run_that_was_cleared_is(run_id: str | None) -> None:
    story = Story().judge()
    story.charter.runs.join("other runner", story.run, "runner", "Runner")
    story.admit()
    with pytest.raises(GateClosed):
        story.charter.require_clearance(run_id)


def test_the_rounds_end_after_so_many_judgements_without_a_pass() -> None:
    story = Story(Gate(min_score=8, max_rounds=2), Gate(name="other", max_rounds=9))
    for number, plan in enumerate((PLAN, OTHER), start=1):
        assert not story.charter.out_of_rounds(story.run)
        story.judge(score=3, plan=plan)
        assert story.run.judgements == number
    assert story.charter.out_of_rounds(story.run)


def test_a_pass_in_the_last_round_still_counts() -> None:
    story = Story(Gate(max_rounds=1)).judge()
    assert not story.charter.out_of_rounds(story.run)
    story.admit()
    assert not story.charter.out_of_rounds(story.run)


def test_refusals_without_any_judgement_end_too() -> None:
    story = Story(Gate(max_rounds=1))
    for _ in range(4):
        with pytest.raises(GateClosed):
            story.admit()
        assert not story.charter.out_of_rounds(story.run)
    with pytest.raises(GateClosed):
        story.admit()
    assert story.charter.out_of_rounds(story.run)


def test_who_was_shown_no_plan_has_no_say() -> None:
    story = Story()
    station = Station(story.run, "judge", "Judge")
    with pytest.raises(GateClosed, match="Judge spoke of a plan that it was not shown"):
        story.charter.heard(station, "judge", Judgement(decision="approve", score=9))
    assert story.run.judgement is None


def test_a_declined_run_says_every_reason_once_and_has_ended() -> None:
    story = Story().judge(score=3)
    with pytest.raises(GateClosed):
        story.admit()
    declined = story.charter.decline(story.run)
    assert declined.verdict.reasons == ("its score is 3, and 8 is needed",)
    assert declined.verdict.evidence["judgements"] == 1
    assert len(declined.verdict.evidence["refusals"]) == 1
    assert story.run.ended
    assert story.charter.decline(story.run).verdict is declined.verdict
    assert [e.kind for e in story.events].count("declined") == 1


@pytest.mark.parametrize(
    ("cleared", "said"), [(False, "never asked"), (True, "cleared but has not finished")]
)
def test_a_team_that_stops_short_hears_where(cleared: bool, said: str) -> None:
    story = Story().judge()
    if cleared:
        story.admit()
    assert said in str(story.charter.decline(story.run))


def test_a_run_that_is_barred_is_declined_for_that_reason() -> None:
    story = Story()
    story.charter.bar(story.run, "it broadcasts")
    assert story.run.barred
    assert story.charter.decline(story.run).verdict.reasons[0] == "it broadcasts"


def test_observers_hear_digests_scores_and_who_spoke() -> None:
    story = Story(has_critic=True)
    planner = story.charter.runs.join("planner", story.run, "planner", "Planner")
    story.charter.planned(planner, PLAN)
    critic = story.charter.runs.join("critic", story.run, "critic", "Critic")
    story.run.show("critic")
    story.charter.heard(critic, "critic", Critique())
    story.judge()
    story.admit()
    assert [(e.kind, e.role) for e in story.events] == [
        ("plan", "Planner"),
        ("critique", "Critic"),
        ("judgement", "Judge"),
        ("gate", "Runner"),
    ]
    assert story.events[0].data["plan_digest"] == story.run.plan_digest
    assert story.events[1].data["blocking"] == 0
    assert story.events[2].data["score"] == 9
    assert all(e.run_id == "team" and e.swarm == "Team" for e in story.events)


def test_an_unknown_team_run_is_declined() -> None:
    assert "hooks did not run" in str(Charter(Gate()).decline_unknown())


def test_a_charter_is_one_object() -> None:
    charter = Charter(Gate(name="g"), swarm="T")
    assert copy.deepcopy(charter) is charter
    assert repr(charter) == "Charter(gates=['g'], swarm='T')"
