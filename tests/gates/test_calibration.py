"""Calibration measures a judge's noise and proposes a sampling that keeps what it promises."""

from __future__ import annotations

import json
import math
import random
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.calibration import Judge, calibrate, expect, polled
from agno_portkey.gates.checks.base import Outcome
from agno_portkey.gates.sampling import Sampling

TRUES = (3.0, 4.5, 6.0, 6.6, 7.0, 7.4, 8.0, 9.0)


def judged(noise: float, *, repeats: int = 6, seed: int = 7) -> dict[str, list[float]]:
    chance = random.Random(seed)
    return {
        f"plan {true}": [min(10.0, max(0.0, chance.gauss(true, noise))) for _ in range(repeats)]
        for true in TRUES
    }


def test_the_noise_is_pooled_over_the_cases() -> None:
    """Case by case: squares of 2, 2, 0, 2 and 8, over 2 degrees of freedom each, and 10 more."""
    cases: dict[str, list[float]] = {
        "a": [4, 5, 6],
        "b": [7, 8, 9],
        "c": [5, 5, 5],
        "d": [1, 2, 3],
        "e": [2, 4, 6],
        "f": [5.0] * 11,
    }
    found = calibrate(cases, threshold=7)
    assert found.noise == pytest.approx(math.sqrt(14 / 20))
    assert (found.cases, found.scores, found.threshold) == (6, 26, 7)
    low, high = (math.sqrt(14 / stats.chi2.ppf(share, 20)) for share in (0.975, 0.025))
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.01)


def test_the_interval_holds_the_true_noise_about_95_times_in_100() -> None:
    held = 0
    for seed in range(60):
        found = calibrate(judged(0.4, seed=seed), threshold=0, trials=50)
        held += found.low <= 0.4 <= found.high
    assert held >= 50


def test_flips_of_single_scores_are_counted_in_pairs() -> None:
    """Of 4 scores with 1 below, 3 of the 6 pairs differ; of those with 2 below, 4 of 6."""
    cases: dict[str, list[float]] = {
        "one below": [8, 8, 6, 8],
        "two below": [6, 7, 8, 6.9],
        "none": [9, 9, 9, 8],
        "all": [3, 2, 3, 3],
        "far": [1, 1, 2, 1],
    }
    found = calibrate(cases, threshold=7).naive
    assert found.rate == pytest.approx((3 / 6 + 4 / 6) / 5)
    # Wilson's interval lies about a middle that is drawn towards a half; ten pairs share no score.
    z = stats.norm.ppf(0.975)
    middle = (found.rate + z * z / 20) / (1 + z * z / 10)
    assert (found.low + found.high) / 2 == pytest.approx(middle)


@pytest.mark.parametrize("noise", [0.4, 1.2])
def test_the_proposal_keeps_what_it_promises_on_fresh_scores(noise: float) -> None:
    found = calibrate(judged(noise), threshold=7)
    assert found.proposal.noise == round(found.noise, 2)
    assert found.proposal.margin == found.proposal.noise
    assert found.expected.flips.high < 0.05
    assert found.expected.flips.rate < found.naive.rate
    chance, trials = random.Random(99), 300

    def fresh(true: float) -> float:
        return min(10.0, chance.gauss(true, noise))

    for true in (7, 7 - noise, 7 + noise):
        ends = [polled(found.proposal, partial(fresh, true), 7).outcome for _ in range(trials)]
        passed, failed = ends.count(Outcome.PASS), ends.count(Outcome.FAIL)
        assert 2 * passed * failed / trials**2 < 0.05
        if true != 7:
            assert (passed + failed) / trials > 0.8


def test_the_proposal_is_the_smallest_that_decides_enough() -> None:
    found = calibrate(judged(0.8), threshold=7)
    judge, size = Judge([*judged(0.8).values()]), found.proposal.most
    noise = found.proposal.noise
    assert noise is not None
    shares = {
        most: expect(
            Sampling(most=most, noise=noise, margin=noise),
            judge,
            [7 - noise, 7 + noise],
            7,
            random.Random(1),
            1500,
        ).decided
        for most in (size // 2, size)
    }
    assert shares[size // 2] < 0.88
    assert shares[size] > 0.88


def test_what_is_expected_of_the_present_sampling_is_simulated() -> None:
    cases = judged(1.0)
    once = calibrate(cases, threshold=7)
    assert once.sampling == Sampling(least=1, most=1)
    assert (once.current.decided, once.current.samples) == (1, 1)
    # The same judge, by its pairs and by simulation.
    assert once.current.flips.rate == pytest.approx(once.naive.rate, abs=0.1)
    assert once.current.flips.low < once.current.flips.rate < once.current.flips.high
    several = calibrate(cases, threshold=7, sampling=Sampling(least=3, most=3))
    assert several.current.samples == 3
    assert several.current.flips.rate < once.current.flips.rate
    assert several.current.decided < 1


def test_flips_that_were_not_seen_may_still_happen() -> None:
    found = calibrate(judged(0.4), threshold=0)
    assert found.naive.rate == found.expected.flips.rate == 0
    assert found.naive.high > found.expected.flips.high > 0


def test_a_judge_that_never_varies_is_asked_once() -> None:
    found = calibrate({str(at): [at, at, at, at] for at in range(10)}, threshold=7)
    assert (found.noise, found.low, found.high) == (0, 0, 0)
    assert found.proposal == Sampling(most=1)
    assert "proposed: 1 sample  " in str(found)


def test_a_judge_that_hardly_varies_has_a_noise_that_a_sampling_takes() -> None:
    cases = {str(at): [at, at, at, at + 1e-6] for at in range(9)}
    assert calibrate(cases, threshold=7).proposal.noise == 0.05


def test_a_noise_that_leaves_no_room_on_either_side_still_gets_a_proposal() -> None:
    found = calibrate({str(at): [0, 10, 0, 10] for at in range(6)}, threshold=5)
    assert found.proposal.most == 32
    assert found.expected.decided < 1


@settings(max_examples=10)
@given(st.permutations(range(6)), st.integers(0, 5))
def test_the_same_scores_and_seed_give_the_same(order: list[int], seed: int) -> None:
    cases: dict[str, list[float]] = {
        "a": [4, 5, 6, 5, 6, 7],
        **{str(at): [at + 1.0, at + 2.0] for at in range(9)},
    }
    first = calibrate(cases, threshold=9.9, seed=seed, trials=50)
    assert calibrate(cases, threshold=9.9, seed=seed, trials=50) == first
    mixed = cases | {"a": [cases["a"][at] for at in order]}
    again = calibrate(mixed, threshold=9.9, seed=seed, trials=50)
    assert again.noise == pytest.approx(first.noise)
    assert again.naive == first.naive


def test_it_is_told_as_a_table_and_as_plain_values() -> None:
    found = calibrate(
        judged(1.0), threshold=7, sampling=Sampling(noise=1, margin=1, sequential=True)
    )
    lines = str(found).splitlines()
    assert lines[0].startswith(f"noise {found.noise:.2f} points (95% interval {found.low:.2f} to ")
    assert lines[0].endswith("from 48 scores of 8 cases; threshold 7")
    assert len({*map(len, lines[1:])}) == 1
    assert lines[2].startswith("one score")
    assert "now: 1 to 16 samples, noise 1, margin 1, sequential" in lines[3]
    proposed = f"proposed: 1 to {found.proposal.most} samples, noise {found.proposal.noise:g}"
    assert lines[4].startswith(proposed)
    assert f"{found.expected.samples:.1f}" in lines[4]
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["proposal"]["most"] == found.proposal.most
    assert plain["naive"]["rate"] == found.naive.rate
    assert "noise unmeasured" in str(calibrate(judged(1.0), threshold=7, sampling=Sampling()))


FEW = {str(at): [5.0, 6.0] for at in range(13)}


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ({}, "cases: 0, judged 0 times in all, say too little of the noise"),
        (FEW, "cases: 13, judged 26 times in all, say too little of the noise"),
        ({str(at): [5.0] * 9 for at in range(4)}, "give at least 5, each judged 5 times"),
        ({"a": [5.0]}, r"cases\['a'\]: judge it at least twice"),
        ({"a": [5.0, math.nan]}, r"cases\['a'\]\[1\]: a number from 0 to 10, not nan"),
        ({"a": [5.0, "7"]}, r"cases\['a'\]\[1\]: a number from 0 to 10, not '7'"),
        ({"a": [True, 5.0]}, r"cases\['a'\]\[0\]: a number from 0 to 10, not True"),
    ],
)
def test_too_little_and_junk_are_refused(cases: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        calibrate(cases, threshold=7)


def test_settings_out_of_range_are_refused() -> None:
    enough = FEW | {"more": [5.0, 6.0]}
    assert calibrate(enough, threshold=7).cases == 14
    with pytest.raises(ConfigurationError, match="threshold: a number from 0 to 10, not 70"):
        calibrate(enough, threshold=70)
    with pytest.raises(ConfigurationError, match="trials: at least 50, not 1"):
        calibrate(enough, threshold=7, trials=1)
    with pytest.raises(ConfigurationError, match="confidence: between 0 and 1, not 95"):
        calibrate(enough, threshold=7, confidence=95)
