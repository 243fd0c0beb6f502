"""`Clearances`: puts, approves, claims and revokes clearances, each change compared and set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_args

from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.clearance.record import Asking, Grant, State, digest_of_request
from agno_portkey.gates.clearance.refusing import (
    check_fits,
    check_in_time,
    check_unused,
    refused,
)
from agno_portkey.gates.clearance.row import Row, altered, check_digest, packed, readable, unpacked
from agno_portkey.gates.clearance.store import store_of

__all__ = ["Clearances", "MemoryClearances", "check_age"]

# Each time that a change is not made, somebody else's was.
_TRIES = 100
# Seconds in a hundred years.
_OLDEST = 100 * 365 * 24 * 3600


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Clearances:
    """The clearances of one database, or of this process where `database` is None.

    `database` is an Agno database on SQL or an address; processes that share it share them, and a
    claim or step that two of them take at once is given to one. `leeway` is how many seconds the
    clocks of machines may differ, `timeout` how long a lock is waited for, `clock` tells the time
    where `now` is not given. Each method blocks. What a clearance is not good for raises
    ClearanceRefused, a database that can't be read DatabaseGone or SQLAlchemy's errors.
    """

    def __init__(
        self,
        database: Any = None,
        *,
        leeway: float = 60.0,
        timeout: float = 10.0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._store = store_of(database, timeout)
        self.leeway, self.clock = leeway, clock
        # Where they are: for people, without a password; and the address, None of this process.
        self.place, self.url = self._store.place, self._store.url

    # Giving

    def put(self, grant: Grant) -> None:
        """Keep a new clearance, which may be claimed already; kept again it is left as it is.

        A run that holds another one is refused.
        """
        row = packed(grant)
        if self._store.insert(row) or self._store.get(grant.id) == row:
            return
        if grant.claimed_by is not None:
            self._check_free(grant.claimed_by, grant.id)
        raise ConfigurationError(f"a clearance {grant.id} is kept already, and is another one")

    def get(self, id: str) -> Grant:
        return self._kept(id)[1]

    def of_swarm(self, swarm: str) -> list[Grant]:
        """All that are kept for a team, whatever became of them, the newest first."""
        grants = readable(self._store.rows(swarm=swarm))
        return sorted(grants, key=lambda grant: grant.issued_at, reverse=True)

    def of_plan(
        self, plan_digest: str, whose: Mapping[str, str | None], **same: str
    ) -> list[Grant]:
        """Those of that plan, of any state, that are for the very same: fields and their values.

        `same` are columns that hold what they say. A row that was altered is passed over.
        """
        rows = self._store.rows(plan_digest=plan_digest, **same)
        return [
            grant
            for grant in readable(rows)
            if all(getattr(grant, name) == value for name, value in whose.items())
        ]

    def waiting(self, swarm: str | None = None, now: datetime | None = None) -> list[Grant]:
        """What waits for a person and has not run out, of every team or of one, oldest first.

        A row that was altered is passed over, here and in `approved`: it must not hold up all
        others. `altered` tells of those that say they wait.
        """
        now = self._now(now)
        grants = readable(self._store.rows(state="waiting"))
        grants.sort(key=lambda grant: grant.issued_at)
        return [
            grant for grant in grants if now < grant.expires_at and swarm in (None, grant.swarm)
        ]

    def altered(self) -> list[str]:
        """What is wrong with the rows that `waiting` passes over, a sentence for each."""
        return altered(self._store.rows(state="waiting"))

    def approve(
        self,
        id: str,
        *,
        by: str,
        reason: str | None = None,
        now: datetime | None = None,
        max_age: float | None = None,
    ) -> Grant:
        """Grant what has waited, for `max_age` seconds from now on if that is given.

        What the gate has refused needs a reason.
        """
        now = self._now(now)
        _check_named("by", by)
        if max_age is not None:
            check_age("max_age", max_age)

        def approved(grant: Grant) -> Grant:
            if grant.state != "waiting":
                raise refused("not_waiting", id=id, state=grant.state)
            check_in_time(grant, now, self.leeway)
            if not grant.passed:
                _check_named("reason", reason)
            until = grant.expires_at if max_age is None else now + timedelta(seconds=max_age)
            return replace(
                grant,
                state="granted",
                approved_by=by,
                reason=reason or grant.reason,
                expires_at=until,
            )

        return self._change(id, approved)

    def revoke(self, id: str, *, by: str, reason: str | None = None, once: bool = False) -> Grant:
        """Take a clearance back, whatever has become of it; its run may do no more.

        One that is revoked stays as it is, and is refused where it is to be so `once`.
        """
        _check_named("by", by)

        def revoked(grant: Grant) -> Grant:
            if grant.state == "revoked":
                if once:
                    who, why = grant.revoked_by or "an operator", grant.reason
                    more = f" ({why})" if why else ""
                    raise refused("revoked_before", id=id, by=who, at="", reason=more)
                return grant
            return replace(grant, state="revoked", revoked_by=by, reason=reason)

        return self._change(id, revoked)

    # Using

    def approved(self, asking: Asking, now: datetime | None = None) -> Grant | None:
        """The newest clearance for who asks that a person has approved and nobody has claimed.

        For the asking run's plan, or where it has none for a request that is the same or names it.
        """
        now = self._now(now)
        if not asking.fingerprint:
            return None
        rows = self._store.rows(state="granted", fingerprint=asking.fingerprint)
        found = [
            grant
            for grant in readable(rows)
            if grant.approved_by is not None
            # Unasked for it is taken by those alone whom it was left for.
            and (grant.session_id, grant.user_id) == (asking.session_id, asking.user_id)
            and (asking.plan_digest is not None or _is_asked_for(grant, asking))
            and self._is_good(grant, asking, now)
        ]
        return max(found, key=lambda grant: grant.issued_at, default=None)

    def claim(
        self, id: str, asking: Asking, now: datetime | None = None, *, look: bool = False
    ) -> Grant:
        """Give the clearance to the asking run, once; to the same run again as often as it asks.

        It is then a clearance of the team run that asks. With `look` it is told as it would be
        given, and stays as it is.
        """
        now = self._now(now)

        def claimed(grant: Grant) -> Grant:
            check_fits(grant, asking)
            check_unused(grant, asking.runner_run_id)
            return self._claimed(grant, asking, now)

        return claimed(self._kept(id)[1]) if look else self._change(id, claimed)

    def admit(
        self, grant: Grant, asking: Asking, now: datetime | None = None, *, look: bool = False
    ) -> Grant:
        """Give what `verify` made of a token to the asking run, once in all that share these.

        It counts as used wherever a row bears its id. Such a row may be bound to a session and
        user that the token, which is signed, leaves open. `look` is that of `claim`.
        """
        now = self._now(now)
        check_digest(grant)
        check_fits(grant, asking)
        check_unused(grant, asking.runner_run_id, once=True)
        given = self._claimed(grant, asking, now)
        if look and self._store.get(grant.id) is None:
            return given
        if not look and self._store.insert(packed(given)):
            return given
        self._check_free(asking.runner_run_id, grant.id)

        def claimed(kept: Grant) -> Grant:
            if _leave(kept) != _leave(grant):
                raise refused(
                    "forged", what=f"the token {grant.id}", problem="another is kept by its id"
                )
            check_unused(kept, asking.runner_run_id, once=True)
            return self._claimed(kept, asking, now)

        return claimed(self._kept(grant.id)[1]) if look else self._change(grant.id, claimed)

    def held_by(self, runner_run_id: str, now: datetime | None = None) -> Grant | None:
        """The clearance of the Runner's run, claimed or spent, in any process; None without one.

        Refused where it was revoked, or has run out.
        """
        row = self._store.by_run(runner_run_id)
        rows = [] if row is None else [row]
        return self._held(rows, "claimed_by", runner_run_id, self._now(now))

    def of_team_run(self, team_run_id: str, now: datetime | None = None) -> Grant | None:
        """The clearance that was last claimed in the team run, as `held_by` gives it."""
        rows = self._store.rows(team_run_id=team_run_id)
        return self._held(rows, "team_run_id", team_run_id, self._now(now))

    def take_step(self, id: str, number: int, now: datetime | None = None) -> Grant:
        """Begin step `number` of the plan, counted from 1; it is taken once in all processes.

        A step whose process ended before it was finished or released stays taken.
        """
        now = self._now(now)

        def taken(grant: Grant) -> Grant:
            check_unused(grant, grant.claimed_by or "")
            if grant.claimed_by is None:
                raise refused("unclaimed", id=id)
            check_in_time(grant, now, self.leeway)
            if number in grant.taken:
                became = "is done" if number in grant.done else "was taken, and is not done"
                raise refused("step_taken", id=id, number=number, became=became)
            return replace(grant, taken=grant.taken | {number})

        return self._change(id, taken)

    def finish_step(self, id: str, number: int) -> Grant:
        """Note that a step which was taken is done, whatever became of the clearance since."""
        return self._change(id, lambda grant: replace(grant, done=grant.done | {number}))

    def release_step(self, id: str, number: int) -> Grant:
        """Leave a step that was taken and has failed to be taken again."""
        return self._change(
            id, lambda grant: replace(grant, taken=grant.taken - ({number} - grant.done))
        )

    def spend(self, id: str) -> Grant:
        """Use the clearance up: its run has finished."""

        def spent(grant: Grant) -> Grant:
            if grant.state == "spent":
                return grant
            check_unused(grant, grant.claimed_by or "")
            if grant.claimed_by is None:
                raise refused("unclaimed", id=id)
            return replace(grant, state="spent")

        return self._change(id, spent)

    # From where a team had no database yet

    def take_over(self, earlier: Clearances) -> None:
        """Keep what `earlier` holds here as well; what was used there is used here."""
        for row in earlier._store.rows():
            if not self._store.insert(row):
                grant = unpacked(row)
                self._change(grant.id, partial(_further, grant))

    # What they have in common

    def _claimed(self, grant: Grant, asking: Asking, now: datetime) -> Grant:
        """`grant` as claimed by the asking run, which may hold no other."""
        check_in_time(grant, now, self.leeway)
        if grant.state == "claimed":
            return grant
        run = asking.runner_run_id
        self._check_free(run, grant.id)
        return replace(
            grant,
            state="claimed",
            claimed_by=run,
            claimed_at=now,
            team_run_id=asking.team_run_id or grant.team_run_id,
            # From here on it is theirs, whoever could have claimed it.
            session_id=grant.session_id or asking.session_id,
            user_id=grant.user_id or asking.user_id,
        )

    def _check_free(self, run: str, id: str) -> None:
        if (held := self._store.by_run(run)) is not None and held["id"] != id:
            raise refused("other_clearance", run=run, its=held["id"])

    def _is_good(self, grant: Grant, asking: Asking, now: datetime) -> bool:
        try:
            check_fits(grant, asking)
            check_in_time(grant, now, self.leeway)
        except ClearanceRefused:
            return False
        return True

    def _held(self, rows: Iterable[Row], column: str, run_id: str, now: datetime) -> Grant | None:
        # A database may take other texts for equal.
        grants = [grant for grant in map(unpacked, rows) if getattr(grant, column) == run_id]
        claimed = [(grant.claimed_at, grant) for grant in grants if grant.claimed_at is not None]
        if not claimed:
            return None
        _, held = max(claimed, key=lambda each: each[0])
        if held.state == "revoked":
            check_unused(held, held.claimed_by or "")
        check_in_time(held, now, self.leeway)
        return held

    def _change(self, id: str, change: Callable[[Grant], Grant]) -> Grant:
        """Set what `change` makes of the clearance, if it is still the one that was looked at."""
        for _ in range(_TRIES):
            row, grant = self._kept(id)
            changed = change(grant)
            if changed == grant or self._store.swap(row, packed(changed)):
                return changed
        raise refused("busy", id=id)

    def _kept(self, id: str) -> tuple[Any, Grant]:
        row = self._store.get(id)
        if row is None or row["id"] != id:
            raise refused("unknown", id=id)
        return row, unpacked(row)

    def _now(self, now: datetime | None) -> datetime:
        now = self.clock() if now is None else now
        if now.utcoffset() is None:
            raise ConfigurationError("now: a time with its zone is needed")
        return now


class MemoryClearances(Clearances):
    """The clearances of a team that has no database: nobody outside this process sees them."""

    def __init__(self, *, leeway: float = 60.0, clock: Callable[[], datetime] = _utc_now) -> None:
        super().__init__(None, leeway=leeway, clock=clock)


def check_age(where: str, seconds: float) -> None:
    """Refuse what no clearance can last: the end of it has to be a time."""
    if not 0 < seconds <= _OLDEST:
        raise ConfigurationError(
            f"{where}: seconds above 0, at most {_OLDEST} (a hundred years), not {seconds!r}"
        )


def _check_named(what: str, said: object) -> None:
    """Refuse a decision of nobody, and an override without a ground."""
    if not isinstance(said, str) or not said.strip():
        raise ConfigurationError(f"{what}: a text is needed")


def _is_asked_for(grant: Grant, asking: Asking) -> bool:
    """Whether what its plan was made for is asked again, or the clearance itself is asked for."""
    if grant.id in asking.request:
        return True
    asked = digest_of_request(asking.request)
    return asked is not None and asked == grant.request_digest


def _further(earlier: Grant, kept: Grant) -> Grant:
    """Of two that bear one id the one with which more has been done."""
    states = get_args(State)
    return earlier if states.index(earlier.state) > states.index(kept.state) else kept


def _leave(grant: Grant) -> tuple[Any, ...]:
    """What a token and a row of one id have to agree on."""
    whom = (grant.id, grant.gate, grant.swarm, grant.tenant, grant.environment)
    return (*whom, grant.plan_digest, grant.fingerprint)
