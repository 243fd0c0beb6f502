"""What a sample of decisions says: intervals, a rank test, and corrections, from the stdlib."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist, fmean, stdev

from agno_portkey.gates.boundaries import student, wilson

__all__ = ["Measured", "holm", "mann_whitney", "mean_of", "pettitt", "rate_of"]

# Fewer than these leave a spread unknown.
_LEAST = 5
# Splits of the pooled ranks up to which the rank test is exact.
_EXACT = 200_000


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean or a rate of `count` values, in 0-1, and its interval where one can be told."""

    mean: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def mean_of(values: Sequence[float], confidence: float = 0.95) -> Measured:
    """The mean of one or more `values` in 0-1, from 5 of them on with Student's interval."""
    mean, count = fmean(values), len(values)
    if count < _LEAST:
        return Measured(mean, None, None, count)
    spread = student(NormalDist().inv_cdf((1 + confidence) / 2), count - 1)
    reach = spread * stdev(values, mean) / math.sqrt(count)
    return Measured(mean, max(0.0, mean - reach), min(1.0, mean + reach), count)


def rate_of(successes: int, count: int, confidence: float = 0.95) -> Measured:
    """A rate of one or more, with Wilson's interval."""
    rate = successes / count
    return Measured(rate, *wilson(rate, count, confidence), count)


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float | None:
    """How likely ranks as far apart as these are where nothing differs, two-sided.

    The test of Mann and Whitney (Annals of Mathematical Statistics 18 (1947), 50-60): exact, ties
    included, where the samples are small, else by the normal approximation with corrections for
    ties and continuity. It asks nothing of the shape of the scores, and holds where a judge gives
    the same score each time. None of fewer than 5 on a side.
    """
    if min(len(a), len(b)) < _LEAST:
        return None
    # Twice the ranks, which are whole numbers with ties as well.
    ranks = _double_ranks([*a, *b])
    found, size = sum(ranks[: len(a)]), len(ranks)
    away = abs(found - len(a) * (size + 1))
    if math.comb(size, len(a)) <= _EXACT:
        return _exact(ranks, len(a), away)
    ties = sum(tied**3 - tied for tied in Counter(ranks).values())
    variance = len(a) * len(b) / 12 * (size + 1 - ties / (size * (size - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, away / 2 - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def _double_ranks(values: Sequence[float]) -> list[int]:
    counts = sorted(Counter(values).items())
    after = accumulate(count for _, count in counts)
    # The mean of the ranks from `end - count + 1` to `end`, twice.
    ranks = {value: 2 * end - count + 1 for (value, count), end in zip(counts, after, strict=True)}
    return [ranks[value] for value in values]


def _exact(ranks: list[int], chosen: int, away: int) -> float:
    """The share of ways to choose so many of `ranks` whose sum is at least so far from its mean."""
    ways: list[Counter[int]] = [Counter({0: 1})] + [Counter() for _ in range(chosen)]
    for rank in ranks:
        for taken in range(chosen, 0, -1):
            for total, number in ways[taken - 1].items():
                ways[taken][total + rank] += number
    middle = chosen * (len(ranks) + 1)
    far = sum(number for total, number in ways[chosen].items() if abs(total - middle) >= away)
    return far / math.comb(len(ranks), chosen)


def holm(chances: Sequence[float]) -> list[float]:
    """The chances corrected for how many there are, in their order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979), 65-70.
    """
    order = sorted(range(len(chances)), key=chances.__getitem__)
    corrected, least = [0.0] * len(chances), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, chances[index] * (len(chances) - place)))
        corrected[index] = least
    return corrected


def pettitt(values: Sequence[float]) -> tuple[int, float]:
    """Where `values` most likely shift, as the index of the first after it, and the chance of it.

    A. N. Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 28
    (1979), 126-135; the chance is his approximation, which ties make larger than it is.
    """
    size = len(values)
    if size < 2 * _LEAST:
        return 0, 1.0
    ranks = _double_ranks(values)
    sums = accumulate(ranks)
    # U of the first `count` values against the others.
    apart = [abs(total - count * (size + 1)) for count, total in enumerate(sums, 1)]
    place = max(range(size - 1), key=apart.__getitem__)
    chance = 2 * math.exp(-6 * apart[place] ** 2 / (size**3 + size**2))
    return place + 1, min(1.0, chance)
