"""`BudgetCheck`: what a run took and its plan asks for is within limits; the unknown refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from check_cases import PLAN, case_of
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import Budget, Plan
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks.budget import BudgetCheck
from agno_portkey.runs import Usage

LIMITS = BudgetCheck(cost=2.0, tokens=1000, calls=10, seconds=120.0)


def used(plan: Plan | None = PLAN, **usage: Any) -> Case:
    return case_of(plan, usage=Usage(**{"calls": 1, "cost": 0.0, **usage}))


def asking(**budget: Any) -> Plan:
    return Plan(goal=PLAN.goal, steps=PLAN.steps, budget=Budget(**budget))


def test_its_score_is_what_is_left_of_the_tightest_limit() -> None:
    verdict = LIMITS.decide(used(cost=0.5, tokens=900, calls=5, seconds=60))
    assert verdict.passed
    assert verdict.score == pytest.approx(0.1)
    assert verdict.evidence["left"] == pytest.approx(
        {"cost": 0.75, "tokens": 0.1, "calls": 0.5, "seconds": 0.5}
    )


def test_all_of_a_limit_may_be_used_up() -> None:
    verdict = LIMITS.decide(used(cost=2.0, tokens=1000, calls=10, seconds=120))
    assert (verdict.passed, verdict.score) == (True, 0.0)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ({"cost": 2.01}, "taken $2.01, and $2 is the limit"),
        ({"tokens": 1001}, "taken 1001 tokens, and 1000 tokens is the limit"),
        ({"calls": 11}, "taken 11 calls, and 10 calls is the limit"),
        ({"seconds": 120.5}, "taken 120.5 s, and 120 s is the limit"),
        ({"cost": None}, "in cost is not known, and $2 is the limit: no provider has told it"),
        ({"cost": math.nan}, "in cost is not known"),
        ({"cost": math.inf}, "in cost is not known"),
        ({"cost": -1.0}, "in cost is not known"),
        ({"cost": True}, "in cost is not known"),
        ({"tokens": None}, "in tokens is not known"),
        ({"seconds": "1"}, "in seconds is not known"),
        ({"calls": math.nan}, "in calls is not known"),
    ],
)
def test_what_is_over_a_limit_or_unknown_refuses(usage: dict[str, Any], said: str) -> None:
    verdict = LIMITS.decide(used(**usage))
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert said in verdict.reason


def test_a_cost_that_nobody_knows_is_none_before_the_first_call() -> None:
    assert BudgetCheck(cost=1).decide(used(calls=0, cost=None)).passed


def test_an_unknown_cost_matters_only_where_cost_is_limited() -> None:
    assert BudgetCheck(tokens=10).decide(used(cost=None)).passed


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"cost": 2.5}, "asks for $2.5, and $2 is the limit: plan for less"),
        ({"minutes": 2.5}, "asks for 150 s, and 120 s is the limit: plan for less"),
    ],
)
def test_a_plan_that_asks_for_more_is_refused(budget: dict[str, float], said: str) -> None:
    verdict = LIMITS.decide(used(asking(**budget)))
    assert (verdict.passed, verdict.score) == (False, 0.0)
    assert said in verdict.reason


def test_a_plan_may_ask_for_all_that_is_allowed() -> None:
    assert LIMITS.decide(used(asking(cost=2, minutes=2, tool_calls=99))).passed
    assert LIMITS.decide(used(None)).passed
    assert BudgetCheck(calls=1).decide(used(asking(cost=50, minutes=50))).passed


def test_a_limit_of_nothing_holds() -> None:
    assert BudgetCheck(cost=0).decide(used(cost=0.0)).score == 1.0
    verdict = BudgetCheck(cost=0).decide(used(cost=0.0001))
    assert (verdict.passed, verdict.score) == (False, 0)


def test_a_reserve_that_was_adjusted_is_kept() -> None:
    check = BudgetCheck(tokens=100)
    case = case_of(usage=Usage(tokens=85), thresholds={"budget": 0.2})
    verdict = check.decide(case)
    assert not verdict.passed
    assert verdict.reason == "15% are left of 100 tokens, and 20% are needed"
    assert check.decide(case_of(usage=Usage(tokens=80), thresholds={"budget": 0.2})).passed
    nothing = case_of(usage=Usage(), thresholds={"budget": math.nan})
    assert not check.decide(nothing).passed


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_it_passes_exactly_within_the_limit(taken: int, limit: int) -> None:
    verdict = BudgetCheck(tokens=limit).decide(used(tokens=taken))
    assert verdict.passed is (taken <= limit)
    assert verdict.score is not None
    assert 0 <= verdict.score <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"cost": -1},
        {"cost": math.nan},
        {"cost": "1"},
        {"tokens": 1.5},
        {"calls": True},
        {"seconds": math.inf},
    ],
)
def test_no_limit_or_one_that_is_no_amount_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BudgetCheck(**wrong)
