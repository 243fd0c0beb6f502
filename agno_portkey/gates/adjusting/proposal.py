"""Which threshold a check's history speaks for, with its interval and the pass rate it would give.

The record knows the score of every plan, of refused ones too, but not what became of them: a plan
that was refused was never run. So it can tell how many plans a threshold would pass, and not
whether those were worth passing. That is why only a tightening may be applied without a person.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.adjusting.evidence import Evidence, Trial, evidence_of
from agno_portkey.gates.adjusting.proposed import NoProposal, Point, Proposal
from agno_portkey.gates.history.inference import Measured, rate_of
from agno_portkey.gates.history.record import Decided

__all__ = ["STEP", "propose"]

# A smaller change is not worth one.
STEP = 0.01
_DIGITS = 4


def propose(
    decided: Sequence[Decided],
    *,
    gate: str,
    check: str,
    threshold: float,
    floor: float = 0.85,
    least: int = 50,
    confidence: float = 0.95,
) -> Proposal | NoProposal:
    """Another threshold for `check`, whose `threshold` holds now, from decisions of one swarm.

    Only plans count that were decided at that threshold and by the versions of now (see
    `evidence_of`); of fewer than `least` nothing is proposed.

    Tightening: the highest threshold at which the lower bound of the gate's pass rate (Wilson's, at
    `confidence`) is above `floor`. Whatever threshold this picks, the pass rate that plans of this
    kind have there is below the floor only as often as one bound is wrong, since a plan that passes
    at one threshold passes at all lower ones: it is a distribution-free tolerance limit (S. S.
    Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
    Statistics 12 (1941), 91-96). The threshold that gives a pass rate of exactly the floor lies
    between it, `low`, and `high`, at which the upper bound falls below the floor.

    Loosening: only where the upper bound of the check's own pass rate is below the floor, so that
    chance does not explain it, and where persons let enough plans run that this check alone had
    refused. It goes no lower than it takes for the check to reach the floor, and no lower than the
    median score of those approved plans, whose interval `low` to `high` is, from order statistics
    (H. A. David and H. N. Nagaraja, "Order Statistics", 3rd ed. (2003), section 7.1). Its pass rate
    is the most that it could have been.

    Plans are taken for independent of each other, and those to come for like those that were. What
    a team changes in its plans once it is refused, and that one looks at the history again and
    again, no bound here considers; that evidence starts anew after each change limits the latter.
    """
    known = evidence_of(decided, gate=gate, check=check)
    return _Rule(known, gate, check, threshold, floor, least, confidence).answer()


@dataclass(frozen=True)
class _Rule:
    known: Evidence
    gate: str
    check: str
    threshold: float
    floor: float
    least: int
    confidence: float

    def answer(self) -> Proposal | NoProposal:
        if not 0 <= self.threshold <= 1:
            raise ConfigurationError(f"threshold: from 0 to 1, not {self.threshold!r}")
        trials = self._trials()
        if len(trials) < max(self.least, 1):
            return self._too_few(len(trials))
        if not self.known.by_threshold:
            return self._none("it does not go by a threshold: it has passed what scored below it")
        if not self.threshold:
            return self._none("it has no threshold that could be moved: it passes any score")
        found = self._tightened() or self._loosened()
        if isinstance(found, str):
            return self._none(found)
        return found

    def _trials(self) -> Sequence[Trial]:
        """What was decided at the threshold of now."""
        held = self.known.threshold
        same = held is not None and math.isclose(held, self.threshold, abs_tol=1e-9)
        return self.known.trials if same else ()

    def _tightened(self) -> Proposal | None:
        higher = [each for each in self._thresholds() if each >= self.threshold + STEP]
        points = [self._point(each) for each in higher]
        good = [each for each in points if _low(each.gate) > self.floor]
        if not good:
            return None
        high = max(each.threshold for each in points if _high(each.gate) >= self.floor)
        return self._proposal("tightened", good[-1].threshold, good[-1].threshold, high, 0)

    def _loosened(self) -> Proposal | str:
        now = self._point(self.threshold)
        if _high(now.check) >= self.floor:
            return (
                f"the pass rate is {now.gate} (the check's {now.check}), and the floor is "
                f"{self.floor:g}: a higher threshold might fall below it, and a lower one is "
                "not called for"
            )
        approved = sorted(each.gate for each in self.known.trials if each.approved)
        place = _median_place(len(approved), self.confidence)
        if place is None:
            return (
                f"the check's pass rate is {now.check}, below the floor of {self.floor:g}, but "
                f"persons approved {len(approved)} of the plans that it alone refused: too few "
                "to tell where it is too strict"
            )
        # Of an even number the higher of the two in the middle.
        median = _rounded(approved[len(approved) // 2])
        lower = [each for each in self._thresholds() if each <= self.threshold - STEP]
        reaching = [each for each in lower if self._point(each).check.mean >= self.floor]
        wanted = max([median, *reaching])
        if wanted > self.threshold - STEP:
            return "what persons approved scored so near to the threshold that it may stay"
        if wanted <= 0:
            return "what persons approved scored 0: no threshold tells it from the others"
        low, high = approved[place], approved[len(approved) - 1 - place]
        return self._proposal(
            "loosened",
            wanted,
            min(_rounded(low), wanted),
            max(_rounded(high), wanted),
            len(approved),
        )

    def _proposal(
        self,
        kind: Literal["tightened", "loosened"],
        threshold: float,
        low: float,
        high: float,
        approved: int,
    ) -> Proposal:
        trials = self.known.trials
        return Proposal(
            swarm=self.known.swarm,
            gate=self.gate,
            check=self.check,
            kind=kind,
            before=self.threshold,
            threshold=threshold,
            low=low,
            high=high,
            now=self._point(self.threshold),
            then=self._point(threshold),
            runs=len(trials),
            since=trials[0].at,
            until=trials[-1].at,
            approved=approved,
            notes=tuple(self._notes(kind, threshold, approved)),
            curve=self._curve(),
        )

    def _notes(self, kind: str, threshold: float, approved: int) -> Iterator[str]:
        yield "what became of plans is not in the record: a pass rate is no measure of their worth"
        if kind == "loosened":
            more = [each for each in self.known.trials if threshold <= each.gate < self.threshold]
            seen = sum(each.approved for each in more)
            yield (
                f"of the {len(more)} plans that would pass in addition, persons approved {seen} "
                f"({approved} of all that it refused); nobody spoke for the others"
            )
            yield "the pass rates are the most they could be: a score is not all that may refuse"
        if self.known.sampled:
            yield (
                f"{self.known.sampled} plans were judged by several samples, whose intervals are "
                f"not kept: scores nearer than {self.known.grey:.2f} are not counted as passed"
            )

    def _too_few(self, found: int) -> NoProposal:
        missing = max(self.least, 1) - found
        return NoProposal(
            swarm=self.known.swarm,
            gate=self.gate,
            check=self.check,
            reason=(
                f"{found} plans were decided by the versions and thresholds of now, and it takes "
                f"{max(self.least, 1)}: {missing} more"
            ),
            runs=found,
            missing=missing,
        )

    def _none(self, reason: str) -> NoProposal:
        return NoProposal(
            swarm=self.known.swarm,
            gate=self.gate,
            check=self.check,
            reason=reason,
            runs=len(self.known.trials),
            curve=self._curve(),
        )

    def _curve(self) -> tuple[Point, ...]:
        return tuple(self._point(each) for each in self._thresholds())

    def _thresholds(self) -> list[float]:
        """Those that make a difference, and that of now."""
        reached = {_rounded(each.check) for each in self.known.trials if each.check > 0}
        return sorted({each for each in reached if each > 0} | {self.threshold})

    def _point(self, threshold: float) -> Point:
        check, gate = (
            rate_of(len(reached) - bisect_left(reached, threshold), len(reached), self.confidence)
            for reached in self._reached
        )
        return Point(threshold, check, gate)

    @cached_property
    def _reached(self) -> tuple[list[float], list[float]]:
        """Up to where plans pass the check, and the gate, in rising order."""
        trials = self.known.trials
        return sorted(each.check for each in trials), sorted(each.gate for each in trials)


def _low(rate: Measured) -> float:
    return 0.0 if rate.low is None else rate.low


def _high(rate: Measured) -> float:
    return 1.0 if rate.high is None else rate.high


def _rounded(score: float) -> float:
    """`score` to four digits, and never above it: what has it is to pass."""
    near = round(score, _DIGITS)
    return near if near <= score else round(near - 10**-_DIGITS, _DIGITS)


def _median_place(count: int, confidence: float) -> int | None:
    """The place from either end of so many values in order between which their median lies.

    None where there are too few for that `confidence`.
    """
    below, place = 0.0, None
    for rank in range(count // 2):
        below += math.comb(count, rank) / 2**count
        if below > (1 - confidence) / 2:
            break
        place = rank
    return place
