"""How far a mean must lie from the threshold, in its own standard errors; and other quantiles."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

__all__ = ["SHAPE", "boundary", "chi_square", "crossing", "student", "wilson"]

# Of Wang and Tsiatis' boundaries, between O'Brien-Fleming's (0: hardly ever stops early) and
# Pocock's (0.5: the same at every look). `benchmarks/gates_bench.py` shows what this one gives.
SHAPE = 0.45
# Of the grid of the integration, in SDs of a step.
_STEP = 0.4
_NORMAL = NormalDist()


@lru_cache(maxsize=256)
def boundary(least: int, most: int, confidence: float, shape: float = SHAPE) -> float:
    """The critical value at the last of the looks after `least`, `least` + 1, ... `most` samples.

    At look n it is this value times (n / most) ** (shape - 0.5), so that a walk without drift
    crosses any of them with probability 1 - `confidence`. Wang and Tsiatis, "Approximately optimal
    one-parameter boundaries for group sequential trials", Biometrics 43 (1987), 193-199; one-sided
    here.
    """

    def missed(value: float) -> float:
        heights = {n: value * n**shape * most ** (0.5 - shape) for n in range(least, most + 1)}
        return math.log(crossing(heights) / (1 - confidence))

    # By secants: the logarithm is nearly straight between the first two.
    old, value = _NORMAL.inv_cdf(confidence), _NORMAL.inv_cdf(confidence) + 0.5
    missed_by_old, missed_by = missed(old), missed(value)
    while abs(missed_by) > 1e-4:
        slope = (missed_by - missed_by_old) / (value - old)
        old, missed_by_old = value, missed_by
        value -= missed_by / slope
        missed_by = missed(value)
    return value


def crossing(heights: dict[int, float]) -> float:
    """The probability that a sum of n standard normal steps is ever above `heights[n]`.

    By numerical integration from look to look: Armitage, McPherson and Rowe, "Repeated significance
    tests on accumulating data", Journal of the Royal Statistical Society A 132 (1969), 235-244.
    """
    crossed, before, top, last = 0.0, [1.0], 0.0, 0
    for n, height in heights.items():
        sd = math.sqrt(n - last)
        crossed += math.fsum(
            mass * _NORMAL.cdf((top - at * _STEP - height) / sd) for at, mass in enumerate(before)
        )
        size = 2 * math.ceil((height + 5.5 * math.sqrt(n)) / (2 * _STEP)) + 1
        before = _stepped(before, height - top, sd, max(size, 3))
        top, last = height, n
    return crossed


def _stepped(before: list[float], rise: float, sd: float, size: int) -> list[float]:
    """The mass of the walks not yet stopped, on a grid downwards from the next height."""
    reach = math.ceil(6 * sd / _STEP)
    shift = round(rise / _STEP)
    kernel = {
        k: _NORMAL.pdf((rise + k * _STEP) / sd) / sd
        for k in range(-shift - reach - 1, -shift + reach + 2)
    }
    after = []
    for at in range(size):
        first, end = max(0, at - shift - reach), min(len(before), at - shift + reach + 1)
        density = math.fsum(before[j] * kernel[j - at] for j in range(first, end))
        # Simpson's weights.
        weight = 1 if at in (0, size - 1) else 4 if at % 2 else 2
        after.append(density * weight * _STEP / 3)
    return after


def student(z: float, freedom: float) -> float:
    """The value that Student's t exceeds as rarely as a normal variable exceeds `z` > 0.

    Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", Annals
    of Mathematical Statistics 30 (1959), 1124-1130: for `z` up to 2.6 within 1 % from 6 degrees of
    freedom on; at fewer, and above a `z` of 1.2, it is too large and not too small.
    """
    scaled = z * (8 * freedom + 3) / (8 * freedom + 1)
    return math.sqrt(freedom * math.expm1(scaled * scaled / freedom))


def chi_square(share: float, freedom: int) -> float:
    """The value below which a `share` of chi-square's distribution lies.

    Wilson and Hilferty, "The distribution of chi-square", PNAS 17 (1931), 684-688: within 1 % from
    14 degrees of freedom on.
    """
    part = 2 / (9 * freedom)
    return freedom * (1 - part + _NORMAL.inv_cdf(share) * math.sqrt(part)) ** 3


def wilson(rate: float, of: int, confidence: float) -> tuple[float, float]:
    """The interval of a `rate` that was seen in so many tries.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212.
    """
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    middle = rate + z * z / (2 * of)
    reach = z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))
    whole = 1 + z * z / of
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)
