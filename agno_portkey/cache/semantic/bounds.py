"""Exact bounds of a share that was seen in a number of tries.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial", Biometrika 26 (1934), 404-413.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

__all__ = ["at_least", "at_most"]

_EXACT, _NEAR = 1e-14, 1e-9
_STEPS = 500
_NORMAL = NormalDist()


@lru_cache(maxsize=8_192)
def at_most(seen: int, of: int, level: float) -> float:
    """The share above which `seen` of `of` tries, or fewer, would come with chance 1 - `level`."""
    if seen >= of:
        return 1.0
    if seen == 0:
        return -math.expm1(math.log1p(-level) / of)
    return _solved(seen + 1, of - seen, level)


@lru_cache(maxsize=8_192)
def at_least(seen: int, of: int, level: float) -> float:
    """The share below which `seen` of `of` tries, or more, would come with chance 1 - `level`."""
    return 1.0 - at_most(of - seen, of, level) if of else 0.0


def _solved(a: int, b: int, level: float) -> float:
    """Where the distribution function of Beta(a, b) is `level`: by Newton, kept in by halving."""
    low, high = 0.0, 1.0
    # The bound of Wilson's interval is near.
    z, of, mean = _NORMAL.inv_cdf(level), a + b - 1, (a - 1) / (a + b - 1)
    reach = z * math.sqrt(mean * (1 - mean) / of + z * z / (4 * of * of))
    share = min((mean + z * z / (2 * of) + reach) / (1 + z * z / of), 1 - 1e-9)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    for _ in range(_STEPS):
        logs = math.log(share), math.log1p(-share)
        density = math.exp(scale + (a - 1) * logs[0] + (b - 1) * logs[1])
        beyond = _beta(a, b, share, scale) - level
        low, high = (low, share) if beyond > 0 else (share, high)
        step = share - beyond / density if density else -1.0
        if abs(step - share) <= _NEAR * share:
            return step
        share = step if low < step < high else (low + high) / 2
    return high


def _beta(a: int, b: int, share: float, scale: float) -> float:
    """The distribution function of Beta(a, b) at `share`, by Lentz's continued fraction."""
    if share > (a + 1) / (a + b + 2):
        return 1.0 - _beta(b, a, 1.0 - share, scale)
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, _STEPS):
        half = step // 2
        over = half * (b - half) if step % 2 == 0 else -(a + half) * (a + b + half)
        term = over * share / ((a + step - 1) * (a + step))
        d = 1.0 / (1.0 + term * d)
        c = 1.0 + term / c
        value *= c * d
        if abs(c * d - 1.0) < _EXACT:
            break
    return math.exp(scale + a * math.log(share) + b * math.log1p(-share)) / (a * value)
