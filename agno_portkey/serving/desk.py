"""What a server looks up for those who ask: open gates, one clearance, and decisions by time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from agno.agent import Agent
from agno.factory import BaseFactory
from agno.team import Team
from agno.workflow.workflow import Workflow
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Charter
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.clearance import Grant
from agno_portkey.gates.clearance.refusing import refused
from agno_portkey.gates.history import Decided, spans
from agno_portkey.hooks import GateHook
from agno_portkey.serving.callers import Caller
from agno_portkey.verdict import Observer

__all__ = ["Asked", "Desk", "desk_of", "has_gate", "shown"]

# How much is looked through for what a caller may see: pages, and decisions on each.
_PAGES, _PAGE = 20, 500


class Asked(BaseModel):
    """Which decisions are asked for, and how: one by one, or by spans of `span` seconds."""

    model_config = ConfigDict(extra="forbid")

    gate: str | None = Field(default=None, max_length=255)
    swarm: str | None = Field(default=None, max_length=255)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    outcome: Literal["pass", "fail", "underpowered", "waiting"] | None = None
    limit: int = Field(default=100, ge=1, le=1000)
    series: bool = False
    span: int | None = Field(default=None, ge=60, le=366 * 86_400)


@dataclass(frozen=True)
class Desk:
    """The books that are served, of one swarm or of all in a database, and who hears of approvals.

    Each method blocks, and raises whatever the books raise.
    """

    source: Charter | Books
    swarm: str | None
    observers: tuple[Observer, ...]

    @property
    def books(self) -> Books:
        """Those of this moment: a server gives a team its database after its routes are made."""
        return self.source.books if isinstance(self.source, Charter) else self.source

    def waiting(self, caller: Caller) -> list[Grant]:
        """What waits for a person and is for `caller` to see, oldest first."""
        return [each for each in self.books.clearances.waiting(self.swarm) if caller.sees(each)]

    def altered(self, caller: Caller) -> list[str]:
        """What is wrong with rows that are none, for who sees all: whose they are nobody knows."""
        return self.books.clearances.altered() if caller.all else []

    def find(self, id: str, caller: Caller) -> Grant:
        """The clearance `id`; to who may not see it, it is unknown."""
        grant = self.books.clearances.get(id)
        if self.swarm not in (None, grant.swarm) or not caller.sees(grant):
            raise refused("unknown", id=id)
        return grant

    def told(self, asked: Asked, caller: Caller) -> dict[str, Any]:
        """The newest decisions that are asked for, or what they come to over time; newest last."""
        seen: list[Decided] = []
        for decided in self._newest_first(asked):
            if caller.sees(decided):
                seen.append(decided)
            if len(seen) == asked.limit:
                break
        seen.reverse()
        if not asked.series:
            return {"decisions": [each.as_dict() for each in seen]}
        width = timedelta(seconds=asked.span) if asked.span is not None else None
        return {"series": [each.as_dict() for each in spans(seen, width)]}

    def _newest_first(self, asked: Asked) -> Iterator[Decided]:
        history = self.books.history
        until, known = asked.until, set[str]()
        for _ in range(_PAGES if history is not None else 0):
            page = history.series(  # type: ignore[union-attr]
                gate=asked.gate,
                swarm=self.swarm or asked.swarm,
                since=asked.since,
                until=until,
                outcome=asked.outcome,
                limit=_PAGE,
            )
            fresh = [each for each in reversed(page) if each.id not in known]
            yield from fresh
            if len(page) < _PAGE or not fresh:
                return
            known = {each.id for each in fresh}
            # Before, and not at: of those at one moment some may be on the next page.
            until = fresh[-1].at + timedelta(microseconds=1)


def desk_of(source: Any, observers: tuple[Observer, ...]) -> Desk:
    """The desk of a governed team or workflow, or of a database.

    Raises ConfigurationError for what has no gate, or keeps nothing that a server could show.
    """
    if isinstance(source, Agent | Team | Workflow | BaseFactory):
        charter = _charter_of(source)
        if charter is None:
            name = getattr(source, "name", None) or source.id
            raise ConfigurationError(
                f"gate_router: {name} has no gate: govern it with one first, or give a database"
            )
        return Desk(charter, charter.swarm, (*charter.observers, *observers))
    books = books_of(source)
    if books.history is None:
        raise ConfigurationError(
            "gate_router: a governed team or workflow, or an Agno database on SQL, not "
            f"{type(source).__name__}"
        )
    return Desk(books, None, observers)


def has_gate(source: object) -> bool:
    """Whether `source` is a governed team or workflow, or a factory of them, with a gate."""
    return _charter_of(source) is not None


def _charter_of(source: Any) -> Charter | None:
    gate = getattr(getattr(source, "terms", None), "gate", None)
    if gate is not None:
        charter: Charter = gate.charter
        return charter
    hooks = (getattr(hook, "__self__", hook) for hook in getattr(source, "pre_hooks", None) or ())
    return next((hook.charter for hook in hooks if isinstance(hook, GateHook)), None)


def shown(grant: Grant) -> dict[str, Any]:
    """A clearance as JSON types, its times in ISO 8601."""
    return {
        "id": grant.id,
        "gate": grant.gate,
        "state": grant.state,
        "passed": grant.passed,
        "swarm": grant.swarm,
        "tenant": grant.tenant,
        "environment": grant.environment,
        "session_id": grant.session_id,
        "user_id": grant.user_id,
        "team_run_id": grant.team_run_id,
        "plan": grant.plan.model_dump(mode="json"),
        "plan_digest": grant.plan_digest,
        "fingerprint": grant.fingerprint,
        "issued_at": grant.issued_at.isoformat(),
        "expires_at": grant.expires_at.isoformat(),
        "reason": grant.reason,
        "approved_by": grant.approved_by,
        "revoked_by": grant.revoked_by,
        "claimed_by": grant.claimed_by,
        "claimed_at": _iso(grant.claimed_at),
        "steps_taken": sorted(grant.taken),
        "steps_done": sorted(grant.done),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
