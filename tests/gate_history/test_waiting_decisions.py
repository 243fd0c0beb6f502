"""What waits for a person's approval is told apart from what passed, until the person decides."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from gate_decisions import NOON, decided, scored_at
from typer.testing import CliRunner

from agno_portkey import Gate
from agno_portkey.cli import app
from agno_portkey.gates.adjusting.evidence import evidence_of
from agno_portkey.gates.books import entry
from agno_portkey.gates.history import Decided, History, report, spans
from agno_portkey.runs import Runs
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict


def waiting(minutes: float = 0, **fields: Any) -> Decided:
    own = {"passed": False, "outcome": "waiting", "reasons": ("a person has to approve it",)}
    return scored_at(minutes, 0.8, **{**own, **fields})


def said(minutes: float, passed: bool, **fields: Any) -> Decided:
    """What a person has decided; of an approval no version is kept."""
    at, outcome = NOON + timedelta(minutes=minutes), "pass" if passed else "fail"
    own: dict[str, Any] = {"score": None, "checks": (), "versions": {}, "by": "ann", "at": at}
    return decided(**{**own, "passed": passed, "outcome": outcome, **fields})


@pytest.mark.parametrize("passed", [True, False])
@pytest.mark.parametrize("approval", [True, False])
def test_what_a_gate_with_approval_passes_has_not_passed(passed: bool, approval: bool) -> None:
    run = Runs().open("r", "Release")
    run.propose(SOUND)
    verdict = Verdict(passed, "gate", () if passed else ("its score is 3, and 7 is needed",), 0.8)
    kept = entry(Gate(approval=approval), verdict, run, None, at=NOON)
    waits = passed and approval
    assert kept.passed is (passed and not approval)
    assert (kept.outcome == "waiting") is waits
    assert kept.reasons == (("a person has to approve it",) if waits else verdict.reasons)
    run.waiting[str(run.plan_digest)] = ("the-id", True)
    named = entry(Gate(approval=approval), verdict, run, None, at=NOON).reasons
    assert ("a person has to approve it (clearance the-id)" in named) is waits


def test_no_rate_counts_it_until_a_person_has_decided() -> None:
    several = [scored_at(0, 0.3), waiting(1, run_id="a"), waiting(2, run_id="b")]
    [segment] = report(several).segments
    assert (segment.decisions, segment.waiting) == (3, 2)
    assert segment.pass_rate is not None
    assert (segment.pass_rate.mean, segment.pass_rate.count) == (0, 1)
    answered = [*several, said(60, True, run_id="a"), said(61, False, run_id="b")]
    [segment] = report(answered).segments
    assert (segment.decisions, segment.waiting) == (3, 0)
    assert segment.pass_rate is not None
    assert (segment.pass_rate.mean, segment.pass_rate.count) == (pytest.approx(1 / 3), 3)


def test_the_last_word_counts_and_of_that_run_and_plan_alone() -> None:
    own = waiting(1, run_id="a")
    for others in ({"run_id": "b"}, {"run_id": "a", "plan_digest": "sha256:x"}):
        [segment] = report([own, said(5, True, **others)]).segments
        assert (segment.waiting, segment.pass_rate) == (1, None)
    words = [said(9, False, run_id="a"), said(5, True, run_id="a")]
    [segment] = report([own, *words]).segments
    assert segment.pass_rate is not None
    assert segment.pass_rate.mean == 0


def test_a_change_after_which_all_wait_has_no_pass_rate_to_compare() -> None:
    new = {"Judge.model": "gpt-4.1"}
    several = [scored_at(n, 0.8) for n in range(5)]
    several += [waiting(n, run_id=str(n), versions=new) for n in range(5, 10)]
    [change] = report(several).changes
    assert [move.name for move in change.moves] == ["score", "score of judgement"]


def test_spans_count_it_apart() -> None:
    [span] = spans([waiting(0), scored_at(0, 0.8), scored_at(0, 0.3)])
    assert (span.decisions, span.passed, span.waiting) == (3, 1, 1)
    assert span.pass_rate is not None
    assert span.pass_rate.count == 2
    assert span.as_dict()["waiting"] == 1
    [alone] = spans([waiting(0)])
    assert (alone.pass_rate, alone.as_dict()["pass_rate"]) == (None, None)


def test_its_scores_are_evidence_for_thresholds_as_those_of_a_pass() -> None:
    judged = {"evidence": {"judgement": "sha256:j"}}
    one = waiting(0, run_id="a", **judged)
    passed = scored_at(0, 0.8, run_id="a", **judged)
    asked = {"gate": "release", "check": "judgement"}
    assert evidence_of([one], **asked) == evidence_of([passed], **asked)


def test_it_is_shown_as_such_until_it_is_settled(database: str) -> None:
    def shown(*arguments: str) -> str:
        given = ["gate", *arguments, "--db", database]
        return CliRunner().invoke(app, given, env={"COLUMNS": "100"}).stdout

    history = History(database)
    history.put(waiting(0))
    assert [each.outcome for each in history.series(outcome="waiting")] == ["waiting"]
    assert "a person has to approve it" in shown("history")
    assert "1, 1 waiting" in shown("report")
    assert "0 of 0, 1 waiting" in shown("report", "--format", "plot")
    history.put(said(5, True))
    assert "waiting" in shown("history")
    assert "pass (by ann)" in shown("history")
    assert "waiting" not in shown("report")
