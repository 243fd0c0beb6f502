"""Several checks as one: all, any, weighted; what is required, and what can't be told yet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.contracts import digest
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.case import Case
from agno_portkey.gates.checks import (
    AllOf,
    AnyOf,
    Check,
    CritiqueCheck,
    JudgementCheck,
    Outcome,
    all_of,
    any_of,
    weighted,
)
from agno_portkey.gates.checks.base import outcome_of
from agno_portkey.gates.checks.combined import Weighted, _Some, joined, leaves, several
from agno_portkey.gates.gate import Gate
from agno_portkey.gates.sampling import Sampling
from agno_portkey.testing.story import SOUND
from agno_portkey.verdict import Verdict

CASE = Case(SOUND, digest(SOUND), None, None)


@dataclass(frozen=True, kw_only=True)
class Says(Check):
    """Says what it is told to, under whatever name."""

    said: Verdict

    def decide(self, case: Case) -> Verdict:
        return self.said


def says(
    name: str, passed: bool, score: float | None = None, *, more: int | None = None, by: str = ""
) -> Says:
    evidence: dict[str, Any] = {}
    if more is not None:
        evidence = {"outcome": Outcome.UNDERPOWERED, "more": more}
    reasons = () if passed else (f"{name} says no",)
    return Says(name=name, said=Verdict(passed, by or name, reasons, score, evidence))


YES, NO = says("yes", True, 0.9), says("no", False, 0.2)
OPEN, OPENER = says("open", False, 0.5, more=3), says("opener", False, 0.4, more=7)


def outcome(check: Check) -> tuple[str, float | None, Any]:
    verdict = check.decide(CASE)
    assert verdict.source == check.name
    return str(outcome_of(verdict)), verdict.score, verdict.evidence.get("more")


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (all_of(YES), ("pass", 0.9, None)),
        (all_of(YES, NO), ("fail", 0.2, None)),
        (all_of(YES, OPEN), ("underpowered", 0.5, 3)),
        (all_of(OPEN, OPENER), ("underpowered", 0.4, 7)),
        (all_of(NO, OPEN), ("fail", 0.2, None)),
        (any_of(YES, NO), ("pass", 0.9, None)),
        (any_of(NO, says("nought", False, 0.3)), ("fail", 0.3, None)),
        (any_of(NO, OPEN), ("underpowered", 0.5, 3)),
        (any_of(OPEN, OPENER), ("underpowered", 0.5, 3)),
        (any_of(YES, NO, required=("no",)), ("fail", 0.2, None)),
        (any_of(YES, NO, required=("yes",)), ("pass", 0.9, None)),
        (any_of(YES, OPEN, required=["open"]), ("underpowered", 0.5, 3)),
        (weighted((YES, 1), (NO, 1), at_least=0.55), ("pass", 0.55, None)),
        (weighted((YES, 1), (NO, 1), at_least=0.56), ("fail", 0.55, None)),
        (weighted((YES, 3), (NO, 1), at_least=0.7), ("pass", 0.725, None)),
        (weighted((YES, 1), (NO, 1), at_least=0.1, required=("no",)), ("fail", 0.2, None)),
        # At its best the open one brings it to 0.95.
        (weighted((YES, 1), (OPEN, 1), at_least=0.95), ("underpowered", 0.7, 3)),
        (weighted((YES, 1), (OPEN, 1), at_least=0.96), ("fail", 0.7, None)),
        # Without a score: whether it passed.
        (all_of(says("a", True)), ("pass", 1.0, None)),
        (any_of(says("a", False)), ("fail", 0.0, None)),
        # Out of range, or none: no more than all, no less than nothing.
        (all_of(says("a", True, 7.0)), ("pass", 1.0, None)),
        (all_of(says("a", False, -7.0)), ("fail", 0.0, None)),
        (weighted((says("a", False, math.nan), 1), (YES, 1), at_least=0.5), ("fail", 0.45, None)),
    ],
)
def test_what_it_comes_to(check: Check, expected: Any) -> None:
    told, score, more = outcome(check)
    assert (told, more) == (expected[0], expected[2])
    assert score == pytest.approx(expected[1])


def test_one_that_is_required_is_known_by_its_own_name_whatever_it_says() -> None:
    # A check of the user's may name another source; that takes it out of no requirement.
    stranger = says("safety", False, by="something else")
    for check in (
        any_of(YES, stranger, required=("safety",)),
        weighted((YES, 9), (stranger, 1), at_least=0.5, required=("safety",)),
    ):
        verdict = check.decide(CASE)
        assert not verdict.passed
        assert verdict.reasons == ("safety says no",)
        assert "safety" in verdict.evidence["checks"]


def test_reasons_are_said_once_and_with_the_figures() -> None:
    twice = all_of(NO, Says(name="again", said=Verdict(False, "again", ("no says no",))))
    assert twice.decide(CASE).reasons == ("no says no",)
    verdict = weighted((NO, 1), (YES, 1), at_least=0.9).decide(CASE)
    assert verdict.reasons == ("the weighted score is 0.55, and 0.9 is needed", "no says no")
    assert verdict.evidence["threshold"] == 0.9


def test_what_each_said_is_told() -> None:
    told = all_of(YES, OPEN).decide(CASE).evidence["checks"]
    assert told["yes"] == {"outcome": "pass", "score": 0.9, "reasons": []}
    assert told["open"] == {
        "outcome": "underpowered",
        "score": 0.5,
        "reasons": ["open says no"],
        "more": 3,
    }


def test_a_weighted_one_goes_by_its_adjusted_threshold() -> None:
    check = weighted((YES, 1), (NO, 1), at_least=0.5)
    assert check.threshold == 0.5
    case = Case(SOUND, digest(SOUND), None, None, thresholds={"weighted": 0.6})
    assert check.decide(CASE).passed
    assert not check.decide(case).passed


def test_its_parts_are_found_at_any_depth() -> None:
    inner = any_of(YES, NO)
    outer = all_of(inner, OPEN)
    assert leaves([outer]) == [outer, inner, YES, NO, OPEN]
    assert (YES.parts(), outer.parts()) == ((), (inner, OPEN))


def test_of_nothing_joined_all_pass() -> None:
    assert joined("none", []) == Verdict(True, "none", (), 1.0, {"checks": {}})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: all_of(), "all.checks: at least one Check"),
        (lambda: all_of(YES, "no"), "all.checks: at least one Check, and nothing else"),
        (lambda: AllOf(checks=3), "all.checks"),
        (lambda: any_of(YES, required=("no",)), "any.required: 'no' is none of its checks"),
        (lambda: AnyOf(checks=(YES,), required="no"), "any.required: 'no'"),
        (lambda: weighted(YES, at_least=0.5), "pairs of a check and its weight"),
        (lambda: weighted((YES, 1, 2), at_least=0.5), "pairs of a check and its weight"),
        (lambda: weighted((YES, 0), at_least=0.5), "weights: finite numbers above 0"),
        (lambda: weighted((YES, math.inf), at_least=0.5), "weights: finite numbers above 0"),
        (lambda: weighted((YES, True), at_least=0.5), "weights: a number for each"),
        (lambda: weighted((YES, "1"), at_least=0.5), "weights: a number for each"),
        (lambda: weighted((YES, 1), at_least=1.5), "Weighted.at_least: from 0 to 1"),
        (lambda: Weighted(checks=(YES,), weights=(1, 2), at_least=0), "a number for each"),
    ],
)
def test_what_can_not_be_meant_is_refused(wrong: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        wrong()
    assert why in str(refused.value)


@pytest.mark.parametrize("unwritten", [Check(), _Some(checks=(YES,))])
def test_a_check_without_a_body_has_nothing_to_say(unwritten: Check) -> None:
    with pytest.raises(NotImplementedError):
        unwritten.decide(CASE)
    assert not CASE.verdict_of(unwritten).passed


def test_a_gate_asks_its_own_checks_beside_those_it_was_given() -> None:
    assert [check.name for check in Gate().every] == ["critique", "judgement"]
    assert [check.name for check in Gate(checks=YES).every] == ["critique", "judgement", "yes"]
    own = Gate(checks=(all_of(JudgementCheck(min_score=3), CritiqueCheck()), YES))
    assert [check.name for check in own.every] == ["all", "yes"]
    assert [check.name for check in own.leaves] == ["all", "judgement", "critique", "yes"]
    assert [judge.min_score for judge in own.judges] == [3]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"checks": (YES, YES)}, "two checks are named 'yes'"),
        ({"checks": (YES, all_of(NO, YES))}, "two checks are named 'yes'"),
        ({"checks": ("yes",)}, "Gate.checks: at least one Check, and nothing else"),
        ({"checks": JudgementCheck(), "sampling": Sampling()}, "has a JudgementCheck of its own"),
        ({"approval": "yes"}, "Gate.approval: True or False"),
        ({"max_age": 0}, "Gate.max_age: above 0"),
    ],
)
def test_a_gate_refuses_checks_that_can_not_be_meant(settings: Any, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Gate(**settings)
    assert why in str(refused.value)


def test_a_gate_takes_its_own_judges_sampling() -> None:
    sampling = Sampling()
    assert Gate(checks=JudgementCheck(sampling=sampling), sampling=sampling).sampling is sampling


def test_one_check_alone_will_do() -> None:
    assert several(YES, "checks") == (YES,)
    assert AllOf(checks=YES).checks == (YES,)
    assert AnyOf(checks=(YES,), required="yes").required == ("yes",)


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0.1, 9)), min_size=1, max_size=5)
)
def test_any_is_no_stricter_than_all_and_a_mean_lies_between(said: Any) -> None:
    checks = [says(f"c{at}", passed, score) for at, (passed, score, _) in enumerate(said)]
    pairs = [(check, weight) for check, (*_, weight) in zip(checks, said, strict=True)]
    lowest, highest = all_of(*checks).decide(CASE), any_of(*checks).decide(CASE)
    mean = weighted(*pairs, at_least=0).decide(CASE).score
    assert highest.passed or not lowest.passed
    assert lowest.score - 1e-9 <= mean <= highest.score + 1e-9
