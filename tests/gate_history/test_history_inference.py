"""The statistics of the history are those of SciPy."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agno_portkey.gates.history.inference import holm, mann_whitney, mean_of, pettitt, rate_of

SCORES = st.lists(st.integers(0, 10).map(lambda points: points / 10), min_size=5, max_size=7)


@given(SCORES, SCORES)
def test_small_samples_are_compared_exactly(a: list[float], b: list[float]) -> None:
    # Every way to part the ranks, ties included.
    def rank_sum(x: list[float], y: list[float], axis: int) -> object:
        return stats.rankdata([*x, *y])[: len(a)].sum() if axis is None else _sums(x, y)

    def _sums(x: object, y: object) -> object:
        import numpy as np

        joined = np.concatenate([x, y], axis=-1)
        ranks = stats.rankdata(joined, axis=-1)
        return abs(ranks[..., : len(a)].sum(axis=-1) - len(a) * (len(a) + len(b) + 1) / 2)

    known = stats.permutation_test(
        (a, b), rank_sum, vectorized=True, n_resamples=10_000, alternative="greater"
    )
    assert mann_whitney(a, b) == pytest.approx(known.pvalue, abs=1e-9)


@given(st.integers(0, 2**32), st.integers(20, 60), st.integers(20, 60))
def test_large_samples_are_compared_by_the_normal_approximation(
    seed: int, size_a: int, size_b: int
) -> None:
    chance = Random(seed)
    a = [round(chance.random(), 1) for _ in range(size_a)]
    b = [round(chance.random(), 1) for _ in range(size_b)]
    known = stats.mannwhitneyu(a, b, method="asymptotic")
    assert mann_whitney(a, b) == pytest.approx(known.pvalue, rel=1e-6)


def test_scores_that_never_vary_are_compared_too() -> None:
    assert mann_whitney([0.8] * 100, [0.8] * 100) == 1.0
    moved = mann_whitney([0.8] * 5, [0.6] * 5)
    assert moved == pytest.approx(2 / 252)
    assert mann_whitney([0.8] * 4, [0.6] * 100) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_chances_are_corrected_as_holm_does(chances: list[float]) -> None:
    ordered = sorted(range(len(chances)), key=chances.__getitem__)
    corrected = holm(chances)
    for place, index in enumerate(ordered):
        steps = [(len(chances) - at) * chances[ordered[at]] for at in range(place + 1)]
        assert corrected[index] == min(1.0, max(steps))


@pytest.mark.parametrize(("successes", "count"), [(0, 5), (5, 5), (7, 30), (850, 1000)])
def test_a_rate_has_the_interval_of_wilson(successes: int, count: int) -> None:
    known = stats.binomtest(successes, count).proportion_ci(0.95, method="wilson")
    found = rate_of(successes, count)
    assert found.mean == successes / count
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-9)


@pytest.mark.parametrize("size", [5, 8, 30, 200])
def test_a_mean_has_the_interval_of_student(size: int) -> None:
    chance = Random(size)
    values = [chance.uniform(0.4, 0.6) for _ in range(size)]
    low, high = stats.t.interval(0.95, size - 1, stats.tmean(values), stats.sem(values))
    found = mean_of(values)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(high - low, rel=0.03)
    assert (found.low + found.high) / 2 == pytest.approx(found.mean)


def test_fewer_than_five_have_a_mean_alone() -> None:
    assert str(mean_of([0.5, 0.7])) == "0.60"
    assert str(mean_of([1.0] * 5)) == "1.00 (1.00 to 1.00)"
    assert mean_of([0.0, 1.0] * 3).high == 1.0


def test_a_shift_is_found_where_it_is() -> None:
    chance = Random(1)
    values = [chance.gauss(0.8 if number < 40 else 0.6, 0.05) for number in range(100)]
    place, p = pettitt(values)
    assert abs(place - 40) <= 1
    assert p < 1e-6
    assert pettitt(values[:9]) == (0, 1.0)


def test_a_shift_is_seldom_found_where_there_is_none() -> None:
    chance = Random(2)
    tried = [pettitt([chance.random() for _ in range(40)])[1] < 0.05 for _ in range(400)]
    # 5% are 20; four standard deviations above that are 37.
    assert sum(tried) <= 37
