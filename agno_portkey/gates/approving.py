"""What a person decides on a plan that waits: kept, written into the history, and told."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from agno_portkey.environments import check_environment
from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.books import SELF, Books, database_failed
from agno_portkey.gates.clearance import Grant, MemoryClearances
from agno_portkey.gates.clearance.refusing import refused
from agno_portkey.gates.history import Decided
from agno_portkey.gates.words import APPROVED, OVERRIDDEN, REVOKED, revoked_at, told
from agno_portkey.sql import trouble_of
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = [
    "APPROVE",
    "OVERRIDE",
    "READ",
    "approve",
    "entry_of",
    "reason_of",
    "revoke",
    "withdraw",
]

# The scopes for seeing gates, for deciding on what they let pass, and on what they have refused.
READ, APPROVE, OVERRIDE = "gates:read", "gates:approve", "gates:override"

_log = logging.getLogger("agno_portkey")


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

    It is written into the history first; what can't be is taken back. Raises ClearanceRefused for
    one that does not wait any more, ConfigurationError for an override (the gate itself has refused
    the plan) without a reason, WrongEnvironment for one of another environment, and whatever the
    database raises.
    """
    # An approval that has failed may still have to be taken back: that comes first.
    books.owed.settle()
    waited, now = books.clearances.get(id), books.clock()
    check_environment(waited.environment, f"clearance {id}")
    lasts = (waited.expires_at - waited.issued_at).total_seconds() if max_age is None else max_age
    # On a copy at first: one that would be refused is not written down.
    copied = MemoryClearances(leeway=books.clearances.leeway)
    copied.put(waited)
    granted = copied.approve(id, by=by, reason=reason, now=now, max_age=lasts)
    said = APPROVED if granted.passed else OVERRIDDEN
    try:
        books.record([entry_of(granted, True, said, by, reason, now)])
        books.clearances.approve(id, by=by, reason=reason, now=now, max_age=lasts)
    except BaseException as error:
        _not_granted(books, waited, granted, by, error)
        raise
    _tell(observers, granted, True, said, by, reason)
    return granted


def _not_granted(books: Books, waited: Grant, meant: Grant, by: str, error: BaseException) -> None:
    """Take back an approval that has failed, and write that down: it may be granted all the same.

    What another person has granted meanwhile is left as it is, and what waits still if the
    database was only locked or down: it can be approved again.
    """
    again = isinstance(error, ClearanceRefused) or trouble_of(error) is not None

    def take_back() -> None:
        kept = books.clearances.get(meant.id)
        mine = (kept.approved_by, kept.expires_at) == (by, meant.expires_at)
        if mine or (kept == waited and not again):
            reason = "its approval could not be written down"
            books.clearances.revoke(meant.id, by=SELF, reason=reason)

    books.owed.note(meant.id, take_back)
    said, why = "could not be approved", reason_of(error)
    _write_down(books, entry_of(meant, False, said, by, why, books.clock()))


def revoke(
    books: Books,
    id: str,
    *,
    by: str,
    reason: str | None = None,
    observers: Iterable[Observer] = (),
) -> Grant:
    """Take the clearance `id` back, whatever has become of it, and write down who did.

    Raises what `approve` does, so for one that is revoked already, where nothing is written; one
    that is not written down stays revoked, and is written down when they revoke it again.
    """
    try:
        revoked = books.clearances.revoke(id, by=by, reason=reason, once=True)
    except ClearanceRefused as error:
        if error.code != "revoked_before":
            raise
        raise _revoked_before(books, books.clearances.get(id), by) from None
    _tell(observers, revoked, False, REVOKED, by, reason)
    books.record([entry_of(revoked, False, REVOKED, by, reason, books.clock())])
    return revoked


def _revoked_before(books: Books, grant: Grant, by: str) -> ClearanceRefused:
    """The error for `grant`, which was revoked before: by whom and when."""
    at = revoked_at(books, grant)
    if at is None and grant.revoked_by == by:
        # They were told that it could not be written down.
        books.record([entry_of(grant, False, REVOKED, by, grant.reason, books.clock())])
    return refused(
        "revoked_before",
        id=grant.id,
        by=grant.revoked_by or "an operator",
        at=f" on {told(at)}" if at is not None else "",
        reason=f" ({grant.reason})" if grant.reason else "",
    )


def withdraw(books: Books, grant: Grant, *, by: str, reason: str) -> None:
    """Take back what the run of `grant` did not get, now or soon, and write that down."""
    revoke = partial(books.clearances.revoke, grant.id, by=by, reason=reason)
    books.owed.note(grant.id, revoke)
    _write_down(books, entry_of(grant, False, "taken back", by, reason, books.clock()))


def reason_of(error: BaseException) -> str:
    """Why a clearance could not be given: what refuses it, or that its database failed."""
    return str(error) if isinstance(error, ClearanceRefused) else database_failed(error)


def _write_down(books: Books, said: Decided) -> None:
    """Keep a no: that it can't be kept opens nothing, and is logged."""
    try:
        books.record([said])
    except Exception:
        _log.exception("what became of the clearance of %s can't be recorded", said.run_id)


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
