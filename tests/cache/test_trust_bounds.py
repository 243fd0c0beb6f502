"""Exact bounds of a share, and the curve of bounds by likeness."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from agno_portkey.cache.semantic.bounds import at_least, at_most
from agno_portkey.cache.semantic.curve import curve

SEEN = [(1, 2), (1, 30), (2, 30), (3, 300), (29, 30), (15, 30), (7, 1_000), (40, 400)]
LEVELS = [0.5, 0.95, 0.99]


def chance_of_so_few(seen: int, of: int, share: float) -> float:
    """By summing the binomial's terms, exactly."""
    exact = Fraction(share)
    terms = (comb(of, k) * exact**k * (1 - exact) ** (of - k) for k in range(seen + 1))
    return float(sum(terms))


@pytest.mark.parametrize("of", [1, 2, 59, 299, 2_995])
def test_the_bound_without_an_error_has_a_closed_form(of: int) -> None:
    assert at_most(0, of, 0.95) == pytest.approx(1 - 0.05 ** (1 / of), rel=1e-12)


def test_299_right_ones_bound_the_errors_by_one_in_a_hundred_and_298_do_not() -> None:
    assert at_most(0, 299, 0.95) <= 0.01 < at_most(0, 298, 0.95)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("seen", "of"), SEEN)
def test_so_few_come_with_the_rest_of_the_level_at_the_upper_bound(
    seen: int, of: int, level: float
) -> None:
    share = at_most(seen, of, level)
    assert chance_of_so_few(seen, of, share) == pytest.approx(1 - level, abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("seen", "of"), SEEN)
def test_so_many_come_with_the_rest_of_the_level_at_the_lower_bound(
    seen: int, of: int, level: float
) -> None:
    share = at_least(seen, of, level)
    assert 1 - chance_of_so_few(seen - 1, of, share) == pytest.approx(1 - level, abs=1e-9)


@pytest.mark.parametrize(("seen", "of"), [(1, 5_000), (60, 20_000), (2_500, 5_000), (4_999, 5_000)])
def test_large_counts_agree_with_scipy(seen: int, of: int) -> None:
    assert at_most(seen, of, 0.95) == pytest.approx(stats.beta.ppf(0.95, seen + 1, of - seen))


def test_all_and_none_bound_nothing() -> None:
    assert (at_most(7, 7, 0.95), at_least(0, 7, 0.95), at_least(0, 0, 0.95)) == (1.0, 0.0, 0.0)


@given(st.integers(1, 600), st.data())
def test_the_bound_rises_with_errors_and_falls_with_comparisons(
    of: int, data: st.DataObject
) -> None:
    seen = data.draw(st.integers(0, of - 1))
    bound = at_most(seen, of, 0.95)
    assert at_least(seen, of, 0.95) < (seen + 0.5) / of
    assert seen / of < bound
    assert at_most(seen, of + 1, 0.95) < bound < at_most(seen + 1, of, 0.95)


# The curve; three bins, the likest last


def test_a_bin_is_bounded_by_the_errors_in_it_and_above_it() -> None:
    found = curve([400, 500, 100], [3, 1, 0], 0.01, 0.95)
    # Of the likest bin alone less is known than of the two likest.
    assert found == [at_most(4, 1_004, 0.95), at_most(1, 601, 0.95), at_most(1, 601, 0.95)]


def test_a_bad_margin_does_not_hide_in_the_average() -> None:
    # 30 of 330 are wrong at the margin; of all it is 30 in 9,330, within the budget.
    found = curve([300, 9_000], [30, 0], 0.01, 0.95)
    assert at_most(30, 9_330, 0.95) < 0.01
    assert found == [at_most(30, 330, 0.95), at_most(0, 9_000, 0.95)]


def test_few_comparisons_at_a_likeness_are_eked_out_by_those_below() -> None:
    # 59 without an error bound a bin by five times the budget; there are 40 in each.
    found = curve([40, 40, 900], [0, 0, 0], 0.01, 0.95)
    assert found[:2] == [at_most(0, 40, 0.95), at_most(0, 980, 0.95)]


def test_nothing_is_known_of_where_nothing_was_compared() -> None:
    assert curve([0, 0, 3_000], [0, 0, 0], 0.01, 0.95)[:2] == [1.0, 1.0]
    assert curve([0, 0, 0], [0, 0, 0], 0.01, 0.95) == [1.0, 1.0, 1.0]


def test_a_lower_bins_bound_holds_for_a_higher_one() -> None:
    assert curve([3_000, 0, 0], [0, 0, 0], 0.01, 0.95) == [at_most(0, 3_000, 0.95)] * 3


counts = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9)), min_size=1, max_size=8)


@given(counts, st.sampled_from([0.001, 0.01, 0.1, 0.5]))
def test_the_curve_never_rises(seen: list[tuple[int, int]], budget: float) -> None:
    found = curve([right for right, _ in seen], [wrong for _, wrong in seen], budget, 0.95)
    assert found == sorted(found, reverse=True)
    assert all(0 < bound <= 1 for bound in found)
