"""`Grant`: leave to run one plan, as it is kept and as it is exported; and who asks to use it."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from agno_portkey.contracts import Plan
from agno_portkey.errors import ConfigurationError

__all__ = ["LONGEST", "Asking", "Grant", "State", "check_keys", "digest_of_request", "new_id"]

# `waiting` is for a person's approval; `spent` once its run has finished.
State = Literal["waiting", "granted", "claimed", "spent", "revoked"]

# Characters of what is looked up by.
LONGEST = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to run one plan.

    It is good for one team, one tenant and one environment (None: for those that have none), and
    for one session and one user, where it names any. `fingerprint` is that of the team's models,
    prompts, tools and policy; where it is not known the clearance is good only for the run that it
    was given to. `request_digest` is of what the team was asked for. `passed` is False where the
    gate itself has refused the plan, and a person may still grant it. `claimed_by` is the id of the
    Runner's run that uses it; `taken` and `done` hold the numbers of its steps, from 1. Raises
    ConfigurationError for what contradicts itself, and for a time without a zone.
    """

    id: str
    gate: str
    swarm: str | None
    tenant: str | None
    session_id: str | None
    user_id: str | None
    plan: Plan
    plan_digest: str
    fingerprint: str
    issued_at: datetime
    expires_at: datetime
    environment: str | None = None
    passed: bool = True
    team_run_id: str | None = None
    request_digest: str | None = None
    approved_by: str | None = None
    reason: str | None = None
    revoked_by: str | None = None
    claimed_by: str | None = None
    claimed_at: datetime | None = None
    taken: frozenset[int] = frozenset()
    done: frozenset[int] = frozenset()
    state: State = "granted"

    def __post_init__(self) -> None:
        check_keys(self, "id", "gate", "plan_digest")
        _texts(self, "swarm", "tenant", "environment", "session_id", "user_id", "fingerprint")
        _texts(self, "approved_by", "reason", "revoked_by", "request_digest")
        if "." in self.id:
            raise _wrong(self, "id", "one with dots would be taken for a token")
        if not isinstance(self.fingerprint, str) or not isinstance(self.passed, bool):
            raise _wrong(self, "fingerprint, passed", "a text, and True or False, are needed")
        if self.team_run_id is not None:
            check_keys(self, "team_run_id")
        if not isinstance(self.plan, Plan):
            raise _wrong(self, "plan", "a Plan is needed")
        check_time(self, "issued_at")
        check_time(self, "expires_at")
        if self.expires_at <= self.issued_at:
            raise _wrong(self, "expires_at", "it is not after issued_at")
        if self.state not in get_args(State):
            raise _wrong(self, "state", f"one of {', '.join(get_args(State))}")
        self._check_use()

    def _check_use(self) -> None:
        """Its use fits its state: nothing is done before it is claimed."""
        if self.claimed_by is not None:
            check_keys(self, "claimed_by")
            check_time(self, "claimed_at")
        elif self.claimed_at is not None or self.state in ("claimed", "spent"):
            raise _wrong(self, "claimed_by", "it was claimed, and nobody is named")
        if self.claimed_by is not None and self.state in ("waiting", "granted"):
            raise _wrong(self, "claimed_by", f"it is {self.state}, so nobody has claimed it")
        steps = range(1, len(self.plan.steps) + 1)
        for field in ("taken", "done"):
            numbers = getattr(self, field)
            if not isinstance(numbers, frozenset) or not all(_is_in(steps, n) for n in numbers):
                raise _wrong(self, field, f"numbers of steps, from 1 to {len(steps)}")
        if not self.done <= self.taken:
            raise _wrong(self, "done", "a step is done that was never taken")
        if self.taken and self.claimed_by is None:
            raise _wrong(self, "taken", "a step was taken, and nobody has claimed it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who wants to use a clearance, and for what.

    Without `plan_digest` it is for whatever plan the clearance brings. `request` is what the team
    was asked for. Raises ConfigurationError for a run without an id.
    """

    runner_run_id: str
    fingerprint: str
    plan_digest: str | None = None
    swarm: str | None = None
    tenant: str | None = None
    environment: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    team_run_id: str | None = None
    request: str = ""

    def __post_init__(self) -> None:
        check_keys(self, "runner_run_id")
        _texts(self, "swarm", "tenant", "environment", "session_id", "user_id")
        _texts(self, "plan_digest", "fingerprint")
        if self.team_run_id is not None:
            check_keys(self, "team_run_id")


def new_id() -> str:
    """The id of a new clearance."""
    return str(uuid.uuid4())


def digest_of_request(request: str) -> str | None:
    """What tells a request from others, however it is spaced; None where nothing was asked."""
    words = " ".join(request.split())
    return "sha256:" + hashlib.sha256(words.encode(errors="replace")).hexdigest() if words else None


def check_time(owner: Any, field: str) -> None:
    """Refuse what is no time with a zone: it may be another one on another machine."""
    value = getattr(owner, field)
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise _wrong(owner, field, "a time with its zone is needed")


def check_keys(owner: Any, *fields: str) -> None:
    """Texts that are looked up by: not blank, and not too long for a key of any database."""
    for field in fields:
        value = getattr(owner, field)
        if not isinstance(value, str) or not value.strip() or len(value) > LONGEST:
            raise _wrong(owner, field, f"a text of 1 to {LONGEST} characters is needed")
    _texts(owner, *fields)


def _texts(owner: Any, *fields: str) -> None:
    """Texts, or None, that every database and token can hold."""
    for field in fields:
        value = getattr(owner, field)
        if value is not None and not (isinstance(value, str) and _is_plain(value)):
            raise _wrong(owner, field, "a text without NUL and lone surrogates is needed")


def _is_plain(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_in(steps: range, number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number in steps


def _wrong(owner: Any, field: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{type(owner).__name__}.{field}: {what}")
