"""Sums over the last so many seconds, in memory that does not grow with what comes."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

__all__ = ["Window", "bucket", "p95"]

# Steps between latencies that are told apart; the lowest and the highest of them, in seconds.
_STEP, _LOWEST, _HIGHEST = 1.05, 0.005, 3600.0


class Window:
    """What was added in the last `seconds`, by name, to a step: a `slots`-th part of that.

    What is older is in no sum, what is younger by a step or more is in all of them. It holds
    `slots` sums of each name at most.
    """

    def __init__(self, seconds: float, slots: int = 60) -> None:
        self._width, self._slots = seconds / slots, slots
        self._held: deque[tuple[int, Counter[Any]]] = deque()

    def add(self, at: float, amounts: Mapping[Any, float]) -> None:
        """Add `amounts` at that time; one before the last that was added counts as that."""
        slot = self._slot(at)
        if not self._held or slot > self._held[-1][0]:
            self._held.append((slot, Counter()))
            self._forget(slot)
        sums = self._held[-1][1]
        for name, amount in amounts.items():
            sums[name] += amount  # type: ignore[assignment]

    def sums(self, now: float) -> Counter[Any]:
        """The sums at `now`; none of names that nothing was added of."""
        self._forget(self._slot(now))
        total: Counter[Any] = Counter()
        for _, sums in self._held:
            total.update(sums)
        return total

    def _slot(self, at: float) -> int:
        return int(at // self._width)

    def _forget(self, now: int) -> None:
        while self._held and self._held[0][0] <= now - self._slots:
            self._held.popleft()


def bucket(seconds: float) -> int:
    """Which of the latencies that are told apart `seconds` is; 5 % lie between two."""
    if not seconds > _LOWEST:  # nor what is no number
        return 0
    return math.ceil(math.log(min(seconds, _HIGHEST) / _LOWEST, _STEP))


def p95(counts: Mapping[Any, float]) -> float:
    """The 95th percentile of latencies by their buckets, at most 5 % too high; 0 of none."""
    left = 0.95 * sum(counts.values())
    for step in sorted(step for step in counts if isinstance(step, int)):
        left -= counts[step]
        if left <= 1e-9:
            return float(_LOWEST * _STEP**step)
    return 0.0
