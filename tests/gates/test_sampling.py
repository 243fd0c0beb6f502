"""A verdict on several samples holds: it seldom differs from the next run's on the same plan."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import asdict, replace
from statistics import NormalDist, fmean, stdev
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.boundaries import boundary
from agno_portkey.gates.checks.base import Outcome
from agno_portkey.gates.sampling import _GROWTH, MOST_PLANNED, Poll, Sampling

SCORES = st.floats(0, 10).map(lambda x: round(x, 2))
SAMPLES = st.lists(SCORES, min_size=1, max_size=20)
SAMPLINGS = st.builds(
    Sampling,
    least=st.integers(1, 4),
    most=st.sampled_from([4, 9, 16]),
    noise=st.none() | st.sampled_from([0.3, 0.8, 2.0]),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
    margin=st.sampled_from([0.5, 1.0, 2.0]),
    sequential=st.booleans(),
)
ONCE = Sampling(least=1, most=1)


@given(SCORES, SCORES)
def test_a_single_sample_is_held_against_the_threshold_as_it_is(
    score: float, threshold: float
) -> None:
    poll = ONCE.poll([score], threshold)
    assert (poll.outcome is Outcome.PASS) == (score >= threshold)
    assert poll == Poll(poll.outcome, score, score, score, 1, 0, True)
    assert poll.outcome is not Outcome.UNDERPOWERED


@given(SAMPLINGS, SAMPLES, SCORES, st.randoms(use_true_random=False))
def test_the_order_of_scores_is_irrelevant(
    sampling: Sampling, scores: list[float], threshold: float, chance: random.Random
) -> None:
    """A run stops at the first look that decides; what a fixed set comes to has no order."""
    mixed = scores.copy()
    chance.shuffle(mixed)
    assert sampling.poll(mixed, threshold) == sampling.poll(scores, threshold)


@given(SAMPLINGS, SAMPLES, SCORES)
def test_the_outcome_is_what_the_interval_says(
    sampling: Sampling, scores: list[float], threshold: float
) -> None:
    poll = sampling.poll(scores, threshold)
    assert 0 <= poll.low <= poll.mean <= poll.high <= 10
    assert poll.mean == pytest.approx(fmean(scores))
    assert poll.samples == len(scores)
    if poll.outcome is Outcome.PASS:
        assert poll.low >= threshold
    elif poll.outcome is Outcome.FAIL:
        assert poll.high < threshold
    else:
        assert len(scores) < sampling.least or poll.low < threshold <= poll.high
    decided = poll.outcome is not Outcome.UNDERPOWERED
    assert (poll.more == 0) == decided
    assert poll.done or not decided
    assert poll.done or len(scores) < sampling.most


@given(SAMPLINGS, SAMPLES, SCORES)
def test_pass_and_fail_are_treated_alike(
    sampling: Sampling, scores: list[float], threshold: float
) -> None:
    poll = sampling.poll(scores, threshold)
    other = sampling.poll([10 - score for score in scores], 10 - threshold)
    # An interval that ends on the threshold itself passes.
    assume(min(abs(poll.low - threshold), abs(poll.high - threshold)) > 1e-9)
    swapped = {Outcome.PASS: Outcome.FAIL, Outcome.FAIL: Outcome.PASS}
    assert other.outcome is swapped.get(poll.outcome, Outcome.UNDERPOWERED)
    assert (other.low, other.high) == pytest.approx((10 - poll.high, 10 - poll.low))
    assert other.done == poll.done


@given(SAMPLINGS, SAMPLES, SCORES, st.integers(2, 4))
def test_more_of_the_same_never_widens_the_interval(
    sampling: Sampling, scores: list[float], threshold: float, times: int
) -> None:
    few, many = sampling.poll(scores, threshold), sampling.poll(scores * times, threshold)
    assert many.low >= few.low - 1e-9
    assert many.high <= few.high + 1e-9


@given(SAMPLINGS, SAMPLES, SCORES)
def test_samples_that_scatter_more_than_the_noise_make_it_less_sure(
    sampling: Sampling, scores: list[float], threshold: float
) -> None:
    """With their mean, however much smaller the noise was said to be."""
    count, mean = len(scores), fmean(scores)
    sd = math.sqrt(sum((score - mean) ** 2 for score in scores) / max(1, count - 1))
    poll = replace(sampling, noise=1e-3, sequential=False).poll(scores, threshold)
    # Were the scatter known for certain, the bound of each side would be this far from the mean.
    far = NormalDist().inv_cdf(sampling.confidence) * sd / math.sqrt(count)
    assert poll.low <= max(0.0, mean - far)
    assert poll.high >= min(10.0, mean + far)


@given(st.lists(st.floats(6.8, 7.6), min_size=1, max_size=20), SCORES)
def test_a_larger_noise_makes_it_less_sure(scores: list[float], threshold: float) -> None:
    """Where the samples contradict neither; one that they do contradict is believed the less."""
    known, noisy = (Sampling(noise=noise).poll(scores, threshold) for noise in (0.6, 1.5))
    assert noisy.low < known.low
    assert noisy.high >= known.high


@given(SAMPLES, SCORES)
def test_a_noise_that_the_samples_contradict_is_believed_the_less(
    scores: list[float], threshold: float
) -> None:
    mean = fmean(scores)
    own = math.sqrt(sum((score - mean) ** 2 for score in scores) / max(1, len(scores) - 1))
    assume(own > 0.1)
    fits, wrong = (Sampling(noise=noise).poll(scores, threshold) for noise in (own, own / 4))
    assert wrong.low <= fits.low
    assert wrong.high >= fits.high


def runs(
    sampling: Sampling, true: float, sd: float, *, whole: bool = False, trials: int = 1500
) -> tuple[Counter[Outcome], float]:
    """The outcomes of so many runs on one plan, and their mean number of samples."""
    chance, ends, used = random.Random(f"{true} {sd} {whole}"), Counter[Outcome](), 0
    for _ in range(trials):
        scores: list[float] = []
        while True:
            drawn = chance.gauss(true, sd)
            scores.append(min(10.0, max(0.0, round(drawn) if whole else drawn)))
            poll = sampling.poll(scores, 7, plan=False)
            if poll.done:
                break
        ends[poll.outcome] += 1
        used += poll.samples
    return ends, used / trials


def flips(ends: Counter[Outcome]) -> float:
    return 2 * ends[Outcome.PASS] * ends[Outcome.FAIL] / ends.total() ** 2


def sequential(noise: float) -> Sampling:
    return Sampling(noise=noise, margin=noise, sequential=True)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("distance", [-0.5, 0.0, 0.25])
def test_decisions_near_the_threshold_do_not_flip(
    whole: bool, noise: float, distance: float
) -> None:
    sd = math.hypot(noise, whole / math.sqrt(12))
    for sampling in (Sampling(noise=sd), Sampling(), sequential(sd)):
        ends, _ = runs(sampling, 7 + distance * sd, noise, whole=whole, trials=600)
        assert flips(ends) < 0.05


@pytest.mark.parametrize("noise", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("known", [True, False])
def test_on_the_threshold_each_side_is_wrong_as_seldom_as_it_says(
    noise: float, known: bool
) -> None:
    ends, _ = runs(Sampling(noise=noise if known else None), 7, noise)
    # Four standard errors above 0.05; and, but for judges of far less noise than is guessed, not 0.
    for outcome in (Outcome.PASS, Outcome.FAIL):
        assert ends[outcome] / ends.total() < 0.05 + 4 * math.sqrt(0.05 * 0.95 / ends.total())
        assert ends[outcome] / ends.total() > 0.005 or not known


@pytest.mark.parametrize("known", [0.7, 0.5, 0.25])
def test_a_judge_noisier_than_it_was_said_to_be_flips_seldom_from_two_samples_on(
    known: float,
) -> None:
    for noise in (0.5, 1.0, 2.0):
        ends, _ = runs(Sampling(noise=known * noise, least=2), 7, noise)
        assert flips(ends) < 0.05


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_one_noise_off_the_threshold_nine_in_ten_are_decided(noise: float, side: int) -> None:
    ends, _ = runs(Sampling(noise=noise), 7 + side * noise, noise)
    right = Outcome.PASS if side > 0 else Outcome.FAIL
    assert ends[right] / ends.total() > 0.9
    assert ends[Outcome.PASS if side < 0 else Outcome.FAIL] / ends.total() < 0.01


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_a_clear_case_takes_at_most_twice_the_samples_of_a_single_one(noise: float) -> None:
    for true in (7 - 3 * noise, 7 + 3 * noise):
        if 0 <= true <= 10:
            ends, used = runs(Sampling(noise=noise), true, noise)
            assert used <= 2
            assert ends[Outcome.UNDERPOWERED] == 0


def test_a_margin_saves_samples_where_the_plan_is_too_near_to_tell() -> None:
    _, wide = runs(Sampling(noise=1), 7, 1)
    ends, narrow = runs(Sampling(noise=1, margin=1), 7, 1)
    assert narrow < wide - 2
    assert flips(ends) < 0.05
    _, walds = runs(sequential(1), 7, 1)
    assert walds < wide - 2


@pytest.mark.parametrize("scores", [[7.9, 6.7, 7.6], [6.8, 6.5, 6.9, 7.1], [7, 7.3, 6.9] * 3])
@pytest.mark.parametrize("told", [1.0, 0.7, None])
def test_as_many_more_samples_of_that_kind_decide(scores: list[float], told: float | None) -> None:
    noise = told and told * stdev(scores)
    poll = Sampling(noise=noise).poll(scores, 7)
    assert poll.outcome is Outcome.UNDERPOWERED
    assert poll.more is not None
    total = len(scores) + poll.more
    at_length = Sampling(noise=noise, most=max(16, min(100, total)))
    enough = at_length.poll(scores * math.ceil(1.1 * total / len(scores)), 7)
    assert enough.outcome is not Outcome.UNDERPOWERED
    few = at_length.poll(scores * max(1, int(0.4 * total / len(scores))), 7)
    assert few.outcome is Outcome.UNDERPOWERED or told is None


def test_more_is_the_number_of_samples_beyond_those_there_are() -> None:
    """Half a point off, 16 looks need (2.231 SD / 0.5) ** 2 in all, and Student's t some more.

    That is 20 where the SD is the noise of 1, and 17 where 8 samples have brought it to 0.92.
    """
    more = [Sampling(noise=1).poll([8.2, 6.8] * times, 7).more for times in (1, 4)]
    assert more == [pytest.approx(22 - 2, abs=2), pytest.approx(19 - 8, abs=2)]


def test_the_growth_that_planning_takes_is_that_of_the_boundary() -> None:
    for looks in (8, 12, 24):
        grown = boundary(1, 2 * looks, 0.95) - boundary(1, looks, 0.95)
        assert grown / math.log(2) == pytest.approx(_GROWTH, abs=0.03)


@pytest.mark.parametrize("scores", [[7.0], [6.5, 7.5], [7, 7, 7.01, 6.99], [7.001, 7.002, 7]])
def test_a_mean_on_the_threshold_can_not_be_told_by_any_number(scores: list[float]) -> None:
    poll = Sampling(noise=1).poll(scores, 7)
    assert (poll.outcome, poll.more) == (Outcome.UNDERPOWERED, None)
    assert MOST_PLANNED == 1000


def test_inside_its_zone_the_sequential_test_promises_nothing() -> None:
    assert sequential(1).poll([7.4] * 3, 7).more is None
    assert sequential(1).poll([7.9] * 3, 7).more is not None


def test_without_a_score_it_is_underpowered() -> None:
    assert Sampling(least=3).poll([], 7) == Poll(Outcome.UNDERPOWERED, 0.0, 0.0, 10.0, 0, 3, False)
    assert ONCE.poll([], 7).outcome is Outcome.UNDERPOWERED


def test_fewer_than_the_least_decide_nothing_and_say_how_many_are_missing() -> None:
    poll = Sampling(least=4, noise=0.2).poll([10, 10], 2)
    assert (poll.outcome, poll.more, poll.done) == (Outcome.UNDERPOWERED, 2, False)
    assert Sampling(least=2, noise=0.2).poll([10, 10], 2).outcome is Outcome.PASS


def test_after_the_most_it_is_done_undecided() -> None:
    sampling = Sampling(most=3, noise=2)
    assert not sampling.poll([7, 8], 7).done
    poll = sampling.poll([7, 8, 7], 7)
    assert (poll.outcome, poll.done) == (Outcome.UNDERPOWERED, True)
    assert poll.more is not None
    assert sampling.poll([7, 8, 7], 7, plan=False) == replace(poll, more=None)


def test_at_the_ends_of_the_scale() -> None:
    assert Sampling().poll([0, 0], 0).outcome is Outcome.PASS
    assert Sampling().poll([10] * 16, 10).outcome is Outcome.UNDERPOWERED
    assert Sampling().poll([10] * 16, 9).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"least": 0}, r"Sampling\.least: from 1 to 100, not 0"),
        ({"least": 2.0}, r"Sampling\.least: a whole number"),
        ({"most": True}, r"Sampling\.most: a whole number"),
        ({"most": 101}, r"Sampling\.most: from 1 to 100"),
        ({"least": 5, "most": 4}, r"Sampling\.least: at most Sampling\.most \(4\), not 5"),
        ({"noise": 0}, r"Sampling\.noise: "),
        ({"noise": math.nan}, r"Sampling\.noise: a number"),
        ({"noise": 11}, r"Sampling\.noise: "),
        ({"confidence": 95}, r"Sampling\.confidence: from 0\.8 to 0\.999"),
        ({"confidence": 0.5}, r"Sampling\.confidence: "),
        ({"margin": -1}, r"Sampling\.margin: from 0 to 10"),
        ({"sequential": "yes"}, r"Sampling\.sequential: True or False"),
        ({"sequential": True}, r"Sampling\.margin: above 0 with sequential=True"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Sampling(**settings)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 10.1, True, "7", None])
def test_scores_and_thresholds_out_of_range_are_refused(bad: Any) -> None:
    for sampling in (ONCE, Sampling()):
        with pytest.raises(ConfigurationError, match=r"scores\[1\]: a number from 0 to 10, not "):
            sampling.poll([7, bad], 7)
        with pytest.raises(ConfigurationError, match="threshold: a number from 0 to 10, not "):
            sampling.poll([7], bad)


def test_settings_and_polls_are_plain_values() -> None:
    assert json.loads(json.dumps(asdict(Sampling())))["noise"] is None
    assert json.loads(json.dumps(asdict(Sampling().poll([], 7))))["outcome"] == "underpowered"
    assert Sampling(noise=1) == Sampling(noise=1)
    assert len({Sampling(noise=1), Sampling(noise=1.0)}) == 1
