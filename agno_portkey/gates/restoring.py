"""Runs of another process, known again by the clearance that is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_portkey.environments import current
from agno_portkey.gates.clearance.refusing import refused
from agno_portkey.runs import Fingerprint, Station, Steps, Who

if TYPE_CHECKING:
    from agno_portkey.gates.charter import Charter
    from agno_portkey.gates.clearance import Grant

__all__ = ["restored"]


def restored(charter: Charter, run_id: str) -> Station | None:
    """The station of a run that was cleared elsewhere, or before this process began.

    `run_id` is the Runner's or its team's. It goes on with the steps that are open. What can't be
    read is unknown, and refused as such; who asks says why.
    """
    books, now = charter.books, charter.books.clock()
    # What this process has dropped and could not note yet is still as it was there.
    books.owed.settle()
    held = books.clearances.held_by(run_id, now) or books.clearances.of_team_run(run_id, now)
    if held is None or charter.runs.find(held.team_run_id) is not None:
        # A team run that is known here has a clearance of its own, or none.
        return None
    latest = books.clearances.of_team_run(str(held.team_run_id), now)
    if latest is None or latest.id != held.id:
        return None
    now_is = charter.fingerprint_now() if charter.fingerprint_now is not None else None
    if now_is is not None and now_is.digest != held.fingerprint:
        raise charter.refusal(
            None, "models, prompts, tools or policy were changed since it was cleared"
        )
    return _known_again(charter, held, run_id, now_is)


def _known_again(
    charter: Charter, held: Grant, run_id: str, now_is: Fingerprint | None
) -> Station | None:
    runs = charter.runs
    if held.swarm != charter.swarm or held.team_run_id is None or held.claimed_by is None:
        return None
    if held.environment != (own := current()):
        its, asked = held.environment or "(none)", own or "(none)"
        raise refused("other_environment", id=held.id, its=its, asked=asked)
    run = charter.open(held.team_run_id, held.swarm or "")
    with run.lock:
        # What it leaves for a person to decide on is for the same session and user.
        run.who = Who(held.session_id, held.user_id, held.tenant)
        run.fingerprint = now_is or Fingerprint(held.fingerprint)
        run.propose(held.plan)
        run.clear(held.claimed_by, id=held.id, expires_at=held.expires_at)
        run.steps = Steps(held.plan, {*held.taken}, {*held.done})
        run.spent = held.state == "spent"
    runs.join(held.claimed_by, run, "runner", None)
    # What they were asked for when they began is marked in what is stored of them.
    run.begun.clear()
    return runs.find(run_id)
