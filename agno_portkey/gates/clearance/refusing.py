"""Why a clearance is refused: a code and a sentence for each reason, and the order they come in.

A signature comes before what it signs; then whom the clearance is for, so that nobody else learns
what became of it; then what it is for; then its state; and its time last, for only what is right
in all else is worth being granted anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from agno_portkey.errors import ClearanceRefused
from agno_portkey.gates.clearance.record import Asking, Grant

__all__ = ["CODES", "check_fits", "check_in_time", "check_unused", "refused"]

_SENTENCES: Mapping[str, str] = {
    "malformed": "{what} is no clearance ({problem}): let the gate decide anew",
    "unsigned": "the token bears no signature: only a token that was signed by export is taken",
    "forged": "{what} is not as it was issued ({problem}): let the gate decide anew",
    "unknown": "no clearance {id} is known here: the gate has to pass first",
    "other_tenant": "clearance {id} is for the tenant {its}, not for {asked}: ask for one of its "
    "own",
    "other_environment": "clearance {id} is for the environment {its}, not for {asked}: let the "
    "gate decide in this one",
    "other_team": "clearance {id} is for the team {its}, not for {asked}: let that team's gate "
    "decide",
    "other_user": "clearance {id} was given to the user {its}, not to {asked}: they have to ask "
    "themselves",
    "other_session": "clearance {id} is for the session {its}, not for {asked}: let the gate "
    "decide in this one",
    "other_fingerprint": "clearance {id} was given to other models, prompts, tools or policy "
    "({its}, now {asked}): let the gate decide on those of now",
    "other_plan": "clearance {id} is for the plan {its}, not for {asked}: let the gate decide on "
    "this plan",
    "revoked": "clearance {id} was revoked by {by}{reason}: let the gate decide anew",
    "revoked_before": "clearance {id} was revoked before, by {by}{at}{reason}: there is nothing "
    "more to take back",
    "waiting": "clearance {id} waits for a person's approval: have it approved",
    "replayed": "clearance {id} was used by the run {run} at {at}: it is good for one run alone",
    "other_run": "the run {its} holds clearance {id}, and the run {asked} can't use it too: let "
    "the gate decide anew",
    "other_clearance": "the run {run} holds the clearance {its} already: give each run an id of "
    "its own",
    "unclaimed": "clearance {id} was claimed by no run, so none of its steps can be taken",
    "step_taken": "step {number} of clearance {id} {became}: a step is taken once",
    "not_waiting": "clearance {id} is {state}: only one that waits can be approved",
    "no_keys": "no public key is set here to verify tokens with: set keys",
    "busy": "clearance {id} was changed by others each time: try again",
    "not_yet_valid": "clearance {id} is of {at}, which is yet to come: set the clocks of both "
    "machines",
    "expired": "clearance {id} ran out at {at}: let the gate decide anew",
}
# Every code that a ClearanceRefused can bear.
CODES = frozenset(_SENTENCES)


def refused(code: str, **said: object) -> ClearanceRefused:
    """The error for `code`, with what its sentence names."""
    return ClearanceRefused(code, _SENTENCES[code].format(**said))


def check_fits(grant: Grant, asking: Asking) -> None:
    """Refuse who the clearance is not for, and what it is not for.

    A session or user that it does not name may be any; a team, tenant or environment may not. A
    fingerprint that is not known is that of nothing.
    """
    known = bool(grant.fingerprint) and grant.fingerprint == asking.fingerprint
    fits = {
        "other_tenant": (grant.tenant == asking.tenant, grant.tenant, asking.tenant),
        "other_environment": (
            grant.environment == asking.environment,
            grant.environment,
            asking.environment,
        ),
        "other_team": (grant.swarm == asking.swarm, grant.swarm, asking.swarm),
        "other_user": (
            grant.user_id in (None, asking.user_id),
            grant.user_id,
            asking.user_id,
        ),
        "other_session": (
            grant.session_id in (None, asking.session_id),
            grant.session_id,
            asking.session_id,
        ),
        "other_fingerprint": (known, grant.fingerprint, asking.fingerprint),
        "other_plan": (
            asking.plan_digest in (None, grant.plan_digest),
            grant.plan_digest,
            asking.plan_digest,
        ),
    }
    for code, (does, its, asked) in fits.items():
        if not does:
            raise refused(code, id=grant.id, its=its or "(none)", asked=asked or "(none)")


def check_unused(grant: Grant, runner_run_id: str, *, once: bool = False) -> None:
    """Refuse a clearance that the run `runner_run_id` can't use, by its state.

    What another run holds is `replayed` where it was to be used `once`, as tokens are.
    """
    if grant.state == "revoked":
        reason = f" ({grant.reason})" if grant.reason else ""
        raise refused("revoked", id=grant.id, by=grant.revoked_by or "an operator", reason=reason)
    if grant.state == "waiting":
        raise refused("waiting", id=grant.id)
    another = grant.claimed_by not in (None, runner_run_id)
    if grant.claimed_at is not None and (grant.state == "spent" or (another and once)):
        raise refused("replayed", id=grant.id, run=grant.claimed_by, at=_told(grant.claimed_at))
    if another:
        raise refused("other_run", id=grant.id, its=grant.claimed_by, asked=runner_run_id)


def check_in_time(grant: Grant, now: datetime, leeway: float) -> None:
    """Refuse a clearance of the future, and one that has run out.

    A machine whose clock is ahead may issue one that is `leeway` seconds early. Nothing is added
    to its end: there a wrong clock would only make it last longer than it was meant to.
    """
    if (grant.issued_at - now).total_seconds() > leeway:
        raise refused("not_yet_valid", id=grant.id, at=_told(grant.issued_at))
    if now >= grant.expires_at:
        raise refused("expired", id=grant.id, at=_told(grant.expires_at))


def _told(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
