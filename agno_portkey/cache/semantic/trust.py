"""How far a semantic cache may trust that questions which are alike have one answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agno_portkey.cache.semantic.bounds import at_least, at_most
from agno_portkey.cache.semantic.comparisons import BINS, Comparisons, bin_of
from agno_portkey.cache.semantic.curve import curve
from agno_portkey.errors import ConfigurationError

if TYPE_CHECKING:
    from agno_portkey.cache.entry import Evidence

__all__ = ["Estimate", "Trust"]

# How many comparisons the pool's bound weighs beside an entry's own ones.
_STRENGTH = 10
# What would be served less often than this is not served: asked, it teaches more than it saves.
_SELDOM = 0.25
# Errors a comparison in a burst, in times of the budget, against half of it; and the alarm.
_CALM, _BURST, _ALARM = 0.5, 3.0, 4.0
# Seconds that the clocks of two machines may differ by.
_SKEW = 300.0
_INTERVAL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """The share of wrong answers among what is served, with its 95 % interval.

    It is that of `comparisons` of which `wrong` showed another answer: 0 to 1 where there is none.
    """

    rate: float
    low: float
    high: float
    wrong: int
    comparisons: int


@dataclass(slots=True)
class _Stratum:
    known: Comparisons
    served: int = 0
    # Both are worked out when they are asked for, and none after a new comparison.
    curve: list[float] | None = None
    suspicion: float | None = None


class Trust:
    """Decides which near hits are served, so that at most `max_error` of all look-ups go wrong.

    Let a look-up be wrong with chance p if it is served, and u be a bound of p. Served with chance
    min(1, max_error / u) it adds max_error * p / u to the errors that are expected, which is at
    most max_error: whatever comes in, the share of errors that is expected of all near look-ups
    stays within the budget as long as u bounds p, be it on average over what is served. What is
    not served is asked, and its answer compared, which is what u is learnt from:

    - The pool's u is that of Clopper and Pearson, one-sided, at `level`, of the errors at this
      likeness or above it, in one stratum: see `curve`. Each entry counts until it is first wrong,
      and with its first three errors. That weighs errors more than once, for which `level` may be
      lower than for a bound by itself: both were chosen together, on streams made by rule.
    - An entry that was wrong is not served at that likeness or below. Above, u is at least its
      share of errors since its first, as if ten comparisons more had gone by the pool's u: the
      mean of a Beta distribution.
    - Of the comparisons in a bin of likeness only the latest ten per error that the budget allows
      count (at least 200, at most 5,000). A burst of errors among the latest, by a CUSUM of half
      the budget against three times it, closes the stratum until it has subsided; short of that it
      has as much of the stratum asked as it has come near the alarm.
    - `sample` of what would be served is asked nevertheless, so that a change is seen.

    Forgetting is safe: an entry whose errors are forgotten counts in the pool again, and so does
    its next error.
    Thread-safe; what is remembered is limited to `entries` that were wrong in each of `strata`.
    Junk raises ConfigurationError. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        max_error: float = 0.01,
        *,
        sample: float = 0.02,
        level: float = 0.65,
        entries: int = 10_000,
        strata: int = 64,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("max_error", max_error), ("level", level)):
            if not 0 < value < 1:
                raise ConfigurationError(f"{name}: more than 0 and less than 1, not {value!r}")
        if not 0 <= sample <= 1:
            raise ConfigurationError(f"sample: a share of 0 to 1, not {sample!r}")
        if entries < 1 or strata < 1:
            raise ConfigurationError("entries, strata: at least one of each")
        self.max_error, self.sample, self.level = max_error, sample, level
        self._window = min(max(math.ceil(10 / max_error), 200), 5_000)
        self._tail = min(max(math.ceil(1 / max_error), 50), 1_000)
        self._entries, self._most, self._clock = entries, strata, clock
        self._lock = threading.Lock()
        self._strata: dict[str, _Stratum] = {}
        calm, burst = _CALM * max_error, min(_BURST * max_error, 0.5)
        self._rise = math.log(burst / calm)
        self._fall = math.log1p(-calm) - math.log1p(-burst)

    def add(self, evidence: Evidence) -> None:
        """Learn from a comparison."""
        _check(evidence, self._clock())
        with self._lock:
            held = self._strata.get(evidence.stratum)
            if held is None:
                held = _Stratum(Comparisons(self._window, self._entries))
                self._strata[evidence.stratum] = held
            held.known.add(evidence.at, evidence.entry, evidence.likeness, evidence.same)
            held.curve = held.suspicion = None
            if len(self._strata) > self._most:
                oldest = min(self._strata, key=lambda name: (self._strata[name].known.latest, name))
                del self._strata[oldest]

    def bound(self, stratum: str, entry: str, likeness: float) -> float:
        """An upper bound of the chance that serving is wrong; 1 where nothing is known."""
        with self._lock:
            return self._bound(stratum, entry, likeness)

    def decide(
        self, stratum: str, entry: str, likeness: float, draw: float
    ) -> Literal["serve", "explore"]:
        """Whether to serve a near hit, or to ask; `draw` is uniform in [0, 1)."""
        with self._lock:
            bound = self._bound(stratum, entry, likeness)
            chance = min(1.0, self.max_error / bound)
            held = self._strata.get(stratum)
            if held is None or bound >= 1 or chance < _SELDOM:
                return "explore"
            chance *= 1 - max(self.sample, self._suspicion(held))
            # A draw that is not a number is below nothing.
            if not 0 <= draw < chance:
                return "explore"
            held.served += 1
            return "serve"

    def serves_from(self, stratum: str) -> float | None:
        """The likeness from which on hits are served without fail; None where none are."""
        with self._lock:
            held = self._strata.get(stratum)
            return None if held is None else self._from(held)

    def needed(self, stratum: str) -> int:
        """How many more comparisons, all of them right, it takes until it serves.

        They are as like as half of those that were right so far.
        """
        with self._lock:
            held = self._strata.get(stratum) or _Stratum(Comparisons(1, 1))
            right, wrong = [*held.known.right], [*held.known.wrong]
            alarm = self._suspicion(held) * _ALARM - _ALARM
        half, usual = sum(right) / 2, BINS - 1
        while usual and sum(right[usual:]) < half:
            usual -= 1
        had = right[usual]

        def serves(more: int) -> bool:
            right[usual] = had + more
            return curve(right, wrong, self.max_error, self.level)[usual] <= self.max_error

        low, high = 0, 1
        while not serves(high) and high < BINS * self._window:
            low, high = high, 2 * high
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if serves(middle) else (middle + 1, high)
        return max(low, math.floor(alarm / self._fall) + 1 if alarm >= 0 else 0)

    def estimate(self) -> dict[str, Estimate]:
        """The false hits of each stratum that serves, and under "*" those of all together.

        An entry counts until it is first wrong, and with three errors. All together is weighted by
        what was served here, where anything was; its interval is as wide as if all strata erred to
        one side.
        """
        with self._lock:
            found, weights = {}, {}
            for name, held in sorted(self._strata.items()):
                start = self._from(held)
                if start is not None:
                    lowest = bin_of(start)
                    wrong = sum(held.known.wrong[lowest:])
                    found[name] = _estimate(wrong, wrong + sum(held.known.right[lowest:]))
                    weights[name] = held.served
        if not any(weights.values()):
            weights = {name: each.comparisons for name, each in found.items()}
        found["*"] = _together(found, weights)
        return found

    # Each of these is called with the lock held

    def _bound(self, stratum: str, entry: str, likeness: float) -> float:
        held = self._strata.get(stratum)
        if held is None or not 0 <= likeness <= 1 or self._suspicion(held) >= 1:
            return 1.0
        place = bin_of(likeness)
        pool = self._curve(held)[place]
        record = held.known.record(entry)
        if record is None:
            return pool
        if likeness <= record.floor:
            return 1.0
        tries = _STRENGTH + record.wrong + record.right
        return max(pool, (_STRENGTH * pool + record.wrong) / tries)

    def _curve(self, held: _Stratum) -> list[float]:
        if held.curve is None:
            held.curve = curve(held.known.right, held.known.wrong, self.max_error, self.level)
        return held.curve

    def _suspicion(self, held: _Stratum) -> float:
        """How near the latest comparisons of what may be served are to the alarm, 1 being it."""
        if held.suspicion is None:
            limit, bounds, total = self.max_error / _SELDOM, self._curve(held), 0.0
            lowest = next((place for place in range(BINS) if bounds[place] <= limit), BINS)
            for same in held.known.recent(self._tail, lowest):
                total = max(0.0, total - self._fall if same else total + self._rise)
            held.suspicion = total / _ALARM
        return held.suspicion

    def _from(self, held: _Stratum) -> float | None:
        if self._suspicion(held) >= 1:
            return None
        bounds = self._curve(held)
        places = (place for place in range(BINS) if bounds[place] <= self.max_error)
        lowest = next(places, None)
        return None if lowest is None else lowest / BINS


def _check(evidence: Evidence, now: float) -> None:
    for name, value, kind in (
        ("stratum", evidence.stratum, str),
        ("entry", evidence.entry or None, str),
        ("same", evidence.same, bool),
        ("likeness", evidence.likeness, float | int),
        ("at", evidence.at, float | int),
    ):
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name}: no evidence with {value!r}")
    if not 0 <= evidence.likeness <= 1:
        raise ConfigurationError(f"likeness: 0 to 1, not {evidence.likeness!r}")
    if not 0 <= evidence.at <= now + _SKEW:
        raise ConfigurationError(f"at: a time that has been, not {evidence.at!r}")


def _estimate(wrong: int, of: int) -> Estimate:
    side = (1 + _INTERVAL) / 2
    return Estimate(wrong / of, at_least(wrong, of, side), at_most(wrong, of, side), wrong, of)


def _together(found: dict[str, Estimate], weights: dict[str, int]) -> Estimate:
    total = sum(weights.values())
    if not total:
        return Estimate(0.0, 0.0, 1.0, 0, 0)
    shares = [(each, weights[name] / total) for name, each in found.items()]
    return Estimate(
        sum(each.rate * share for each, share in shares),
        sum(each.low * share for each, share in shares),
        sum(each.high * share for each, share in shares),
        sum(each.wrong for each, _ in shares),
        sum(each.comparisons for each, _ in shares),
    )
