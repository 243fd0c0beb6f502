"""`JudgementCheck` and `CritiqueCheck`: what the Judge and the Critic said of this plan."""

from __future__ import annotations

from typing import Any

import pytest
from admission_scene import judgement
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import Critique, Issue, Judgement, digest
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks import CritiqueCheck, JudgementCheck, Outcome, outcome_of
from agno_portkey.gates.sampling import Sampling
from agno_portkey.runs import Evidence
from agno_portkey.testing.story import FLAWED, SOUND

SAMPLED = JudgementCheck(sampling=Sampling(least=2, most=6, noise=1.0))


def case_of(*said: Any, sampled: bool = True, **rest: Any) -> Case:
    samples = tuple(judgement(each) if isinstance(each, int | float) else each for each in said)
    told = Evidence(samples[0], digest(SOUND), samples if sampled else ())
    return Case(SOUND, digest(SOUND), None, told, **rest)


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        ([9, 9.2, 8.8], Outcome.PASS, ""),
        ([4, 3.8, 4.1], Outcome.FAIL, "its score is 4 after 3 samples ("),
        ([7.1, 7.2], Outcome.UNDERPOWERED, "that is not enough to tell: it would take about"),
        ([7, 7], Outcome.UNDERPOWERED, "any number of samples: put forward a better plan"),
        ([9], Outcome.UNDERPOWERED, "after 1 sample ("),
        # Half of them say no: however high they score.
        ([10, 10, judgement(10, "reject", "NO")] * 2, Outcome.UNDERPOWERED, "says reject: NO"),
        ([judgement(1, "revise", "NO"), judgement(2, "reject"), 3], Outcome.FAIL, "revise: NO"),
        ([judgement(2, "reject", "NO"), 9.9, 9.9, 9.9, 9.9, 9.9], Outcome.UNDERPOWERED, "NO"),
    ],
)
def test_samples_pass_fail_or_do_not_tell(said: Any, outcome: Outcome, reason: str) -> None:
    verdict = SAMPLED.decide(case_of(*said))
    assert outcome_of(verdict) == outcome
    assert reason in verdict.reason
    assert verdict.evidence["samples"] == len(said)
    assert verdict.evidence["low"] <= verdict.score * 10 <= verdict.evidence["high"]
    yes = [one for one in said if not isinstance(one, Judgement) or one.decision == "approve"]
    assert verdict.evidence["approvals"] == len(yes)


def test_a_no_by_half_is_a_no_even_where_the_mean_is_enough() -> None:
    # The mean of 10 and of 4, to which a no is cut, is 7: above a threshold of 5.
    check = JudgementCheck(min_score=5, sampling=Sampling(least=2, most=6, noise=0.1))
    verdict = check.decide(case_of(10, judgement(10, "reject", "NO")))
    assert not verdict.passed
    few = JudgementCheck(min_score=5, sampling=Sampling(least=1, most=1))
    assert outcome_of(few.decide(case_of(judgement(10, "reject", "NO")))) == Outcome.FAIL


@given(
    noes=st.lists(st.floats(0, 10), min_size=1, max_size=6),
    yeses=st.lists(st.floats(0, 10), max_size=6),
    needed=st.floats(0, 10),
)
def test_no_score_beside_a_no_makes_a_yes(noes: Any, yeses: Any, needed: float) -> None:
    check = JudgementCheck(min_score=needed, sampling=Sampling(least=1, most=12, noise=0.5))
    said = [judgement(score, "reject") for score in noes] + [judgement(s) for s in yeses]
    verdict = check.decide(case_of(*said))
    if len(noes) >= len(yeses):
        assert not verdict.passed
    high = check.decide(case_of(*(judgement(10, "reject") for _ in noes), *yeses))
    low = check.decide(case_of(*(judgement(0, "reject") for _ in noes), *yeses))
    assert not (low.passed and not high.passed and len(noes) < len(yeses))


def test_one_sample_counts_as_it_is_and_its_reasons_are_told() -> None:
    check = JudgementCheck(min_score=7)
    case = case_of(judgement(6, "revise", "no test"), sampled=False)
    verdict = check.decide(case)
    assert verdict.reasons == (
        "the Judge says revise: no test",
        "its score is 6, and 7 is needed",
    )
    assert (verdict.score, verdict.evidence["threshold"]) == (0.6, 0.7)
    assert check.poll([judgement(7)], 7).outcome == Outcome.PASS
    assert check.poll([judgement(10, "reject")], 7).outcome == Outcome.FAIL


def test_what_was_said_beyond_the_most_does_not_count() -> None:
    check = JudgementCheck(sampling=Sampling(least=2, most=2, noise=1.0))
    verdict = check.decide(case_of(7, 7.1, 10, 10, 10, 10))
    assert verdict.evidence["samples"] == 2
    assert outcome_of(verdict) == Outcome.UNDERPOWERED


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case(SOUND, digest(SOUND), None, None), "has not judged this plan yet"),
        (Case(SOUND, digest(SOUND), None, None, used=True), "again, since its clearance was used"),
        (
            Case(SOUND, digest(SOUND), None, Evidence(judgement(9), digest(FLAWED))),
            "has not judged this plan yet",
        ),
        (
            Case(SOUND, digest(SOUND), None, Evidence(Critique(), digest(SOUND))),
            "the Judge gave no judgement",
        ),
    ],
)
@pytest.mark.parametrize("check", [SAMPLED, JudgementCheck()], ids=["sampled", "once"])
def test_without_a_judgement_of_this_plan_it_refuses(
    check: JudgementCheck, case: Case, reason: str
) -> None:
    verdict = check.decide(case)
    assert reason in verdict.reason
    assert verdict.score == 0


@pytest.mark.parametrize(
    ("adjusted", "needed"), [({}, 7.0), ({"other": 0.9}, 7.0), ({"judgement": 0.83}, 8.3)]
)
def test_an_adjusted_threshold_is_in_tenths(adjusted: dict[str, float], needed: float) -> None:
    check = JudgementCheck(min_score=7)
    assert check.threshold == 0.7
    assert check.needed(adjusted) == needed
    assert check.decide(case_of(8.3, sampled=False, thresholds=adjusted)).passed
    assert check.decide(case_of(8.29, sampled=False, thresholds=adjusted)).passed is (needed == 7)


@pytest.mark.parametrize(
    "wrong", [{"min_score": 11}, {"min_score": "7"}, {"sampling": 3}, {"name": " "}, {"timeout": 0}]
)
def test_wrong_settings_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        JudgementCheck(**wrong)


# The Critic


def critique(*severities: str) -> Evidence:
    issues = tuple(Issue(severity=each, description=f"a {each} one", step=1) for each in severities)
    return Evidence(Critique(issues=issues), digest(SOUND))


@pytest.mark.parametrize(
    ("severities", "score", "passed"),
    [
        ((), 1.0, True),
        (("minor",), 0.95, True),
        (("major", "minor"), 0.75, True),
        (("major",) * 6, 0.0, True),
        (("blocking",), 0.0, False),
        (("minor", "blocking"), 0.0, False),
    ],
)
def test_the_score_of_a_critique(severities: Any, score: float, passed: bool) -> None:
    case = Case(SOUND, digest(SOUND), critique(*severities), None, has_critic=True)
    verdict = CritiqueCheck().decide(case)
    assert verdict.passed is passed
    assert verdict.score == pytest.approx(score)
    assert verdict.evidence["issues"] == len(severities)
    if not passed:
        assert verdict.reason == "the Critic holds a blocking issue: step 1: a blocking one"


def test_without_a_critic_there_is_nothing_to_ask() -> None:
    assert CritiqueCheck().decide(Case(SOUND, digest(SOUND), None, None)).passed
    lacking = Case(SOUND, digest(SOUND), None, None, has_critic=True)
    assert "has not seen this plan" in CritiqueCheck().decide(lacking).reason
