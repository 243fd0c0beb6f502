"""`Sampling`: how often a judge is asked about one plan, and when that is enough.

A judge that is asked twice about the same plan gives two scores. So the gate asks until the mean
lies so far from the threshold that chance does not explain it, and says UNDERPOWERED where it does.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.boundaries import SHAPE, boundary, student
from agno_portkey.gates.checks.base import Outcome, number

__all__ = ["MOST_PLANNED", "Poll", "Sampling", "points_of"]

# Beyond so many samples `Poll.more` is None: nobody asks a judge that often.
MOST_PLANNED = 1000
# The SD in points that is assumed of a judge whose noise was not measured, and the degrees of
# freedom that this counts for: a guess counts as one sample's word.
_GUESS, _GUESSED = 1.0, 1.0
# Those of a measured noise: enough to decide a clear case at once, and few enough that a plan of
# which the judge is less sure than of others takes more samples.
MEASURED = 14.0
# How fast the boundary grows with the looks, for planning: by 0.13 for each factor e from 12 to 16
# looks, by 0.09 from 32 to 64.
_GROWTH = 0.12
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Poll:
    """What some scores of one plan come to.

    `mean` and its interval, `low` to `high`, are in points of 0-10; without a score they are 0, and
    0 to 10. `more` is how many more samples it would take to decide if the mean stays where it is:
    0 once decided, None if more than 1,000 or no number would do, as where the mean lies on the
    threshold. `done`: decided, or not worth another sample.
    """

    outcome: Outcome
    mean: float
    low: float
    high: float
    samples: int
    more: int | None
    done: bool


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How often a judge is asked about one plan, and when that is enough.

    After each sample from `least` to `most` the interval of the mean is compared with the
    threshold: PASS if none of it is below, FAIL if all of it is, else another sample; after `most`
    it is UNDERPOWERED. The interval is so wide that, however often one looks, a plan whose true
    score is on the wrong side passes (or fails) with a probability of about 1 - `confidence` at
    most: 1 to 6 % in simulation for 5, if `noise` is right or None and the noise at most 2 points.
    A single sample (`least` and `most` 1) is compared with the threshold as it is.

    `noise` is the SD in points of a judge's scores on identical input, as `agno-portkey gate
    calibrate` measures it; None if nobody measured it, which takes a few samples more. Where the
    samples scatter more than `noise`, theirs holds; but one sample shows no scatter. Told half the
    noise there is, up to 19 % are wrong on the threshold; with `least` 2 up to 13 %, so that two
    runs still differ in fewer than 5 %.

    True scores nearer to the threshold than `margin` (points) need not be decided: sampling stops
    where the whole interval is that near. `sequential` takes Wald's test, which needs a `margin`,
    in place of the group-sequential one: where plans are near the threshold it stops earlier.

    Raises ConfigurationError for settings, scores and thresholds that are out of range. Where the
    threshold is 0 every score passes; where it is 10 nothing is ever surely as good.
    """

    least: int = 1
    most: int = 16
    noise: float | None = None
    confidence: float = 0.95
    margin: float = 0.0
    sequential: bool = False

    def __post_init__(self) -> None:
        number(self, "least", least=1, most=100, whole=True)
        number(self, "most", least=1, most=100, whole=True)
        if self.least > self.most:
            raise ConfigurationError(
                f"Sampling.least: at most Sampling.most ({self.most}), not {self.least}"
            )
        if self.noise is not None:
            number(self, "noise", most=10, above=0)
        number(self, "confidence", least=0.8, most=0.999)
        number(self, "margin", least=0, most=10)
        if not isinstance(self.sequential, bool):
            raise ConfigurationError(f"Sampling.sequential: True or False, not {self.sequential!r}")
        if self.sequential and not self.margin:
            raise ConfigurationError(
                "Sampling.margin: above 0 with sequential=True (the noise of one sample does well)"
            )
        if not self._once and not self.sequential:
            # Takes some tenths of a second the first time: now, and not while a gate waits.
            boundary(self.least, self.most, self.confidence)

    def poll(self, scores: Sequence[float], threshold: float, *, plan: bool = True) -> Poll:
        """What `scores` (points of 0-10, in any order) come to against `threshold`.

        Without `plan`, for simulations, `more` is None where it would have to be worked out.
        """
        needed = points_of("threshold", threshold)
        points = [points_of(f"scores[{at}]", score) for at, score in enumerate(scores)]
        if not points:
            return Poll(Outcome.UNDERPOWERED, 0.0, 0.0, 10.0, 0, self.least, False)
        count, mean = len(points), fmean(points)
        if self._once:
            outcome = Outcome.PASS if mean >= needed else Outcome.FAIL
            return Poll(outcome, mean, mean, mean, count, 0, True)
        squares = math.fsum((point - mean) ** 2 for point in points)
        reach = self._reach(count, *self._scatter(count, squares))
        low, high = max(0.0, mean - reach), min(10.0, mean + reach)
        outcome, done = self._ruled(count, low, high, needed)
        more: int | None = 0
        if outcome is Outcome.UNDERPOWERED:
            more = self._more(count, squares, abs(mean - needed)) if plan else None
        return Poll(outcome, mean, low, high, count, more, done)

    @property
    def _once(self) -> bool:
        return self.most == 1

    def _ruled(self, count: int, low: float, high: float, needed: float) -> tuple[Outcome, bool]:
        if count < self.least:
            return Outcome.UNDERPOWERED, False
        if low >= needed:
            return Outcome.PASS, True
        if high < needed:
            return Outcome.FAIL, True
        near = needed - self.margin < low and high < needed + self.margin
        return Outcome.UNDERPOWERED, near or count >= self.most

    def _scatter(self, count: int, squares: float) -> tuple[float, float]:
        """The SD of one sample, and with how many degrees of freedom it is known.

        The configured noise is a prior on the variance (a scaled inverse chi-square one: Gelman et
        al., "Bayesian Data Analysis", 3rd ed., section 3.3), pooled with that of the samples. Where
        these scatter more, their own SD holds, and the prior loses its degrees of freedom with the
        square of the ratio of the variances: a rule of thumb, which simulation bears out.
        """
        noise, known = (_GUESS, _GUESSED) if self.noise is None else (self.noise, MEASURED)
        if count == 1:
            return noise, known
        own = squares / (count - 1)
        pooled = (known * noise**2 + squares) / (known + count - 1)
        if own <= noise**2:
            return math.sqrt(pooled), known + count - 1
        return math.sqrt(own), known * (noise**2 / own) ** 2 + count - 1

    def _reach(self, count: int, sd: float, freedom: float) -> float:
        """Half the width of the interval after `count` samples.

        Group-sequential: the boundary's critical value at this look, in that of Student's t with
        the same tail, as Pocock has it for an unknown variance: "Group sequential methods in the
        design and analysis of clinical trials", Biometrika 64 (1977), 191-199.

        Sequential: Wald's test ("Sequential tests of statistical hypotheses", Annals of
        Mathematical Statistics 16 (1945), 117-186) of a true score on the threshold against one by
        `margin` above it, for PASS, and against one by `margin` below, for FAIL. Its likelihood
        ratio exceeds 1 / alpha where the mean is further off than this. Both at once are the test
        of three hypotheses of Sobel and Wald, ibid. 20 (1949), 502-522. The variance that it takes
        for known is enlarged by the square of Student's t over the normal quantile.
        """
        if not self.sequential:
            return student(self._critical(count), freedom) * sd / math.sqrt(count)
        z = _NORMAL.inv_cdf(self.confidence)
        variance = (sd * student(z, freedom) / z) ** 2
        return self.margin / 2 - variance * math.log1p(-self.confidence) / (count * self.margin)

    def _critical(self, count: int) -> float:
        last = boundary(self.least, self.most, self.confidence)
        if count <= self.most:
            return last * math.pow(count / self.most, SHAPE - 0.5)
        # Only when planning: there were more looks then.
        return last + _GROWTH * math.log(count / self.most)

    def _more(self, count: int, squares: float, distance: float) -> int | None:
        """How many more samples would decide a mean `distance` from the threshold.

        The mean and the scatter are taken to stay as they are, so that it is about an even chance.
        """
        sd, freedom = self._scatter(count, squares)

        def decided(total: int) -> bool:
            return self._reach(total, sd, freedom + total - count) <= distance

        totals = range(max(self.least, count + 1), MOST_PLANNED + 1)
        first = bisect_left(totals, True, key=decided)
        return totals[first] - count if first < len(totals) else None


def points_of(name: str, value: float) -> float:
    """`value` as points, or a ConfigurationError that names it where it is not from 0 to 10."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
        raise ConfigurationError(f"{name}: a number from 0 to 10, not {value!r}")
    return float(value)
