"""What is known in one governed team run, as data: what was said, what it took, what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agno.run.team import TeamRunOutput

from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.latest import Latest
from agno_portkey.tags import TAGS_KEY

__all__ = [
    "LINEAGE_KEY",
    "ROOT_KEY",
    "Clearance",
    "Evidence",
    "Fingerprint",
    "HandedDown",
    "Steps",
    "Usage",
    "Who",
    "hand_on",
    "outermost_run",
    "root_in",
    "rooted",
]

# Where a team says to its members, in the run's metadata, which teams they work for, and the run
# that all of it is done for.
LINEAGE_KEY = "agno_portkey.lineage"
ROOT_KEY = "agno_portkey.root_run"


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


class HandedDown(str):
    """A run's id as this process hands it down: one that a caller sends, or a database, is none."""

    __slots__ = ()

    def __copy__(self) -> HandedDown:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> HandedDown:
        return self

    def __reduce__(self) -> Any:
        return (str, (str(self),))


# The outermost runs of those that are none themselves, as far as they were asked for lately.
_roots: Latest[str] = Latest()


def outermost_run(run_response: object) -> str | None:
    """The run that all others of a team's were asked for in, as far as it is known.

    A run that is gone on with, or is a fork of another, is what that was.
    """
    run_id: str | None = getattr(run_response, "run_id", None)
    noted = _roots.of(run_id)
    root = root_in(getattr(run_response, "metadata", None)) or noted or _from_host(run_response)
    if root is None or run_id is None:
        return run_id
    if root != noted:
        # What is stored of it says so no more.
        _roots.note(run_id, root)
    return root


def root_in(metadata: object) -> str | None:
    """The outermost run that this process has handed down in a run's metadata."""
    root = metadata.get(ROOT_KEY) if isinstance(metadata, Mapping) else None
    # A caller may have passed anything.
    return str(root) if isinstance(root, HandedDown) else None


def rooted(root: str, lineage: list[dict[str, Any]]) -> dict[str, Any]:
    """What is handed down in the metadata of a run: its outermost one, and the teams above it."""
    return {LINEAGE_KEY: lineage, ROOT_KEY: HandedDown(root)}


def hand_on(model: Any, asked: Mapping[str, Any]) -> None:
    """Have a team's members get its tags and its outermost run, with what its model is `asked`.

    A run that is gone on with has in its context what a caller says now, and its hooks are not
    asked. Only who books runs has members told of them.
    """
    run = asked.get("run_response")
    context = _context_of(asked) if isinstance(run, TeamRunOutput) else None
    if run is None or context is None:
        return
    told: dict[str, Any] = {}
    held = context.metadata or {}
    tags = (run.metadata or {}).get(TAGS_KEY)
    if isinstance(tags, Mapping) and held.get(TAGS_KEY) != tags:
        told[TAGS_KEY] = dict(tags)
    if any(getattr(each, "books_runs", False) for each in model.observers):
        root = model.root_run(run)
        if root is not None and root_in(held) != root:
            team = {"run_id": run.run_id, "name": str(run.team_name or run.team_id)}
            told |= rooted(root, [team])
    if told:
        # A new mapping: the caller's own may serve other runs too.
        context.metadata = {**held, **told}


def _from_host(run_response: object) -> str | None:
    """The same from what the host has written of a run, which nobody can send."""
    above = None
    # A workflow is above its steps, whose runs are the outermost ones.
    if getattr(run_response, "workflow_step_id", None) is None:
        above = getattr(run_response, "parent_run_id", None)
    above = above or getattr(run_response, "forked_from_run_id", None)
    return (_roots.of(above) or above) if isinstance(above, str) and above else None


def _context_of(asked: Mapping[str, Any]) -> Any:
    """The context that the tools of a run share, from which members get theirs."""
    contexts = (getattr(each, "_run_context", None) for each in asked.get("tools") or ())
    return next((each for each in contexts if each is not None), None)
