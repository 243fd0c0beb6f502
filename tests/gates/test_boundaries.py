"""Boundaries and quantiles agree with published tables, with scipy, and with simulation."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats  # type: ignore[import-untyped]

from agno_portkey.gates.boundaries import SHAPE, boundary, chi_square, crossing, student, wilson

# Jennison and Turnbull, "Group Sequential Methods" (2000), tables 2.1, 2.3 and 2.9: two-sided at
# 0.05, which is twice the one-sided 0.025, since a walk hardly ever crosses both sides.
PUBLISHED = [
    (0.5, 2, 2.178),
    (0.5, 5, 2.413),
    (0.5, 10, 2.555),
    (0.0, 2, 1.977),
    (0.0, 5, 2.040),
    (0.0, 10, 2.087),
    (0.25, 5, 2.136),
    (0.25, 10, 2.199),
]


@pytest.mark.parametrize(("shape", "looks", "published"), PUBLISHED)
def test_boundaries_agree_with_the_published_tables(
    shape: float, looks: int, published: float
) -> None:
    assert boundary(1, looks, 0.975, shape) == pytest.approx(published, abs=1e-3)


def test_one_look_is_the_normal_quantile() -> None:
    for count in (1, 7):
        assert boundary(count, count, 0.95) == pytest.approx(stats.norm.ppf(0.95), abs=1e-3)


@pytest.mark.parametrize(
    ("least", "most", "confidence"), [(1, 16, 0.95), (3, 9, 0.9), (2, 40, 0.8)]
)
def test_a_walk_without_drift_crosses_as_often_as_it_may(
    least: int, most: int, confidence: float
) -> None:
    last = boundary(least, most, confidence)
    heights = {n: last * n**SHAPE * most ** (0.5 - SHAPE) for n in range(least, most + 1)}
    assert crossing(heights) == pytest.approx(1 - confidence, rel=1e-3)
    chance, trials, crossed = random.Random(1987), 8_000, 0
    for _ in range(trials):
        total = 0.0
        for n in range(1, most + 1):
            total += chance.gauss()
            if n >= least and total > heights[n]:
                crossed += 1
                break
    error = math.sqrt(confidence * (1 - confidence) / trials)
    assert abs(crossed / trials - (1 - confidence)) < 4 * error


def test_more_looks_and_more_confidence_raise_the_boundary() -> None:
    by_looks = [boundary(1, most, 0.95) for most in (2, 4, 16, 64, 100)]
    by_confidence = [boundary(1, 16, confidence) for confidence in (0.8, 0.9, 0.95, 0.999)]
    assert by_looks == sorted(by_looks)
    assert by_confidence == sorted(by_confidence)


@pytest.mark.parametrize("z", [0.9, 1.3, 1.645, 2.2, 2.6])
def test_students_value_is_close_from_6_degrees_on_and_not_too_small_before(z: float) -> None:
    for freedom in (1, 1.5, 2, 3, 4, 6, 8, 14, 29, 200):
        exact = stats.t.isf(stats.norm.sf(z), freedom)
        found = student(z, freedom)
        assert found > exact * 0.998 or z < 1.2
        if freedom >= 6:
            assert found == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("share", [0.005, 0.025, 0.05, 0.5, 0.95, 0.975, 0.995])
def test_chi_square_is_close_from_14_degrees_on(share: float) -> None:
    for freedom in (14, 20, 80, 400):
        exact = stats.chi2.ppf(share, freedom)
        assert chi_square(share, freedom) == pytest.approx(exact, rel=0.015)


@pytest.mark.parametrize(("seen", "of"), [(0, 10), (1, 10), (7, 20), (20, 20), (3, 1000)])
def test_wilsons_interval_agrees_with_scipys(seen: int, of: int) -> None:
    exact = stats.binomtest(seen, of).proportion_ci(0.95, method="wilson")
    assert wilson(seen / of, of, 0.95) == pytest.approx((exact.low, exact.high), abs=1e-9)
