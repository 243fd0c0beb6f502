"""What a person decides on a plan that waits: kept, written into the history, and told."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Grant
from agno_portkey.gates.history import Decided
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["APPROVE", "OVERRIDE", "READ", "approve", "entry_of", "revoke"]

# The scopes for seeing gates, for deciding on what they let pass, and on what they have refused.
READ, APPROVE, OVERRIDE = "gates:read", "gates:approve", "gates:override"

# Who takes back what could not be written down.
_SELF = "agno-portkey"


def approve(
    books: Books,
    id: str,
    *,
    by: str,
    reason: str | None = None,
    max_age: float | None = None,
    observers: Iterable[Observer] = (),
) -> Grant:
    """Grant the plan that waits under `id`, for `max_age` seconds, else as long as it could wait.

    An approval that can't be written into the history is taken back. Raises ClearanceRefused for
    one that does not wait any more, ConfigurationError for an override (the gate itself has refused
    the plan) without a reason, and whatever the database raises.
    """
    waited = books.clearances.get(id)
    lasts = (waited.expires_at - waited.issued_at).total_seconds() if max_age is None else max_age
    granted = books.clearances.approve(id, by=by, reason=reason, now=books.clock(), max_age=lasts)
    said = "approved" if granted.passed else "approved against the gate"
    try:
        books.record([entry_of(granted, True, said, by, reason, books.clock())])
    except BaseException:
        books.clearances.revoke(id, by=_SELF, reason="its approval could not be written down")
        raise
    _tell(observers, granted, True, said, by, reason)
    return granted


def revoke(
    books: Books,
    id: str,
    *,
    by: str,
    reason: str | None = None,
    observers: Iterable[Observer] = (),
) -> Grant:
    """Take the clearance `id` back, whatever has become of it, and write down who did.

    Raises what `approve` does; one that is not written down stays revoked.
    """
    revoked = books.clearances.revoke(id, by=by, reason=reason)
    _tell(observers, revoked, False, "revoked", by, reason)
    books.record([entry_of(revoked, False, "revoked", by, reason, books.clock())])
    return revoked


def entry_of(
    grant: Grant, passed: bool, said: str, by: str, reason: str | None, at: datetime
) -> Decided:
    """What is kept of something that became of `grant`, `said` by whom."""
    return Decided(
        id=str(uuid.uuid4()),
        gate=grant.gate,
        passed=passed,
        outcome="pass" if passed else "fail",
        score=None,
        reasons=_reasons(said, by, reason),
        checks=(),
        at=at,
        swarm=grant.swarm,
        team_id=None,
        run_id=grant.team_run_id,
        session_id=grant.session_id,
        user_id=grant.user_id,
        tenant=grant.tenant,
        plan_digest=grant.plan_digest,
        fingerprint=grant.fingerprint or None,
        versions={},
        evidence={"plan": grant.plan_digest},
        by=by,
    )


def _tell(
    observers: Iterable[Observer],
    grant: Grant,
    passed: bool,
    said: str,
    by: str,
    reason: str | None,
) -> None:
    evidence = {"plan_digest": grant.plan_digest, "clearance": grant.id, "by": by}
    verdict = Verdict(passed, grant.gate, _reasons(said, by, reason), evidence=evidence)
    data = {"by": by, "clearance": grant.id, "override": passed and not grant.passed}
    tell(observers, Event("approval", None, grant.swarm, grant.team_run_id, verdict, data))


def _reasons(said: str, by: str, reason: str | None) -> tuple[str, ...]:
    return (f"{said} by {by}", *([reason] if reason else []))
