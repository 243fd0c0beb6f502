"""`Gate.decide`: a pure function that passes only what was judged, as it was judged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import Critique, Issue, Judgement, Plan, Step, digest
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Case, Gate, check_gates
from agno_portkey.runs import Evidence

PLAN = Plan(goal="ship", steps=(Step(action="deploy it", tool="deploy"),))
OTHER = Plan(goal="ship", steps=(Step(action="deploy it.", tool="deploy"),))


def judged(
    plan: Plan = PLAN,
    *,
    shown: Plan = PLAN,
    decision: str = "approve",
    score: float = 9,
    issues: tuple[Issue, ...] | None = None,
    **rest: Any,
) -> Case:
    judgement = Judgement.model_validate(
        {"decision": decision, "score": score, "reasons": ["because"]}
    )
    critique = None if issues is None else Evidence(Critique(issues=issues), digest(shown))
    return Case(
        plan=plan,
        plan_digest=digest(plan),
        critique=critique,
        judgement=Evidence(judgement, digest(shown)),
        **rest,
    )


def test_an_approved_plan_with_score_enough_passes() -> None:
    verdict = Gate(name="g", min_score=8).decide(judged(score=8))
    assert verdict.passed
    assert verdict.score == 0.8
    assert verdict.source == "g"
    assert verdict.evidence["plan_digest"] == digest(PLAN)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case(None, None, None, None), "there is no plan yet"),
        (Case(PLAN, digest(PLAN), None, None), "has not judged this plan"),
        (judged(OTHER), "has not judged this plan"),
        (judged(decision="reject"), "says reject: because"),
        (judged(decision="revise"), "says revise: because"),
        (judged(score=7.99), "score is 7.99, and 8 is needed"),
        (judged(tools=frozenset({"test"})), "deploy, which the Runner does not have (test)"),
        (judged(tools=frozenset()), "does not have (none)"),
        (judged(has_critic=True), "the Critic has not seen this plan"),
        (
            judged(has_critic=True, issues=(Issue(severity="blocking", description="no test"),)),
            "holds a blocking issue: no test",
        ),
        (
            judged(
                has_critic=True,
                issues=(Issue(severity="blocking", description="no test", step=1),),
            ),
            "step 1: no test",
        ),
    ],
)
def test_everything_else_is_refused_with_its_reason(case: Case, said: str) -> None:
    verdict = Gate(min_score=8).decide(case)
    assert not verdict.passed
    assert said in verdict.reason


def test_a_critique_of_another_plan_does_not_count() -> None:
    case = judged(has_critic=True, issues=())
    swapped = Case(
        plan=OTHER,
        plan_digest=digest(OTHER),
        critique=case.critique,
        judgement=Evidence(case.judgement.output, digest(OTHER)),
        has_critic=True,
    )
    assert Gate().decide(case).passed
    assert "the Critic has not seen this plan" in Gate().decide(swapped).reason


def test_a_judgement_in_the_critics_place_is_no_critique() -> None:
    case = judged(has_critic=True)
    swapped = Case(PLAN, digest(PLAN), case.judgement, case.judgement, has_critic=True)
    assert "the Critic has not seen this plan" in Gate().decide(swapped).reason


def test_issues_that_do_not_block_let_it_pass() -> None:
    issues = (Issue(severity="major", description="slow"), Issue(severity="minor", description="x"))
    assert Gate().decide(judged(has_critic=True, issues=issues)).passed


def test_a_critique_in_the_judges_place_is_no_judgement() -> None:
    case = Case(PLAN, digest(PLAN), None, Evidence(Critique(), digest(PLAN)))
    assert "gave no judgement" in Gate().decide(case).reason


@given(
    decision=st.sampled_from(["approve", "revise", "reject"]),
    score=st.floats(0, 10),
    needed=st.floats(0, 10),
    same=st.booleans(),
    blocking=st.booleans(),
)
def test_it_passes_exactly_when_every_condition_holds(
    decision: str, score: float, needed: float, same: bool, blocking: bool
) -> None:
    issues = (Issue(severity="blocking" if blocking else "minor", description="x"),)
    case = judged(
        shown=PLAN if same else OTHER,
        decision=decision,
        score=score,
        issues=issues,
        has_critic=True,
    )
    verdict = Gate(min_score=needed).decide(case)
    assert verdict.passed == (decision == "approve" and score >= needed and same and not blocking)
    assert verdict.passed == (not verdict.reasons)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": " "},
        {"name": 3},
        {"min_score": 11},
        {"min_score": -1},
        {"min_score": float("nan")},
        {"min_score": float("inf")},
        {"min_score": "8"},
        {"min_score": True},
        {"max_rounds": 0},
        {"max_rounds": 1.5},
        {"max_rounds": True},
        {"ordered": "yes"},
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ConfigurationError, match=rf"^Gate\.{name}:"):
        Gate(**arguments)


def test_gates_are_one_or_more_with_names_of_their_own() -> None:
    one, two = Gate(name="one"), Gate(name="two")
    assert check_gates(one) == (one,)
    assert check_gates([one, two]) == (one, two)
    with pytest.raises(ConfigurationError, match="two gates are named 'one'"):
        check_gates([one, two, Gate(name="one", min_score=9)])
    with pytest.raises(ConfigurationError, match="at least one"):
        check_gates([])
    with pytest.raises(ConfigurationError, match="a Gate, not str"):
        check_gates(["one"])  # type: ignore[list-item]
