"""What the history speaks for: the rule, its bounds, and what counts as evidence."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from adjusting_scene import LARGE, a_decision, a_history, an_approval, scored
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Adjust, Gate
from agno_portkey.gates.adjusting import NoProposal, Proposal, propose
from agno_portkey.gates.adjusting.proposal import STEP, _median_place
from agno_portkey.gates.boundaries import wilson
from agno_portkey.gates.history import Decided, Scored

SCORES = st.integers(0, 100).map(lambda each: each / 100)
HISTORIES = st.lists(SCORES, min_size=0, max_size=120)


def found_in(decided: Sequence[Decided], **settings: Any) -> Proposal | NoProposal:
    given = {"gate": "release", "check": "judgement", "threshold": 0.7, **settings}
    return propose(decided, **given)


def tightened(decided: Sequence[Decided], **settings: Any) -> Proposal:
    found = found_in(decided, **settings)
    assert isinstance(found, Proposal), found
    assert found.kind == "tightened"
    return found


def none(decided: Sequence[Decided], **settings: Any) -> NoProposal:
    found = found_in(decided, **settings)
    assert isinstance(found, NoProposal), found
    return found


@given(HISTORIES, st.integers(10, 60))
def test_never_on_fewer_plans_than_asked_for(scores: list[float], least: int) -> None:
    decided = a_history(scores)
    found = found_in(decided, least=least)
    if len(scores) < least:
        assert isinstance(found, NoProposal)
        assert found.missing == least - len(scores)
        assert f"{found.missing} more" in found.reason


@given(
    st.lists(SCORES, min_size=50, max_size=200),
    st.floats(0.5, 0.99),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_after_a_tightening_the_pass_rate_of_that_history_is_above_the_floor(
    scores: list[float], floor: float, confidence: float
) -> None:
    """Counted anew here, from the scores: the highest threshold whose lower bound is above it."""

    def low(threshold: float) -> float:
        rate = sum(score >= threshold for score in scores if score >= 0.7) / len(scores)
        return wilson(rate, len(scores), confidence)[0]

    found = found_in(a_history(scores), floor=floor, confidence=confidence)
    good = [each for each in {*scores} if each >= 0.7 + STEP and low(each) > floor]
    if not good:
        assert isinstance(found, NoProposal)
        return
    assert isinstance(found, Proposal)
    assert found.kind == "tightened"
    assert found.threshold == found.low == max(good) > found.before == 0.7
    assert found.high >= found.threshold
    passed = sum(score >= found.threshold for score in scores)
    assert found.then.gate.mean == passed / len(scores) > floor
    assert found.then.gate.low == pytest.approx(low(found.threshold))
    assert found.runs == len(scores)
    rates = [point.gate.mean for point in found.curve]
    assert rates == sorted(rates, reverse=True)


def test_the_interval_of_the_threshold_is_where_the_pass_rate_may_be_the_floor() -> None:
    scores = [each / 1000 for each in range(700, 1000)]
    found = tightened(a_history(scores))
    # At a threshold t the rate is 1 - (t - 0.7) / 0.3, and it is the floor at 0.745.
    assert found.low < 0.745 < found.high
    bounds = {p.threshold: wilson(p.gate.mean, 300, 0.95) for p in found.curve}
    assert bounds[found.low][0] > 0.85 >= bounds[round(found.low + 0.001, 4)][0]
    assert bounds[found.high][1] >= 0.85 > bounds[round(found.high + 0.001, 4)][1]


def test_a_threshold_that_is_picked_keeps_the_floor_for_plans_to_come() -> None:
    """Of a thousand histories, one in forty may pick one that passes too few: a bound's share."""
    source = random.Random(7)
    picked, missed = 0, 0
    for _ in range(1000):
        scores = [round(source.uniform(0.7, 1.0), 4) for _ in range(60)]
        found = found_in(a_history(scores))
        if isinstance(found, Proposal):
            picked += 1
            missed += 1 - (found.threshold - 0.7) / 0.3 < 0.85
    # At 0.71 three in 60 may be refused: in 0.86 of all histories no more are.
    assert picked > 800
    # 25 are due; 45 is four standard deviations more.
    assert missed <= 45


def test_scores_of_many_digits_pass_where_they_are_proposed() -> None:
    for score in (0.57 + 0.2, 1 / 1.3, 0.8 - 1e-9, 0.8 + 1e-9, math.nextafter(0.8, 0)):
        found = tightened(a_history([score] * 60))
        assert found.threshold <= score < found.threshold + 2e-4
        assert found.then.gate.mean == 1.0


def test_a_change_of_less_than_a_step_is_none() -> None:
    assert "0.85" in none(a_history([0.7 + STEP / 2] * 60)).reason
    assert tightened(a_history([0.7 + 2 * STEP] * 60)).threshold == 0.72


# What counts


def test_the_stretch_begins_anew_with_another_version() -> None:
    decided = [*a_history([0.9] * 60), *a_history([0.9] * 49, versions=LARGE)]
    assert none(decided).missing == 1
    assert tightened([*decided, *a_history([0.9], versions=LARGE)]).runs == 50
    # In whatever order they come.
    assert none(decided[::-1]).missing == 1
    # Back to the first: what was decided before is not the newest stretch.
    assert none([*decided, *a_history([0.9])]).missing == 49


def test_the_stretch_begins_anew_with_another_threshold_of_any_check() -> None:
    assert none(a_history([0.9] * 60, 0.75)).missing == 50
    assert tightened(a_history([0.9] * 60, 0.75), threshold=0.75).runs == 60

    def both(other: float) -> Decided:
        second = Scored(check="accuracy", outcome="pass", score=0.9, threshold=other)
        return a_decision(scored(0.9), second)

    decided = [*(both(0.5) for _ in range(60)), *(both(0.6) for _ in range(49))]
    assert none(decided).missing == 1


def test_of_one_plan_in_one_run_the_last_decision_counts() -> None:
    same: dict[str, Any] = {"run_id": "r", "plan_digest": "p"}
    decided = [*a_history([0.9] * 49), *a_history([0.2, 0.3, 0.9], **same)]
    found = tightened(decided)
    assert (found.runs, found.then.gate.mean) == (50, 1.0)
    # Another plan of the run, and the plan in another run, are others.
    more = [*decided, *a_history([0.9], run_id="r", plan_digest="q")]
    assert tightened([*more, *a_history([0.9], run_id="s", plan_digest="p")]).runs == 52
    # It counts where it was decided last: by other versions than all before it.
    before = [*a_history([0.9], **same), *a_history([0.9] * 60)]
    assert none([*before, *a_history([0.9], versions=LARGE, **same)]).runs == 1
    # A run without an id is one of its own.
    assert tightened([*decided, *a_history([0.9] * 2, run_id=None, plan_digest="p")]).runs == 52


def test_what_was_decided_before_the_judge_spoke_counts_not_at_all() -> None:
    early = a_history([0.0] * 60, evidence={})
    assert tightened([*early, *a_history([0.9] * 60)]).runs == 60
    assert none(early).runs == 0


def test_other_gates_and_what_persons_decide_are_no_evidence() -> None:
    others = a_history([0.1] * 60, gate="other")
    words = [an_approval(each) for each in a_history([0.9] * 60)]
    assert none([*others, *words]).runs == 0
    assert found_in([]).swarm is None
    with pytest.raises(ConfigurationError, match="of one swarm, not of 2"):
        found_in([*a_history([0.9]), *a_history([0.9], swarm="Sales")])


def test_the_pass_rate_is_that_of_the_whole_gate() -> None:
    """Six in sixty are refused by another check: what is left is too near to the floor."""
    critique = scored(0.0, 1.0, check="critique")
    refused = [a_decision(scored(0.9), critique) for _ in range(6)]
    fine = scored(1.0, 1.0, check="critique")
    decided = [*refused, *(a_decision(scored(0.9), fine) for _ in range(54))]
    assert wilson(0.9, 60, 0.95)[0] < 0.85
    found = none(decided)
    assert found.curve[-1].check.mean == 1.0
    assert found.curve[-1].gate.mean == 0.9
    assert tightened(decided, floor=0.79).then.gate.mean == 0.9


def test_what_was_refused_above_its_threshold_passes_at_none() -> None:
    """The Judge said no, whatever its score."""
    said = [a_decision(scored(0.9, outcome="fail", reasons=("no",))) for _ in range(60)]
    found = none(said)
    assert [point.check.mean for point in found.curve] == [0.0]


def test_a_check_that_goes_by_yes_and_no_has_no_threshold_to_move() -> None:
    issues = [a_decision(scored(0.8, 1.0, outcome="pass", reasons=())) for _ in range(60)]
    assert "does not go by a threshold" in none(issues, threshold=1.0).reason
    unscored = [a_decision(scored(None, outcome="pass", reasons=())) for _ in range(60)]
    assert "does not go by a threshold" in none(unscored).reason
    assert "passes any score" in none(a_history([0.9] * 60, 0.0), threshold=0.0).reason
    without = [a_decision(replace(scored(0.9), threshold=None)) for _ in range(60)]
    assert none(without).runs == 0
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        found_in([], threshold=1.1)


# Sampled judges


def sampled(score: float, outcome: str, **fields: Any) -> Decided:
    reasons = () if outcome == "pass" else ("not so good",)
    return a_decision(scored(score, outcome=outcome, samples=4, reasons=reasons), **fields)


def test_what_a_sampled_judge_would_have_left_open_is_not_counted_as_passed() -> None:
    """The nearest that was decided was 0.1 away: at 0.9 - 0.1 a mean of 0.9 still passes."""
    decided = [sampled(0.9, "pass") for _ in range(59)] + [sampled(0.8, "pass")]
    found = tightened(decided)
    assert found.threshold == pytest.approx(0.8, abs=1e-4)
    assert "nearer than 0.10 are not counted" in " ".join(found.notes)
    # One that was left open 0.15 away makes it wider.
    wider = [*decided, sampled(0.85, "underpowered")]
    assert tightened(wider).threshold == pytest.approx(0.75, abs=1e-4)


def test_scores_that_say_nothing_of_their_interval_tighten_nothing() -> None:
    assert none([sampled(0.9, "pass") for _ in range(60)]).runs == 60


def test_what_was_left_open_does_not_pass_at_the_threshold_of_now() -> None:
    # As far from it as any, 0.25, which is exact in binary.
    halves = [scored(0.75, 0.5, outcome="underpowered", samples=4, reasons=("open",))] * 30
    halves += [scored(0.625, 0.5, samples=4)] * 30
    found = none([a_decision(each) for each in halves], threshold=0.5)
    now = next(point for point in found.curve if point.threshold == 0.5)
    assert now.check.mean == 0.5


# Loosening


def strict(approved: int, *, good: int = 20, score: float = 0.6) -> list[Decided]:
    """Forty of sixty are refused at `score`, of which persons let some run."""
    refused = a_history([score] * (60 - good))
    return [*a_history([0.9] * good), *refused, *map(an_approval, refused[:approved])]


def loosened(decided: Sequence[Decided], **settings: Any) -> Proposal:
    found = found_in(decided, **settings)
    assert isinstance(found, Proposal), found
    assert found.kind == "loosened"
    return found


def test_it_loosens_where_persons_let_run_what_was_refused() -> None:
    found = loosened(strict(6))
    assert (found.threshold, found.low, found.high) == (0.6, 0.6, 0.6)
    assert found.approved == 6
    assert (found.now.gate.mean, found.then.gate.mean) == (20 / 60, 1.0)
    assert "of the 40 plans that would pass in addition, persons approved 6" in found.notes[1]
    assert "nobody spoke for the others" in found.notes[1]
    assert json.loads(json.dumps(found.as_dict()))["threshold"] == 0.6


def test_without_enough_words_of_persons_it_does_not_loosen() -> None:
    assert "persons approved 5" in none(strict(5)).reason
    assert "persons approved 0" in none(strict(0)).reason
    # With more confidence it takes more of them.
    assert isinstance(found_in(strict(7), confidence=0.99), NoProposal)
    assert isinstance(found_in(strict(8), confidence=0.99), Proposal)


def test_a_person_who_took_it_back_has_not_approved() -> None:
    decided = strict(6)
    taken = an_approval(decided[20], passed=False)
    assert "persons approved 5" in none([*decided, taken]).reason


def test_it_does_not_loosen_where_chance_explains_the_rate_or_another_check_refuses() -> None:
    # 48 of 60 are 0.8: up to 0.88.
    assert "not called for" in none(strict(6, good=48)).reason
    blocked = scored(0.0, 1.0, check="critique")
    decided = [
        *a_history([0.9] * 20),
        *(refused := [a_decision(scored(0.6), blocked) for _ in range(40)]),
        *map(an_approval, refused),
    ]
    fine = scored(1.0, 1.0, check="critique")
    decided = [
        replace(each, checks=(*each.checks, fine)) if len(each.checks) == 1 else each
        for each in decided
    ]
    assert "persons approved 0" in none(decided).reason
    # A reason that no check gave: a tool that the Runner has not.
    unknown = [
        replace(each, reasons=("no such tool", *each.reasons)) if each.checks else each
        for each in strict(40)
    ]
    assert "persons approved 0" in none(unknown).reason


def test_it_goes_no_lower_than_persons_did_nor_than_the_floor_takes() -> None:
    low = a_history([0.3] * 20)
    high = a_history([0.6] * 30)
    decided = [*a_history([0.9] * 10), *low, *high]
    # Most of what they let run scored 0.6, though the floor is only reached at 0.3.
    most = loosened([*decided, *map(an_approval, [*high[:7], *low[:5]])])
    assert (most.threshold, most.low, most.high) == (0.6, 0.3, 0.6)
    # They let run what scored 0.3, but 0.6 is enough for the floor.
    enough = [*a_history([0.9] * 10), *low[:5], *high, *map(an_approval, low[:20])]
    assert isinstance(found_in(enough, least=40), NoProposal)
    enough = [*enough, *map(an_approval, low[:5] + high[:1])]
    assert loosened(enough, least=40).threshold == 0.6


def test_approvals_too_near_or_at_nothing_move_nothing() -> None:
    assert "so near" in none(strict(10, score=0.695)).reason
    assert "scored 0" in none(strict(10, score=0.0)).reason


@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=50, max_size=120))
def test_a_loosening_has_its_grounds(plans: list[tuple[float, bool]]) -> None:
    decided = a_history([score for score, _ in plans])
    pairs = zip(decided, plans, strict=True)
    refused = [each for each, (score, by) in pairs if by and score < 0.7]
    found = found_in([*decided, *map(an_approval, refused)])
    if isinstance(found, Proposal) and found.kind == "loosened":
        scores = sorted(float(each.checks[0].score or 0) for each in refused)
        assert len(scores) >= 6
        assert found.threshold < 0.7
        assert found.now.check.high is not None
        assert found.now.check.high < 0.85
        # At least half of what persons approved scored no more than that.
        assert found.threshold >= scores[len(scores) // 2]
        assert found.low <= found.threshold <= found.high


@pytest.mark.parametrize(
    ("count", "confidence", "place"),
    [(5, 0.95, None), (6, 0.95, 0), (8, 0.95, 0), (9, 0.95, 1), (30, 0.95, 9), (7, 0.99, None)],
)
def test_the_interval_of_a_median_is_the_tabled_one(
    count: int, confidence: float, place: int | None
) -> None:
    """Ranks as in W. J. Conover, Practical Nonparametric Statistics: 30 values, the tenth."""
    assert _median_place(count, confidence) == place


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (
        {"auto": 1},
        {"floor": 0.4},
        {"floor": math.nan},
        {"least": 9},
        {"least": 50.5},
        {"every": 0},
        {"confidence": 1.0},
    ):
        with pytest.raises(ConfigurationError, match=f"Adjust\\.{next(iter(wrong))}"):
            Adjust(**wrong)
    with pytest.raises(ConfigurationError, match=r"Gate\.adjust"):
        Gate(adjust=True)  # type: ignore[arg-type]
    assert str(none([])).startswith("release/judgement: 0 plans")
    assert none([]).as_dict()["missing"] == 50
