"""What people have said of a plan before, in the same session: the newest word is what holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agno_portkey.environments import current
from agno_portkey.gates.books import GATE, SELF

if TYPE_CHECKING:
    from agno_portkey.gates.books import Books
    from agno_portkey.gates.clearance import Grant
    from agno_portkey.gates.history import Decided
    from agno_portkey.runs import Run

__all__ = ["APPROVED", "OVERRIDDEN", "REVOKED", "Word", "newest_word", "revoked_at", "told"]

# How the first reason of what a person decides begins, before " by " and who it was.
APPROVED, OVERRIDDEN, REVOKED = "approved", "approved against the gate", "revoked"


@dataclass(frozen=True, slots=True)
class Word:
    """Somebody's yes or no to a plan; `at` is None where nothing has kept the time."""

    no: bool
    by: str
    at: datetime | None = None
    reason: str | None = None

    def __str__(self) -> str:
        said = "no" if self.no else "yes"
        when = f" on {told(self.at)}" if self.at is not None else ""
        return f"{self.by} said {said} to this very plan{when}" + (
            f" ({self.reason})" if self.reason else ""
        )


def newest_word(books: Books, run: Run, plan: str, gate: str) -> Word | None:
    """The newest word of a person on the plan with this digest, if anybody has said no to it.

    It was said of a clearance for the same session, user, team, tenant and environment as `run`.
    What the gate, whose name is `gate`, takes back by itself is no word. Blocks, and raises
    whatever the database raises.
    """
    whose = {
        "swarm": run.swarm,
        "tenant": run.who.tenant,
        "environment": current(),
        "session_id": run.who.session_id,
        "user_id": run.who.user_id,
    }
    kept = books.clearances.of_plan(plan, whose, state="revoked")
    noes = [grant for grant in kept if _is_a_persons(grant, gate)]
    if not noes:
        return None
    since = min(grant.issued_at for grant in noes)
    words = [*_told_since(books, run, plan, since)]
    if words:
        return max(words, key=lambda word: word.at or since)
    # Nothing has kept the times: the word on the newer clearance is the newer one.
    every = books.clearances.of_plan(plan, whose)
    # The gate may have taken back since what a person had approved.
    yeses = [grant for grant in every if grant.approved_by and grant not in noes]
    newest = max([*noes, *yeses], key=lambda grant: grant.issued_at)
    if newest in noes:
        return Word(True, str(newest.revoked_by), reason=newest.reason)
    return Word(False, str(newest.approved_by))


def revoked_at(books: Books, grant: Grant) -> datetime | None:
    """When `grant` was taken back by who has done so, as far as the history tells."""
    if books.history is None:
        return None
    since = grant.issued_at - timedelta(seconds=books.clearances.leeway)
    kept = books.history.series(plan=grant.plan_digest, since=since, limit=None)
    times = [
        each.at
        for each in kept
        if (each.run_id, each.by) == (grant.team_run_id, grant.revoked_by)
        and (word := _word(each)) is not None
        and word.no
    ]
    return max(times, default=None)


def told(at: datetime) -> str:
    """A time for people."""
    return f"{at.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"


def _told_since(books: Books, run: Run, plan: str, since: datetime) -> Iterator[Word]:
    """What people have said of the plan since then, by the history."""
    if books.history is None:
        return
    # The clock of who decides may be behind that of who has asked.
    since -= timedelta(seconds=books.clearances.leeway)
    whose = (run.swarm, run.who.tenant, run.who.session_id, run.who.user_id)
    for each in books.history.series(plan=plan, since=since, limit=None):
        its = (each.swarm, each.tenant, each.session_id, each.user_id)
        if its == whose and (word := _word(each)) is not None:
            yield word


def _word(decided: Decided) -> Word | None:
    """What a person has said, where it was a person who decided."""
    if decided.by is None or not decided.reasons:
        return None
    first, *more = decided.reasons
    said = first.removesuffix(f" by {decided.by}")
    if said == first or said not in (APPROVED, OVERRIDDEN, REVOKED):
        return None
    return Word(said == REVOKED, decided.by, decided.at, more[0] if more else None)


def _is_a_persons(grant: Grant, gate: str) -> bool:
    return grant.revoked_by not in (None, grant.gate, gate, GATE, SELF)
