"""Plans that are left for a person to decide on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from agno_portkey.contracts import Plan, digest
from agno_portkey.environments import current
from agno_portkey.gates.clearance import Grant, digest_of_request, new_id
from agno_portkey.gates.history.rows import clean
from agno_portkey.runs import Run

if TYPE_CHECKING:
    from agno_portkey.gates.ending import Ending

__all__ = ["drafted", "leave"]


def drafted(charter: Ending, run: Run, plan: Plan) -> Grant:
    """A clearance of `plan` for what `run` was asked, which nobody holds yet."""
    at = charter.books.clock()
    seconds = min(gate.max_age for gate in charter.gates)
    return Grant(
        id=new_id(),
        gate=charter.name,
        swarm=run.swarm,
        tenant=run.who.tenant,
        environment=current(),
        session_id=run.who.session_id,
        user_id=run.who.user_id,
        plan=plan,
        plan_digest=digest(plan),
        fingerprint=run.fingerprint.digest,
        issued_at=at,
        expires_at=at + timedelta(seconds=seconds),
        team_run_id=run.id,
        request_digest=digest_of_request(run.request),
        state="granted",
    )


def leave(charter: Ending, run: Run, plan: Plan, *, passed: bool, reason: str | None = None) -> str:
    """Leave `plan` of `run` for a person to decide on; returns the id of its row."""
    if run.mode != "enforce":
        return "-"
    books, waiting = charter.books, run.waiting
    if (known := waiting.get(digest(plan))) is not None:
        if known[1] is passed and books.clearances.get(known[0]).state != "revoked":
            return known[0]
        again = "the gates have decided on it again"
        books.clearances.revoke(known[0], by=charter.name, reason=again)
    # The reason may quote a model, and not every character can be kept.
    left = replace(
        drafted(charter, run, plan), state="waiting", passed=passed, reason=clean(reason)
    )
    books.clearances.put(left)
    waiting[left.plan_digest] = (left.id, passed)
    return left.id
