"""What is known in one governed team run, as data: what was said, what it took, what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agno_portkey.contracts import Critique, Judgement, Plan

__all__ = [
    "LINEAGE_KEY",
    "Clearance",
    "Evidence",
    "Fingerprint",
    "Steps",
    "Usage",
    "Who",
    "outermost_run",
]

# Where a team says to its members, in the run's metadata, which teams they work for.
LINEAGE_KEY = "agno_portkey.lineage"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A structured output and the digest of the plan that its author was shown.

    `samples` are the judgements that a sampled one is drawn from, in order.
    """

    output: Critique | Judgement
    plan_digest: str
    samples: tuple[Judgement, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What the model calls of a run have taken: `cost` in US dollars, None if no price is known."""

    calls: int = 0
    tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        # What one request has cost is not known of all of them, if it is not of one.
        costs = [each.cost for each in (self, other) if each.calls]
        return Usage(
            self.calls + other.calls,
            self.tokens + other.tokens,
            None if not costs or None in costs else math.fsum(filter(None, costs)),
            self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True)
class Who:
    """For whom a team runs."""

    session_id: str | None = None
    user_id: str | None = None
    tenant: str | None = None
    team_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a team was when its run began: one digest, and the parts it is of by their names."""

    digest: str
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clearance:
    """Leave to run one plan, given once to one run of the Runner and its continuations.

    `id` is that of its row, where it is kept; it lasts until `expires_at`.
    """

    plan: Plan
    plan_digest: str
    runner_run_id: str
    id: str | None = None
    expires_at: datetime | None = None


@dataclass(slots=True)
class Steps:
    """How far a cleared plan's steps have come; `taken` and `done` hold step numbers from 1.

    `failed` holds, by tool, why its last call failed or was refused.
    """

    plan: Plan
    taken: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)

    def open_before(self, number: int, tools: frozenset[str]) -> int | None:
        """The first unfinished step before `number` that calls one of `tools`."""
        for earlier, step in enumerate(self.plan.steps[: number - 1], start=1):
            if step.tool in tools and earlier not in self.done:
                return earlier
        return None

    def missing(self, tools: frozenset[str]) -> tuple[int, ...]:
        """The steps calling one of `tools` that have not been done."""
        return tuple(
            number
            for number, step in enumerate(self.plan.steps, start=1)
            if step.tool in tools and number not in self.done
        )


def outermost_run(run_response: object) -> str | None:
    """The run that all others of a team's were asked for in, as far as hooks have said it."""
    metadata = getattr(run_response, "metadata", None)
    lineage = metadata.get(LINEAGE_KEY) if isinstance(metadata, Mapping) else None
    first = lineage[0] if isinstance(lineage, list) and lineage else None
    above = first.get("run_id") if isinstance(first, Mapping) else None
    # A caller may have passed anything.
    return above if isinstance(above, str) and above else getattr(run_response, "run_id", None)
