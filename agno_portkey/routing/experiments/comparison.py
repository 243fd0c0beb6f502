"""Compares two arms of an experiment: a difference, and the interval that it may lie in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from agno_portkey.errors import ConfigurationError, MissingExtraError

__all__ = ["Comparison", "Rate", "Sample", "compare"]


@dataclass(frozen=True, slots=True)
class Rate:
    """`successes` of so many tries, for who has the counts and not each try."""

    successes: int
    of: int

    def __post_init__(self) -> None:
        for name in ("successes", "of"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigurationError(f"Rate.{name}: a count of 0 or more, not {value!r}")
        if self.successes > self.of:
            raise ConfigurationError(
                f"Rate.successes: {self.successes} can't be more than the {self.of} tries"
            )


Sample = Rate | Iterable[bool] | Iterable[float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How arm b differs from arm a.

    `kind` is `mean` (numbers, in the unit of the samples) or `rate` (successes, 0 to 1);
    `difference` is b's mean less a's, and `low` to `high` the interval for it at `confidence`.
    """

    kind: Literal["mean", "rate"]
    n_a: int
    n_b: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    confidence: float
    name_a: str = "a"
    name_b: str = "b"
    unit: str = ""

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out a difference of 0."""
        return self.low > 0 or self.high < 0

    def __neg__(self) -> Comparison:
        """The same comparison seen from the other arm."""
        return Comparison(
            kind=self.kind,
            n_a=self.n_b,
            n_b=self.n_a,
            mean_a=self.mean_b,
            mean_b=self.mean_a,
            difference=-self.difference,
            low=-self.high,
            high=-self.low,
            confidence=self.confidence,
            name_a=self.name_b,
            name_b=self.name_a,
            unit=self.unit,
        )

    def __str__(self) -> str:
        scale, unit = (100, "points") if self.kind == "rate" else (1, self.unit)
        size = " ".join(filter(None, [f"{abs(self.difference) * scale:.3g}", unit]))
        if self.difference == 0:
            said = f"{self.name_b} is level with {self.name_a}"
        else:
            side = "higher" if self.difference > 0 else "lower"
            said = f"{self.name_b} is {size} {side} than {self.name_a}"
        return (
            f"{said} ({_mean(self.mean_b, self.kind)} of {self.n_b} against "
            f"{_mean(self.mean_a, self.kind)} of {self.n_a}; {self.confidence * 100:g}% interval "
            f"{self.low * scale:.3g} to {self.high * scale:.3g}): "
            + ("more than chance explains" if self.significant else "too early to say")
        )


def compare(
    arm_a: Sample,
    arm_b: Sample,
    *,
    confidence: float = 0.95,
    name_a: str = "a",
    name_b: str = "b",
    unit: str = "",
) -> Comparison:
    """How much higher the mean, or the rate of successes, is in `arm_b` than in `arm_a`.

    Numbers get Welch's interval for a difference of means; arms in which nothing varies leave the
    spread unknown, and so an interval without ends. Bools and `Rate`s get the hybrid score
    interval without continuity correction: method 10 of Newcombe, "Interval estimation for the
    difference between independent proportions: comparison of eleven methods", Statistics in
    Medicine 17 (1998), 873-890.

    The confidence holds for one look at sizes settled beforehand; who looks again and again, and
    stops at the first difference, finds more than there are. Raises ConfigurationError for
    samples that can't be compared and MissingExtraError without scipy.
    """
    if not _is_number(confidence) or not 0 < confidence < 1:
        raise ConfigurationError(f"confidence: a number between 0 and 1, not {confidence!r}")
    a, b = _checked(arm_a, "arm_a"), _checked(arm_b, "arm_b")
    if isinstance(a, Rate) and isinstance(b, Rate):
        kind: Literal["mean", "rate"] = "rate"
        sizes, figures = (a.of, b.of), _newcombe(a, b, confidence)
    elif isinstance(a, list) and isinstance(b, list):
        kind = "mean"
        sizes, figures = (len(a), len(b)), _welch(a, b, confidence)
    else:
        raise ConfigurationError(
            "arm_b: give both arms as numbers, or both as successes (bools or a Rate)"
        )
    return Comparison(
        kind,
        *sizes,
        *figures,
        confidence=confidence,
        name_a=name_a,
        name_b=name_b,
        unit=unit,
    )


# Both means, their difference, and the interval's ends.
_Figures = tuple[float, float, float, float, float]


def _welch(a: list[float], b: list[float], confidence: float) -> _Figures:
    # Written out, since scipy's own t-test warns and gives nan where an arm does not vary.
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    square_a, square_b = _error_squared(a, mean_a), _error_squared(b, mean_b)
    square = square_a + square_b
    difference = mean_b - mean_a
    if square == 0:
        return mean_a, mean_b, difference, -math.inf, math.inf
    # As shares, which can't vanish or overflow when squared.
    share_a, share_b = square_a / square, square_b / square
    freedom = 1 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    reach = float(_stats().t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(square)
    return mean_a, mean_b, difference, difference - reach, difference + reach


def _error_squared(values: list[float], mean: float) -> float:
    # Equal values can have a mean that is off by a rounding, and would seem to vary.
    if min(values) == max(values):
        return 0.0
    spread = math.fsum((value - mean) ** 2 for value in values)
    return spread / (len(values) - 1) / len(values)


def _newcombe(a: Rate, b: Rate, confidence: float) -> _Figures:
    p_a, p_b = a.successes / a.of, b.successes / b.of
    low_a, high_a = _wilson(a, confidence)
    low_b, high_b = _wilson(b, confidence)
    difference = p_b - p_a
    down = math.hypot(p_b - low_b, high_a - p_a)
    up = math.hypot(high_b - p_b, p_a - low_a)
    return p_a, p_b, difference, max(difference - down, -1.0), min(difference + up, 1.0)


def _wilson(rate: Rate, confidence: float) -> tuple[float, float]:
    found = _stats().binomtest(rate.successes, rate.of)
    ends = found.proportion_ci(confidence_level=confidence, method="wilson")
    return float(ends.low), float(ends.high)


def _stats() -> Any:
    try:
        from scipy import stats  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError(
            'comparing arms needs scipy: pip install "agno-portkey[experiments]"'
        ) from None
    return stats


def _checked(sample: object, name: str) -> Rate | list[float]:
    if isinstance(sample, Rate):
        if sample.of == 0:
            raise ConfigurationError(f"{name}: it is empty; wait until the arm had calls")
        return sample
    # Arrays and columns of data frames hold types of their own, and turn them into Python's.
    plain = getattr(sample, "tolist", None)
    values: Any = plain() if callable(plain) else sample
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name}: numbers, bools or a Rate, not {type(sample).__name__}")
    values = list(values)
    if not values:
        raise ConfigurationError(f"{name}: it is empty; wait until the arm had calls")
    if all(isinstance(value, bool) for value in values):
        return Rate(sum(values), len(values))
    return _numbers(values, name)


# Squares of larger ones overflow.
_LARGEST = 1e150


def _numbers(values: list[Any], name: str) -> list[float]:
    for place, value in enumerate(values):
        if not _is_number(value):
            raise ConfigurationError(
                f"{name}[{place}]: all numbers or all bools, and this is {type(value).__name__}"
            )
        if not abs(value) <= _LARGEST:
            raise ConfigurationError(f"{name}[{place}]: a finite number, not {value}; leave it out")
    if len(values) < 2:
        raise ConfigurationError(f"{name}: at least 2 numbers, or their spread can't be told")
    return [float(value) for value in values]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _mean(value: float, kind: str) -> str:
    return f"{value * 100:.1f}%" if kind == "rate" else f"{value:.3g}"
