"""A comparison says what two samples can tell, and no more."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.routing.experiments.comparison import Comparison, Rate, compare

NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=30)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    of = draw(st.integers(1, 200))
    return Rate(draw(st.integers(0, of)), of)


# Newcombe 1998, table II, method 10: 56/70 - 48/80 and so on.
PUBLISHED = [
    (Rate(56, 70), Rate(48, 80), 0.0524, 0.3339),
    (Rate(9, 10), Rate(3, 10), 0.1705, 0.8090),
    (Rate(6, 7), Rate(2, 7), 0.0582, 0.8062),
    (Rate(5, 56), Rate(0, 29), -0.0381, 0.1926),
    (Rate(0, 10), Rate(0, 20), -0.1611, 0.2775),
    (Rate(0, 10), Rate(0, 10), -0.2775, 0.2775),
    (Rate(10, 10), Rate(0, 20), 0.6791, 1.0000),
    (Rate(10, 10), Rate(0, 10), 0.6075, 1.0000),
]


@pytest.mark.parametrize(("first", "second", "low", "high"), PUBLISHED)
def test_rates_agree_with_the_published_table(
    first: Rate, second: Rate, low: float, high: float
) -> None:
    found = compare(second, first)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.kind == "rate"
    assert found.significant == (low > 0)


def test_means_agree_with_students_sleep_data() -> None:
    """R's `t.test(extra ~ group, data = sleep)` gives -3.3654832 to 0.2054832."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = compare(second, first)
    assert found.mean_a == pytest.approx(2.33)
    assert found.mean_b == pytest.approx(0.75)
    assert (round(found.low, 7), round(found.high, 7)) == (-3.3654832, 0.2054832)
    assert (found.kind, found.n_a, found.n_b, found.significant) == ("mean", 10, 10, False)


@given(NUMBERS, NUMBERS, st.floats(0.5, 0.99))
def test_means_agree_with_scipys_own_test(
    a: list[float], b: list[float], confidence: float
) -> None:
    assume(max(a) - min(a) > 1e-3 * max(map(abs, a)))
    assume(max(b) - min(b) > 1e-3 * max(map(abs, b)))
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(confidence)
    ours = compare(a, b, confidence=confidence)
    scale = max(map(abs, [*a, *b]))
    assert ours.low == pytest.approx(theirs.low, rel=1e-6, abs=1e-6 * scale)
    assert ours.high == pytest.approx(theirs.high, rel=1e-6, abs=1e-6 * scale)


@pytest.mark.parametrize(("p_a", "p_b"), [(0.5, 0.5), (0.1, 0.3), (0.02, 0.02), (0.9, 0.95)])
def test_the_interval_of_rates_holds_the_truth_about_95_times_in_100(
    p_a: float, p_b: float
) -> None:
    """Exact: over every outcome of 30 and 40 tries, weighed by how likely it is."""
    likely_a = stats.binom.pmf(range(31), 30, p_a)
    likely_b = stats.binom.pmf(range(41), 40, p_b)
    covered = 0.0
    for x, of_x in enumerate(likely_a):
        for y, of_y in enumerate(likely_b):
            # What never happens need not be computed.
            if of_x * of_y > 1e-7:
                found = compare(Rate(x, 30), Rate(y, 40))
                covered += of_x * of_y * (found.low <= p_b - p_a <= found.high)
    # The extreme of the published method's own evaluation is about 0.93 at small numbers.
    assert 0.93 < covered <= 1
    if 0.1 <= p_a <= 0.9:
        assert covered < 0.975


def test_the_interval_of_means_holds_the_truth_about_95_times_in_100() -> None:
    chance = random.Random(1998)
    tries, covered = 1_500, 0
    for _ in range(tries):
        a = [chance.gauss(10, 1) for _ in range(8)]
        b = [chance.gauss(11, 5) for _ in range(25)]
        found = compare(a, b)
        covered += found.low <= 1 <= found.high
    # Four standard errors of the count.
    assert abs(covered / tries - 0.95) < 4 * math.sqrt(0.95 * 0.05 / tries)


SAMPLES = st.one_of(st.tuples(rates(), rates()), st.tuples(NUMBERS, NUMBERS))


@given(SAMPLES, st.floats(0.01, 0.999))
def test_seen_from_the_other_arm_everything_is_reversed(
    samples: tuple[Any, Any], confidence: float
) -> None:
    a, b = samples
    there = compare(a, b, confidence=confidence, name_a="old", name_b="new")
    back = compare(b, a, confidence=confidence, name_a="new", name_b="old")
    assert there == -back
    assert there.significant == back.significant


@given(SAMPLES, st.floats(0.01, 0.999))
def test_the_difference_lies_in_its_interval(samples: tuple[Any, Any], confidence: float) -> None:
    found = compare(*samples, confidence=confidence)
    assert found.low <= found.difference <= found.high
    assert found.difference == pytest.approx(found.mean_b - found.mean_a)
    if found.kind == "rate":
        assert found.low >= -1
        assert found.high <= 1


@given(rates(), rates(), st.integers(2, 20))
def test_more_of_the_same_makes_the_interval_of_rates_narrower(a: Rate, b: Rate, n: int) -> None:
    few = compare(a, b)
    many = compare(Rate(a.successes * n, a.of * n), Rate(b.successes * n, b.of * n))
    assert many.high - many.low < few.high - few.low


@given(NUMBERS, NUMBERS, st.integers(2, 5))
def test_more_of_the_same_makes_the_interval_of_means_narrower(
    a: list[float], b: list[float], n: int
) -> None:
    few, many = compare(a, b), compare(a * n, b * n)
    if math.isinf(few.high):
        assert math.isinf(many.high)
    else:
        assert many.high - many.low < few.high - few.low


@given(SAMPLES)
def test_more_confidence_makes_the_interval_wider(samples: tuple[Any, Any]) -> None:
    narrow, wide = compare(*samples, confidence=0.8), compare(*samples, confidence=0.99)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


def test_arms_in_which_nothing_varies_can_not_tell() -> None:
    found = compare([5, 5, 5], [7, 7])
    assert (found.difference, found.low, found.high) == (2, -math.inf, math.inf)
    assert not found.significant
    # The mean of these is off by a rounding, which is no spread.
    assert math.isinf(compare([0.1] * 3, [0.3] * 3).high)


def test_one_arm_that_varies_is_enough() -> None:
    found = compare([5, 5, 5], [7, 9, 8])
    assert 0 < found.low < 3 < found.high


def test_bools_arrays_and_counts_are_the_same_thing() -> None:
    a, b = [True] * 3 + [False] * 7, [True] * 9 + [False]
    expected = compare(Rate(3, 10), Rate(9, 10))
    assert compare(a, b) == expected
    assert compare(np.array(a), (each for each in b)) == expected
    assert compare(np.array([1.0, 2.0]), np.array([3, 5])) == compare([1, 2], [3, 5])


def test_huge_and_tiny_numbers_neither_overflow_nor_vanish() -> None:
    for scale in (1e149, 1e-140):
        found = compare([scale, 2 * scale], [5 * scale, 7 * scale])
        one = compare([1, 2], [5, 7])
        assert found.low / scale == pytest.approx(one.low)
        assert found.high / scale == pytest.approx(one.high)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([], [1, 2], "arm_a: it is empty"),
        ([True], [], "arm_b: it is empty"),
        (Rate(0, 0), Rate(1, 2), "arm_a: it is empty"),
        ([1, 2], [3], "arm_b: at least 2 numbers"),
        ([1, math.nan], [1, 2], r"arm_a\[1\]: a finite number, not nan"),
        ([1, 2], [-math.inf, 2], r"arm_b\[0\]: a finite number, not -inf"),
        ([1, 1e200], [1, 2], r"arm_a\[1\]: a finite number"),
        ([1, True], [1, 2], r"arm_a\[1\]: all numbers or all bools, and this is bool"),
        ([True, 1], [1, 2], r"arm_a\[0\]: all numbers or all bools"),
        ([1, "2"], [1, 2], r"arm_a\[1\]: .* this is str"),
        ("12", [1, 2], "arm_a: numbers, bools or a Rate, not str"),
        (None, [1, 2], "arm_a: numbers, bools or a Rate, not NoneType"),
        ([True, False], [1, 2], "arm_b: give both arms as numbers, or both as successes"),
        ([1, 2], Rate(1, 2), "arm_b: give both"),
    ],
)
def test_what_can_not_be_compared_is_refused(a: Any, b: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        compare(a, b)


@pytest.mark.parametrize("confidence", [0, 1, -1, 95, math.nan, True, "0.9", None])
def test_a_confidence_is_between_0_and_1(confidence: Any) -> None:
    with pytest.raises(ConfigurationError, match="confidence: a number between 0 and 1"):
        compare([1, 2], [3, 4], confidence=confidence)


@pytest.mark.parametrize(("successes", "of"), [(-1, 2), (3, 2), (True, 2), (1, 2.0), (1, -1)])
def test_a_rate_is_of_counts(successes: Any, of: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Rate\.(successes|of): "):
        Rate(successes, of)


BASE = Comparison("rate", 500, 480, 0.65, 0.681, 0.031, -0.01, 0.072, 0.95)


def test_an_interval_that_ends_at_0_does_not_leave_it_out() -> None:
    for low, high in ((0.0, 0.1), (-0.1, 0.0), (-0.1, 0.1)):
        assert not replace(BASE, low=low, high=high).significant
    for low, high in ((1e-9, 0.1), (-0.1, -1e-9)):
        assert replace(BASE, low=low, high=high).significant


def test_it_reads_as_a_sentence() -> None:
    assert str(BASE) == (
        "b is 3.1 points higher than a (68.1% of 480 against 65.0% of 500; "
        "95% interval -1 to 7.2): too early to say"
    )
    sure = replace(BASE, low=0.01, name_a="control", name_b="canary")
    assert "canary is 3.1 points higher than control" in str(sure)
    assert str(sure).endswith("95% interval 1 to 7.2): more than chance explains")
    assert "a is 3.1 points lower than b" in str(-BASE)
    level = compare([1, 3], [1, 3], unit="s")
    assert str(level).startswith("b is level with a (2 of 2 against 2 of 2; 95% interval -")
    assert "b is 2 s lower than a (0.5 of 2" in str(compare([2, 3], [0, 1], unit="s"))
    assert "b is 2 lower than a" in str(compare([2, 3], [0, 1]))


@pytest.mark.parametrize(("a", "b"), [([1, 2], [3, 4]), (Rate(1, 2), Rate(2, 2))])
def test_without_scipy_the_extra_is_named(a: Any, b: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the import system marks a package that is not to be found.
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r'pip install "agno-portkey\[experiments\]"'):
        compare(a, b)
