"""`calibrate`: how noisy a judge is on identical input, and how often to ask it therefore."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.boundaries import chi_square, wilson
from agno_portkey.gates.checks.base import Outcome
from agno_portkey.gates.sampling import MEASURED, Poll, Sampling, points_of

__all__ = ["Calibration", "Expected", "Flips", "calibrate", "expect", "polled"]

# Fewer cases say nothing of how often decisions flip.
FEWEST_CASES = 5
FEWEST_TRIALS = 50
# The share that is to be decided where the true score is one noise SD from the threshold.
DECIDED = 0.9
# The most flips that a proposal may have, on the cases and there.
FLIPS = 0.05
# Sizes that are tried, in this order.
_SIZES = (4, 6, 8, 10, 12, 16, 20, 24, 32)
# A noise of nothing is none that a `Sampling` takes.
_LEAST_NOISE = 0.05
_RESAMPLED = 1000


@dataclass(frozen=True, slots=True)
class Flips:
    """How often two runs on identical input decide PASS and FAIL: a share, and its interval."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What a `Sampling` does on the cases by simulation: flips, share decided, mean samples."""

    flips: Flips
    decided: float
    samples: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What repeated judgements of the same inputs say, and the `Sampling` they ask for.

    `noise` is the SD of one score in points (pooled over the cases), `low` to `high` its interval
    at `confidence`; `naive` are the flips of a single score held against the threshold, `current`
    what the present sampling does, `expected` what the `proposal` would do.
    """

    cases: int
    scores: int
    threshold: float
    confidence: float
    noise: float
    low: float
    high: float
    naive: Flips
    current: Expected
    sampling: Sampling
    proposal: Sampling
    expected: Expected

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """A table: its heading, then the naive threshold, the present sampling, the proposal."""
        now, then = _told(self.sampling), _told(self.proposal)
        return [
            ("", "flips", f"{self.confidence:.0%} interval", "decided", "samples"),
            ("one score", *_flips(self.naive), "100.0%", "1.0"),
            (f"now: {now}", *_cells(self.current)),
            (f"proposed: {then}", *_cells(self.expected)),
        ]

    def __str__(self) -> str:
        said = (
            f"noise {self.noise:.2f} points ({self.confidence:.0%} interval {self.low:.2f} to "
            f"{self.high:.2f}), from {self.scores} scores of {self.cases} cases; "
            f"threshold {self.threshold:g}"
        )
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        return "\n".join([said, *lines])


def calibrate(
    cases: Mapping[str, Sequence[float]],
    *,
    threshold: float,
    sampling: Sampling | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    trials: int = 400,
) -> Calibration:
    """What `cases`, by name the scores of one input judged repeatedly, say of the judge.

    `sampling` is the present one (a single score if there is none). Simulated runs draw from what
    the scores of all cases deviate from their case's mean: a residual bootstrap (Efron and
    Tibshirani, "An Introduction to the Bootstrap" (1993), section 9.4), `trials` of them a case.

    Raises ConfigurationError where there is too little to go by: fewer than 5 cases, a case with
    fewer than 2 scores, or fewer than 14 scores beyond each case's first.
    """
    points_of("threshold", threshold)
    if not 0 < confidence < 1:
        raise ConfigurationError(f"confidence: between 0 and 1, not {confidence!r}")
    if trials < FEWEST_TRIALS:
        raise ConfigurationError(f"trials: at least {FEWEST_TRIALS}, not {trials}")
    judge = Judge(_checked(cases))
    now = sampling or Sampling(least=1, most=1)
    spread = math.sqrt(judge.squares / judge.freedom)
    tail = (1 - confidence) / 2
    chance = random.Random(seed)  # noqa: S311 - a simulation
    proposal = _proposed(judge, threshold, spread, chance, 2 * trials)

    def on_the_cases(one: Sampling) -> Expected:
        return expect(one, judge, judge.means, threshold, chance, trials, confidence)

    return Calibration(
        cases=len(judge.cases),
        scores=sum(map(len, judge.cases)),
        threshold=threshold,
        confidence=confidence,
        noise=spread,
        low=math.sqrt(judge.squares / chi_square(1 - tail, judge.freedom)),
        high=math.sqrt(judge.squares / chi_square(tail, judge.freedom)),
        naive=_naive(judge.cases, threshold, confidence),
        current=on_the_cases(now),
        sampling=now,
        proposal=proposal,
        expected=on_the_cases(proposal),
    )


class Judge:
    """A simulated judge that scatters as the one that gave `cases` did, from 0 to 10."""

    def __init__(self, cases: Sequence[Sequence[float]]) -> None:
        self.cases = cases
        self.means = [fmean(case) for case in cases]
        self.freedom = sum(len(case) - 1 for case in cases)
        self.squares = math.fsum(
            (score - mean) ** 2
            for case, mean in zip(cases, self.means, strict=True)
            for score in case
        )
        # Deviations from a mean that they have a part in are too small by this.
        self._residuals = [
            (score - mean) * math.sqrt(len(case) / (len(case) - 1))
            for case, mean in zip(cases, self.means, strict=True)
            for score in case
        ]

    def score(self, true: float, chance: random.Random) -> float:
        """One score of an input whose mean score is `true`."""
        return min(10.0, max(0.0, true + chance.choice(self._residuals)))


def polled(sampling: Sampling, draw: Callable[[], float], threshold: float) -> Poll:
    """The poll of as many scores, drawn one by one, as `sampling` asks for."""
    scores = [draw() for _ in range(sampling.least)]
    while not (poll := sampling.poll(scores, threshold, plan=False)).done:
        scores.append(draw())
    return poll


def expect(
    sampling: Sampling,
    judge: Judge,
    trues: Sequence[float],
    threshold: float,
    chance: random.Random,
    trials: int,
    confidence: float = 0.95,
) -> Expected:
    """What `sampling` does by simulation on inputs whose mean scores are `trues`.

    The interval of the flips is the wider of two: a percentile bootstrap over the inputs (Efron and
    Tibshirani, chapter 13), and Wilson's for the simulated pairs of runs. It knows of no inputs
    that are unlike these.
    """
    flips, decided, samples = [], 0, 0
    for true in trues:
        draw = partial(judge.score, true, chance)
        polls = [polled(sampling, draw, threshold) for _ in range(trials)]
        ends = Counter(poll.outcome for poll in polls)
        flips.append(_pairs(ends[Outcome.PASS], ends[Outcome.FAIL], trials))
        decided += ends[Outcome.PASS] + ends[Outcome.FAIL]
        samples += sum(poll.samples for poll in polls)
    rate, tries = fmean(flips), trials * len(trues)
    low, high = wilson(rate, tries // 2, confidence)
    means = sorted(fmean(chance.choices(flips, k=len(flips))) for _ in range(_RESAMPLED))
    cut = int((1 - confidence) / 2 * _RESAMPLED)
    found = Flips(rate, min(low, means[cut]), max(high, means[-1 - cut]))
    return Expected(found, decided / tries, samples / tries)


def _proposed(
    judge: Judge, threshold: float, spread: float, chance: random.Random, trials: int
) -> Sampling:
    """The smallest sampling that flips seldom, and decides one noise SD off the threshold.

    A judge without any noise is asked once.
    """
    if not spread:
        return Sampling(most=1)
    noise = max(_LEAST_NOISE, round(spread, 2))
    off = [true for true in (threshold - noise, threshold + noise) if 0 <= true <= 10]
    sizes = [Sampling(most=size, noise=noise, margin=noise) for size in _SIZES]
    for proposal in sizes:
        there = expect(proposal, judge, off or [threshold], threshold, chance, trials)
        if there.decided >= DECIDED and there.flips.rate <= FLIPS:
            return proposal
    return sizes[-1]


def _naive(cases: Sequence[Sequence[float]], threshold: float, confidence: float) -> Flips:
    """The share of pairs of scores of one case on two sides of the threshold.

    Wilson's interval counts only as many pairs as share no score, which are independent.
    """
    passed = [sum(score >= threshold for score in case) for case in cases]
    rate = fmean(
        _pairs(count, len(case) - count, len(case))
        for count, case in zip(passed, cases, strict=True)
    )
    return Flips(rate, *wilson(rate, sum(len(case) // 2 for case in cases), confidence))


def _pairs(passed: int, failed: int, of: int) -> float:
    """The share of two different runs out of `of` that passed and failed."""
    return 2 * passed * failed / (of * (of - 1))


def _checked(cases: Mapping[str, Sequence[float]]) -> list[list[float]]:
    for name, scores in cases.items():
        if len(scores) < 2:
            raise ConfigurationError(f"cases[{name!r}]: judge it at least twice, better 5 times")
        for at, score in enumerate(scores):
            points_of(f"cases[{name!r}][{at}]", score)
    freedom = sum(len(scores) - 1 for scores in cases.values())
    if len(cases) < FEWEST_CASES or freedom < MEASURED:
        raise ConfigurationError(
            f"cases: {len(cases)}, judged {freedom + len(cases)} times in all, say too little of "
            f"the noise: give at least {FEWEST_CASES}, each judged 5 times"
        )
    return [[float(score) for score in scores] for scores in cases.values()]


def _told(sampling: Sampling) -> str:
    if sampling.most == 1:
        return "1 sample"
    noise = "noise unmeasured" if sampling.noise is None else f"noise {sampling.noise:g}"
    parts = [f"{sampling.least} to {sampling.most} samples", noise]
    parts += [f"margin {sampling.margin:g}"] * bool(sampling.margin)
    parts += ["sequential"] * sampling.sequential
    return ", ".join(parts)


def _flips(flips: Flips) -> tuple[str, str]:
    return f"{flips.rate:.1%}", f"{flips.low:.1%} to {flips.high:.1%}"


def _cells(expected: Expected) -> tuple[str, str, str, str]:
    return *_flips(expected.flips), f"{expected.decided:.1%}", f"{expected.samples:.1f}"
