"""What people decide is kept with the gate's own decisions, or taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clearance_scene import a_grant
from sqlalchemy import create_engine, text

from agno_portkey import Event
from agno_portkey.errors import ClearanceRefused, ConfigurationError
from agno_portkey.gates.approving import approve, revoke
from agno_portkey.gates.books import books_of
from agno_portkey.gates.clearance import Clearances, Grant
from agno_portkey.gates.history import History

NOW = datetime.now(UTC)


def waiting(database: str, **given: Any) -> Grant:
    times = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}
    grant = a_grant(state="waiting", **{**times, **given})
    Clearances(database).put(grant)
    return grant


def test_an_approval_is_granted_kept_and_told(database: str) -> None:
    grant, told = waiting(database), list[Event]()
    given = approve(
        books_of(database), grant.id, by="ann", reason="looks right", observers=[told.append]
    )
    assert (given.state, given.approved_by) == ("granted", "ann")
    [kept] = History(database).series()
    assert (kept.by, kept.passed, kept.gate) == ("ann", True, grant.gate)
    assert kept.reasons == ("approved by ann", "looks right")
    assert (kept.run_id, kept.session_id, kept.tenant) == (grant.team_run_id, "s1", "acme")
    assert kept.evidence == {"plan": grant.plan_digest}
    [event] = told
    assert (event.kind, event.data["override"]) == ("approval", False)
    assert event.verdict is not None
    assert (event.data["clearance"], event.data["by"]) == (grant.id, "ann")


def test_what_the_gate_refused_takes_an_override_with_a_reason(database: str) -> None:
    grant = waiting(database, passed=False, reason="its score is 3")
    for empty in (None, "  "):
        with pytest.raises(ConfigurationError, match="reason"):
            approve(books_of(database), grant.id, by="ann", reason=empty)
    assert Clearances(database).get(grant.id).state == "waiting"
    assert History(database).series() == []
    told = list[Event]()
    approve(books_of(database), grant.id, by="ann", reason="hotfix", observers=[told.append])
    [kept] = History(database).series()
    assert kept.reasons == ("approved against the gate by ann", "hotfix")
    assert told[0].data["override"] is True


def test_it_lasts_as_long_as_is_said(database: str) -> None:
    grant = waiting(database)
    given = approve(books_of(database), grant.id, by="ann", max_age=60)
    assert given.expires_at <= datetime.now(UTC) + timedelta(seconds=60)


def test_what_does_not_wait_can_not_be_approved(database: str) -> None:
    grant = waiting(database)
    approve(books_of(database), grant.id, by="ann")
    with pytest.raises(ClearanceRefused, match="only one that waits"):
        approve(books_of(database), grant.id, by="bob")
    assert [each.by for each in History(database).series()] == ["ann"]


def test_a_leave_that_is_taken_back_is_kept_as_such(database: str) -> None:
    grant = waiting(database)
    approve(books_of(database), grant.id, by="ann")
    books, told = books_of(database), list[Event]()
    taken = revoke(books, grant.id, by="bob", reason="wrong one", observers=[told.append])
    assert taken.state == "revoked"
    [event] = told
    assert (event.kind, event.data["by"], event.data["override"]) == ("approval", "bob", False)
    assert event.verdict is not None
    assert (event.verdict.passed, event.verdict.reasons) == (False, ("revoked by bob", "wrong one"))
    *_, kept = History(database).series()
    assert (kept.by, kept.passed, kept.outcome) == ("bob", False, "fail")
    assert kept.reasons == ("revoked by bob", "wrong one")


def test_an_approval_that_can_not_be_kept_is_taken_back(database: str) -> None:
    grant = waiting(database)
    # A table of that name that can't take the row.
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for schema in ("", "ai."):
            if schema and engine.dialect.name == "sqlite":
                continue
            if schema:
                connection.execute(text("CREATE SCHEMA IF NOT EXISTS ai"))
            connection.execute(text(f"CREATE TABLE {schema}agno_eval_runs (other TEXT)"))
    engine.dispose()
    with pytest.raises(Exception):  # noqa: B017, PT011 - of whatever kind
        approve(books_of(database), grant.id, by="ann")
    assert Clearances(database).get(grant.id).state == "revoked"
