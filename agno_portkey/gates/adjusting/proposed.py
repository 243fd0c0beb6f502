"""`Proposal`: another threshold for a check, or why there is none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from agno_portkey.gates.history.inference import Measured

__all__ = ["NoProposal", "Point", "Proposal"]


@dataclass(frozen=True, slots=True)
class Point:
    """The pass rates that one threshold would have given, of the check alone and of its gate."""

    threshold: float
    check: Measured
    gate: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Another threshold for one check, in 0-1 as all scores and rates here.

    `low` to `high` is the interval of the threshold, `now` and `then` the pass rates before and
    after, on `runs` plans decided from `since` to `until`. `approved` is how many plans that the
    check had refused were let run by persons. `notes` say what the record can't tell; `curve` has a
    point for each threshold that makes a difference, in rising order.
    """

    swarm: str | None
    gate: str
    check: str
    kind: Literal["tightened", "loosened"]
    before: float
    threshold: float
    low: float
    high: float
    now: Point
    then: Point
    runs: int
    since: datetime
    until: datetime
    approved: int
    notes: tuple[str, ...]
    curve: tuple[Point, ...]

    def as_dict(self) -> dict[str, Any]:
        """The proposal as plain JSON types."""
        times = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return {**asdict(self), **times, "notes": list(self.notes)}

    def __str__(self) -> str:
        return (
            f"{self.gate}/{self.check}: {self.before:g} -> {self.threshold:g} "
            f"({self.low:g} to {self.high:g}), the gate would have passed {self.then.gate} of "
            f"{self.runs} plans, and passed {self.now.gate}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProposal:
    """Why the threshold of a check stays as it is; `missing` is how many more plans it takes."""

    swarm: str | None
    gate: str
    check: str
    reason: str
    runs: int = 0
    missing: int = 0
    curve: tuple[Point, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.gate}/{self.check}: {self.reason}"
