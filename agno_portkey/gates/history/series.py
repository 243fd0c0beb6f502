"""What a series of decisions shows over time: rates, scores and cost by spans, and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.history.inference import Measured, mean_of, pettitt, rate_of
from agno_portkey.gates.history.record import Decided

__all__ = ["Span", "gates_of", "scores_of", "settled", "shifts", "spans", "width_of"]

# The widths that are chosen from, in seconds: minutes, hours, days and weeks.
_WIDTHS = (60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 28 * 86_400)
_SHOWN = 30
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """What was decided from `start` on and before `end`; `cost` is in US dollars.

    `cost` is the sum of those that are known, and None where none is. Rates and scores are in 0-1,
    and None where there are none. What is `waiting` for a person is in no rate.
    """

    start: datetime
    end: datetime
    decisions: int
    passed: int
    underpowered: int
    pass_rate: Measured | None
    score: Measured | None
    cost: float | None
    tokens: int
    seconds: float
    waiting: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The span as plain JSON types."""
        return {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "decisions": self.decisions,
            "passed": self.passed,
            "underpowered": self.underpowered,
            "waiting": self.waiting,
            "pass_rate": self.pass_rate and self.pass_rate.mean,
            "score": self.score and self.score.mean,
            "cost": self.cost,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }


def spans(decided: Sequence[Decided], width: timedelta | None = None) -> list[Span]:
    """`decided` by spans of one `width`, empty ones included, in the order of time.

    They begin at whole multiples of it in UTC; without one, it is chosen for about 30 of them.
    Raises ConfigurationError for more than 10,000.
    """
    if not decided:
        return []
    seconds = (width_of(decided) if width is None else width).total_seconds()
    if seconds <= 0:
        raise ConfigurationError(f"width: longer than nothing, not {width}")
    placed: dict[int, list[Decided]] = {}
    for each in decided:
        placed.setdefault(int(each.at.timestamp() // seconds), []).append(each)
    first, last = min(placed), max(placed)
    if last - first >= _MOST:
        raise ConfigurationError(f"width: {width} makes more than {_MOST} spans; give a longer one")
    return [
        _span(placed.get(place, []), place * seconds, seconds) for place in range(first, last + 1)
    ]


def width_of(decided: Sequence[Decided]) -> timedelta:
    """The width that parts `decided` into about 30 spans."""
    times = [each.at for each in decided]
    wanted = (max(times) - min(times)).total_seconds() / _SHOWN
    return timedelta(seconds=next((each for each in _WIDTHS if each >= wanted), _longest(wanted)))


def _longest(wanted: float) -> float:
    return _WIDTHS[-1] * (wanted // _WIDTHS[-1] + 1)


def _span(decided: list[Decided], start: float, seconds: float) -> Span:
    costs = [each.cost for each in decided if each.cost is not None]
    scores = [each.score for each in decided if each.score is not None]
    told = settled(decided)
    passed = sum(each.passed for each in told)
    return Span(
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(start + seconds, UTC),
        decisions=len(decided),
        passed=passed,
        underpowered=sum(each.outcome == "underpowered" for each in decided),
        pass_rate=rate_of(passed, len(told)) if told else None,
        score=mean_of(scores) if scores else None,
        cost=sum(costs) if costs else None,
        tokens=sum(each.tokens for each in decided),
        seconds=sum(each.seconds for each in decided),
        waiting=len(decided) - len(told),
    )


def settled(decided: Sequence[Decided]) -> list[Decided]:
    """Those of `decided` that do not wait for a person: what a pass rate is of."""
    return [each for each in decided if each.outcome != "waiting"]


def gates_of(decided: Sequence[Decided]) -> dict[tuple[str | None, str], list[Decided]]:
    """`decided` by swarm and gate, each in the order of time."""
    found: dict[tuple[str | None, str], list[Decided]] = {}
    for each in sorted(decided, key=lambda one: one.at):
        found.setdefault((each.swarm, each.gate), []).append(each)
    return dict(sorted(found.items(), key=lambda pair: (pair[0][0] or "", pair[0][1])))


def scores_of(decided: Sequence[Decided]) -> dict[str | None, list[tuple[datetime, float]]]:
    """The scores of the gate, under None, and of its checks by their names; each with its time."""
    found: dict[str | None, list[tuple[datetime, float]]] = {}
    for each in decided:
        told = [(None, each.score), *((check.check, check.score) for check in each.checks)]
        for name, score in told:
            if score is not None:
                found.setdefault(name, []).append((each.at, score))
    return found


def shifts(values: Sequence[float], *, confidence: float = 0.95) -> list[int]:
    """The places at which `values` shift to another level, as the index of the first of it.

    By Pettitt's test, and by the same on either side of a shift; 10 values are the least.
    """
    place, chance = pettitt(values)
    if chance >= 1 - confidence:
        return []
    before = shifts(values[:place], confidence=confidence)
    after = shifts(values[place:], confidence=confidence)
    return [*before, place, *(place + each for each in after)]
