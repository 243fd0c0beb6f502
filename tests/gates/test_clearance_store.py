"""Clearances wherever they are kept: given, claimed once, used up; and every way to be refused."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from clearance_scene import HOUR, NOW, OTHER, PLAN, a_grant, an_asking, grants
from hypothesis import given
from hypothesis import strategies as st
from postgres_server import PostgresServer
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from agno_portkey.contracts import digest
from agno_portkey.errors import ClearanceRefused, ConfigurationError, DatabaseGone
from agno_portkey.gates.clearance import (
    CODES,
    Asking,
    Clearances,
    Grant,
    digest_of_request,
)
from agno_portkey.gates.clearance.refusing import check_fits, refused
from agno_portkey.gates.clearance.row import packed, unpacked

SECOND = timedelta(seconds=1)


def refusal(code: str, call: Callable[[], object]) -> str:
    """What a refusal with `code` says."""
    with pytest.raises(ClearanceRefused) as caught:
        call()
    assert (caught.value.code, str(caught.value)) == (code, str(caught.value))
    return str(caught.value)


# Given, claimed, used up


def test_a_clearance_is_claimed_once_and_by_the_same_run_again(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    assert clearances.get(grant.id) == grant
    claimed = clearances.claim(grant.id, an_asking("r1", team_run_id="t1"), NOW)
    assert claimed == replace(
        grant, state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t1"
    )
    later = NOW + HOUR / 2
    assert clearances.claim(grant.id, an_asking("r1"), later) == claimed
    assert clearances.held_by("r1", later) == claimed
    assert clearances.of_team_run("t1", later) == claimed
    assert clearances.held_by("r2", later) is None
    assert clearances.of_team_run("t2", later) is None
    said = refusal("other_run", lambda: clearances.claim(grant.id, an_asking("r2"), later))
    assert "r1" in said
    assert "r2" in said


def test_steps_are_taken_once_and_the_clearance_is_used_up(clearances: Clearances) -> None:
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t1")
    clearances.put(grant)
    assert clearances.take_step(grant.id, 1).taken == {1}
    refusal("step_taken", lambda: clearances.take_step(grant.id, 1))
    assert clearances.release_step(grant.id, 1).taken == set()
    clearances.take_step(grant.id, 1)
    assert clearances.finish_step(grant.id, 1).done == {1}
    assert clearances.release_step(grant.id, 1).taken == {1}
    assert "is done" in refusal("step_taken", lambda: clearances.take_step(grant.id, 1))
    for number in (0, 3, True):
        with pytest.raises((ConfigurationError, ClearanceRefused)):
            clearances.take_step(grant.id, number)
    with pytest.raises(ConfigurationError, match="never taken"):
        clearances.finish_step(grant.id, 2)
    spent = clearances.spend(grant.id)
    assert clearances.spend(grant.id) == spent == clearances.held_by("r1")
    assert spent.state == "spent"
    refusal("replayed", lambda: clearances.take_step(grant.id, 2))
    for run in ("r1", "r2"):
        said = refusal("replayed", lambda run=run: clearances.claim(grant.id, an_asking(run)))
        assert "used by the run r1 at 2026-03-01 12:00:00 UTC" in said


def test_the_last_clearance_of_a_team_run_is_its_own(clearances: Clearances) -> None:
    first = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t")
    second = a_grant(
        state="claimed", claimed_by="r2", claimed_at=NOW + SECOND, team_run_id="t", plan=OTHER
    )
    waiting = a_grant(state="waiting", team_run_id="t")
    for grant in (first, second, waiting):
        clearances.put(grant)
    assert clearances.of_team_run("t") == second


def test_a_run_holds_one_clearance(clearances: Clearances) -> None:
    first, second = a_grant(), a_grant()
    clearances.put(first)
    clearances.put(second)
    clearances.claim(first.id, an_asking("r1"))
    said = refusal("other_clearance", lambda: clearances.claim(second.id, an_asking("r1")))
    assert first.id in said
    third = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW)
    refusal("other_clearance", lambda: clearances.put(third))
    refusal("other_clearance", lambda: clearances.admit(a_grant(), an_asking("r1")))
    assert clearances.held_by("r1") == clearances.get(first.id)


def test_what_is_put_again_is_left_as_it_is(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    clearances.put(grant)
    with pytest.raises(ConfigurationError, match="is another one"):
        clearances.put(replace(grant, session_id=None))
    clearances.claim(grant.id, an_asking())
    with pytest.raises(ConfigurationError, match="is another one"):
        clearances.put(grant)
    assert clearances.get(grant.id).state == "claimed"


# A person's approval


def test_a_plan_waits_for_a_person_over_night(clearances: Clearances) -> None:
    morning = NOW + HOUR / 2
    grant = a_grant(state="waiting", request_digest=digest_of_request("Ship 2.1"))
    clearances.put(grant)
    old = {"issued_at": NOW - SECOND, "expires_at": NOW + SECOND}
    clearances.put(a_grant(state="waiting", swarm="Other", **old))
    assert [each.swarm for each in clearances.waiting()] == ["Other", "Release"]
    assert clearances.waiting(now=morning) == [grant] == clearances.waiting("Release")
    assert "approved" in refusal("waiting", lambda: clearances.claim(grant.id, an_asking()))
    assert clearances.approved(an_asking(), morning) is None
    approved = clearances.approve(grant.id, by="ann", now=morning, max_age=7200)
    assert (approved.state, approved.approved_by) == ("granted", "ann")
    assert approved.expires_at == morning + 2 * HOUR
    assert clearances.waiting("Release") == []
    said = refusal("not_waiting", lambda: clearances.approve(grant.id, by="bob", now=morning))
    assert "is granted" in said
    planless = an_asking(plan_digest=None)
    for asked, found in {
        "Ship 2.1": approved,
        "\tShip\n2.1 ": approved,
        f"run {grant.id}, please": approved,
        "Ship 2.2": None,
        "": None,
    }.items():
        assert clearances.approved(replace(planless, request=asked), morning) == found
    assert clearances.claim(grant.id, an_asking(plan_digest=None), morning).claimed_by == "r1"
    assert clearances.approved(an_asking(), morning) is None


def test_only_the_newest_approval_that_fits_is_found(clearances: Clearances) -> None:
    old = a_grant(state="waiting", issued_at=NOW - SECOND)
    new = a_grant(state="waiting")
    late = a_grant(state="waiting", issued_at=NOW - HOUR, expires_at=NOW + SECOND)
    nobody_approved = a_grant(issued_at=NOW + SECOND)
    for grant in (old, new, late, nobody_approved):
        clearances.put(grant)
    for grant in (old, new, late):
        clearances.approve(grant.id, by="ann")
    found = clearances.approved(an_asking())
    assert found is not None
    assert found.id == new.id
    assert clearances.approved(an_asking(), NOW + 2 * HOUR) is None
    for field in ("swarm", "tenant", "session_id", "user_id", "plan_digest", "fingerprint"):
        assert clearances.approved(replace(an_asking(), **{field: "another"})) is None
    assert clearances.approved(an_asking(fingerprint="")) is None


def test_who_approves_is_named_and_an_override_has_a_reason(clearances: Clearances) -> None:
    grant = a_grant(state="waiting", passed=False, reason="score 5 under 8")
    clearances.put(grant)
    for by, reason in (("", "why"), (" ", "why"), (None, "why"), ("ann", None), ("ann", " ")):
        with pytest.raises(ConfigurationError, match="a text is needed"):
            clearances.approve(grant.id, by=by, reason=reason)  # type: ignore[arg-type]
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match="max_age"):
            clearances.approve(grant.id, by="ann", reason="urgent", max_age=seconds)
    refusal("expired", lambda: clearances.approve(grant.id, by="a", reason="b", now=NOW + HOUR))
    assert clearances.get(grant.id) == grant
    assert clearances.approve(grant.id, by="ann", reason="urgent").reason == "urgent"


def test_what_is_revoked_ends_whatever_has_become_of_it(clearances: Clearances) -> None:
    for grant in (
        a_grant(state="waiting"),
        a_grant(),
        a_grant(state="claimed", claimed_by="r7", claimed_at=NOW),
    ):
        clearances.put(grant)
        with pytest.raises(ConfigurationError):
            clearances.revoke(grant.id, by="")
        revoked = clearances.revoke(grant.id, by="ann", reason="wrong target")
        assert clearances.revoke(grant.id, by="bob") == revoked
        said = refusal("revoked", lambda grant=grant: clearances.claim(grant.id, an_asking("r7")))
        assert "by ann (wrong target)" in said
        refusal("revoked", lambda grant=grant: clearances.take_step(grant.id, 1))
        refusal("revoked", lambda grant=grant: clearances.spend(grant.id))
    refusal("revoked", lambda: clearances.held_by("r7"))


# Refused


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("other_tenant", {}, {"tenant": "evil"}),
    ("other_tenant", {}, {"tenant": None}),
    ("other_tenant", {"tenant": None}, {}),
    ("other_team", {}, {"swarm": "Other"}),
    ("other_team", {"swarm": None}, {}),
    ("other_user", {}, {"user_id": "eve"}),
    ("other_user", {}, {"user_id": None}),
    ("other_session", {}, {"session_id": "s2"}),
    ("other_session", {}, {"session_id": None}),
    ("other_fingerprint", {}, {"fingerprint": "sha256:f2"}),
    ("other_fingerprint", {"fingerprint": ""}, {"fingerprint": ""}),
    ("other_plan", {}, {"plan_digest": digest(OTHER)}),
    ("revoked", {"state": "revoked"}, {}),
    ("waiting", {"state": "waiting"}, {}),
    ("other_run", {"state": "claimed", "claimed_by": "r9", "claimed_at": NOW}, {}),
    ("replayed", {"state": "spent", "claimed_by": "r9", "claimed_at": NOW}, {}),
    ("replayed", {"state": "spent", "claimed_by": "r1", "claimed_at": NOW}, {}),
    ("not_yet_valid", {"issued_at": NOW + 61 * SECOND}, {}),
    ("expired", {"issued_at": NOW - HOUR, "expires_at": NOW}, {}),
]


@pytest.mark.parametrize(("code", "granted", "asked"), REFUSED)
def test_each_refusal_has_its_own_code(
    code: str, granted: dict[str, Any], asked: dict[str, Any], clearances: Clearances
) -> None:
    grant = a_grant(**granted)
    clearances.put(grant)
    said = refusal(code, lambda: clearances.claim(grant.id, an_asking(**asked)))
    assert grant.id in said
    assert clearances.get(grant.id) == grant


def test_what_is_not_there_is_unknown(clearances: Clearances) -> None:
    calls: list[Callable[[], object]] = [
        lambda: clearances.get("x"),
        lambda: clearances.claim("x", an_asking()),
        lambda: clearances.take_step("x", 1),
        lambda: clearances.spend("x"),
        lambda: clearances.approve("x", by="ann"),
        lambda: clearances.revoke("x", by="ann"),
    ]
    for put in (None, a_grant()):
        if put is not None:
            clearances.put(put)
        for call in calls:
            assert "no clearance x is known here" in refusal("unknown", call)


def test_what_nobody_claimed_has_no_steps(clearances: Clearances) -> None:
    grant = a_grant()
    clearances.put(grant)
    refusal("unclaimed", lambda: clearances.take_step(grant.id, 1))
    refusal("unclaimed", lambda: clearances.spend(grant.id))
    assert clearances.get(grant.id) == grant


def test_each_code_has_a_sentence_of_its_own() -> None:
    said = {
        code: str(
            refused(
                code,
                **dict.fromkeys(
                    ("id", "its", "asked", "what", "problem", "by", "reason", "run", "at"), "X"
                ),
                **dict.fromkeys(("number", "became", "state"), "X"),
            )
        )
        for code in CODES
    }
    assert len(set(said.values())) == len(CODES)
    assert {
        *("replayed", "other_run", "other_session", "other_team", "other_tenant", "other_user"),
        *("expired", "not_yet_valid", "forged", "unsigned", "other_fingerprint", "other_plan"),
        *("revoked", "waiting", "unknown", "malformed"),
    } <= CODES
    # Each says what to do, or why nothing can be done.
    assert all(":" in sentence or code == "unclaimed" for code, sentence in said.items())


def test_a_refusal_survives_a_process() -> None:
    error = pickle.loads(pickle.dumps(refused("unsigned")))
    assert (error.code, str(error)) == ("unsigned", str(refused("unsigned")))


def test_whom_it_is_for_comes_first_and_its_time_last(clearances: Clearances) -> None:
    """Nobody else learns what became of a clearance."""
    wrong = {
        "tenant": "evil",
        "swarm": "Other",
        "user_id": "eve",
        "session_id": "s2",
        "fingerprint": "sha256:f2",
        "plan_digest": digest(OTHER),
    }
    order = ["other_tenant", "other_team", "other_user", "other_session"]
    order += ["other_fingerprint", "other_plan", "revoked"]
    grant = a_grant(issued_at=NOW - HOUR, expires_at=NOW, state="revoked")
    clearances.put(grant)
    for field, code in zip([*wrong, None], order, strict=True):
        refusal(code, lambda: clearances.claim(grant.id, an_asking(**wrong)))
        if field is not None:
            del wrong[field]
    old = {"issued_at": NOW - HOUR, "expires_at": NOW}
    used = a_grant(**old, state="spent", claimed_by="r9", claimed_at=NOW)
    clearances.put(used)
    refusal("replayed", lambda: clearances.claim(used.id, an_asking()))


@pytest.mark.parametrize("field", ["session_id", "user_id"])
def test_a_clearance_may_leave_session_and_user_open(field: str, clearances: Clearances) -> None:
    grant = a_grant(**{field: None})
    clearances.put(grant)
    assert clearances.claim(grant.id, an_asking(**{field: "any"})).state == "claimed"


def test_clocks_may_differ_at_the_beginning_and_not_at_the_end(clearances: Clearances) -> None:
    early = a_grant(issued_at=NOW + 60 * SECOND)
    clearances.put(early)
    refusal("not_yet_valid", lambda: clearances.claim(early.id, an_asking(), NOW - SECOND))
    clearances.claim(early.id, an_asking(), NOW)
    end = early.expires_at
    just = end - timedelta(microseconds=1)
    assert clearances.held_by("r1", just) is not None
    clearances.take_step(early.id, 1, just)
    refusal("expired", lambda: clearances.held_by("r1", end))
    refusal("expired", lambda: clearances.claim(early.id, an_asking(), end))
    refusal("expired", lambda: clearances.take_step(early.id, 2, end))
    # What was begun in time may end after it.
    assert clearances.finish_step(early.id, 1).done == {1}
    with pytest.raises(ConfigurationError, match="zone"):
        clearances.held_by("r1", just.replace(tzinfo=None))


def test_a_continuation_fits_as_a_claim_does(clearances: Clearances) -> None:
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, team_run_id="t")
    clearances.put(grant)
    for found in (
        lambda asking: clearances.held_by("r1", asking=asking),
        lambda asking: clearances.of_team_run("t", asking=asking),
    ):
        assert found(an_asking(plan_digest=None)) == grant
        for field in ("swarm", "tenant", "session_id", "user_id", "fingerprint"):
            asking = replace(an_asking(), **{field: "another"})
            with pytest.raises(ClearanceRefused, match="another"):
                found(asking)


@given(grant=grants(used=False), data=st.data())
def test_a_clearance_fits_one_asking_alone(grant: Grant, data: st.DataObject) -> None:
    asking = Asking(
        runner_run_id="r",
        **{
            each.name: getattr(grant, each.name)
            for each in fields(Asking)
            if hasattr(grant, each.name)
        },
    )
    check_fits(grant, asking)
    field = data.draw(st.sampled_from(["swarm", "tenant", "fingerprint", "plan_digest"]))
    with pytest.raises(ClearanceRefused):
        check_fits(grant, replace(asking, **{field: f"{getattr(grant, field)}x"}))


# Rows


@given(grant=grants())
def test_grants_come_back_as_they_were(grant: Grant) -> None:
    assert unpacked(packed(grant)) == grant


@given(grant=grants(), data=st.data())
def test_a_row_with_one_column_changed_is_refused(grant: Grant, data: st.DataObject) -> None:
    row = packed(grant)
    name = data.draw(st.sampled_from(sorted(row)))
    value = data.draw(st.none() | st.text(max_size=20) | st.integers() | st.binary(max_size=3))
    if value == row[name]:
        value = f"{row[name]} "
    with pytest.raises(ClearanceRefused) as caught:
        unpacked({**row, name: value})
    assert caught.value.code in ("forged", "malformed")


def sealed(row: dict[str, Any]) -> dict[str, Any]:
    """`row` with the digest that it would have."""
    from agno_portkey.gates.clearance.row import _digest_of

    return {**row, "row_digest": _digest_of(row)}


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("forged", {"plan": packed(a_grant(plan=OTHER))["plan"]}),
        ("forged", {"plan_digest": digest(OTHER)}),
        ("malformed", {"plan": "{"}),
        ("malformed", {"plan": "[" * 100_000}),
        ("malformed", {"plan": '{"goal": "x"}'}),
        ("malformed", {"plan": None}),
        ("malformed", {"state": "open"}),
        ("malformed", {"state": "claimed"}),
        ("malformed", {"claimed_by": "r1"}),
        ("malformed", {"claimed_at": NOW.isoformat()}),
        ("malformed", {"passed": "maybe"}),
        ("malformed", {"taken": "[1]"}),
        ("malformed", {"taken": "1"}),
        ("malformed", {"done": "[[]]"}),
        ("malformed", {"issued_at": "today"}),
        ("malformed", {"issued_at": None}),
        ("malformed", {"expires_at": "2026-03-01T12:30:00"}),
        ("malformed", {"expires_at": "2026-03-01T11:00:00+00:00"}),
        ("malformed", {"gate": " "}),
        ("malformed", {"id": "a.b.c"}),
        ("malformed", {"more": "columns"}),
    ],
)
def test_a_row_that_was_made_by_another_program(code: str, changed: dict[str, Any]) -> None:
    row = packed(a_grant())
    unpacked(sealed(row))
    said = refusal(code, lambda: unpacked(sealed({**row, **changed})))
    assert "agno_portkey_clearances" in said


@pytest.mark.parametrize(
    "change",
    [
        "state = 'granted', claimed_by = NULL, claimed_at = NULL",
        "expires_at = '2999-01-01T00:00:00.000000+00:00'",
        "plan = replace(plan, '2.1', '6.6')",
        "fingerprint = 'sha256:f2'",
        "tenant = NULL",
        "taken = '[]'",
        "gate = x'00ff'",
    ],
)
def test_a_row_that_was_changed_by_hand_holds_for_nothing(change: str, tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    clearances = Clearances(str(file), clock=lambda: NOW)
    grant = a_grant(state="claimed", claimed_by="r1", claimed_at=NOW, taken=frozenset({1}))
    clearances.put(grant)
    with sqlite3.connect(file) as connection:
        assert connection.execute(f"UPDATE agno_portkey_clearances SET {change}").rowcount == 1
    connection.close()
    for call in (
        lambda: clearances.get(grant.id),
        lambda: clearances.claim(grant.id, an_asking(fingerprint="sha256:f2", tenant=None)),
        lambda: clearances.take_step(grant.id, 1),
        lambda: clearances.revoke(grant.id, by="ann"),
    ):
        with pytest.raises(ClearanceRefused) as caught:
            call()
        assert caught.value.code in ("forged", "malformed")


def test_a_grant_bears_the_digest_of_its_plan(clearances: Clearances) -> None:
    wrong = a_grant(plan_digest=digest(OTHER))
    refusal("forged", lambda: clearances.put(wrong))
    refusal("forged", lambda: clearances.admit(wrong, an_asking(plan_digest=digest(OTHER))))
    refusal("unknown", lambda: clearances.get(wrong.id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "x" * 256),
        ("id", "a\0b"),
        ("id", "\ud800"),
        ("gate", None),
        ("swarm", 7),
        ("tenant", "a\0"),
        ("team_run_id", "t" * 256),
        ("fingerprint", None),
        ("passed", 1),
        ("plan", {"goal": "x"}),
        ("issued_at", NOW.replace(tzinfo=None)),
        ("expires_at", NOW),
        ("expires_at", "2026"),
        ("state", "open"),
        ("state", "spent"),
        ("claimed_by", "r1"),
        ("taken", frozenset({1})),
        ("taken", {1}),
        ("done", frozenset({1})),
    ],
)
def test_a_grant_that_contradicts_itself_is_none(field: str, value: Any) -> None:
    grant = a_grant()
    with pytest.raises(ConfigurationError, match=r"^Grant\."):
        replace(grant, **{field: value})


@pytest.mark.parametrize("field", ["runner_run_id", "team_run_id"])
@pytest.mark.parametrize("value", ["", " ", "x" * 256, "a\0b", 7])
def test_who_asks_has_a_run(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^Asking\.{field}"):
        replace(an_asking(), **{field: value})


# Databases


def test_each_of_the_hosts_databases_holds_them(tmp_path: Path, postgres: PostgresServer) -> None:
    file, url = str(tmp_path / "agno.db"), postgres.new_database()
    for first, second in (
        (SqliteDb(db_file=file), AsyncSqliteDb(db_file=file)),
        (
            PostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg:")),
            AsyncPostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg_async:")),
        ),
    ):
        grant = a_grant()
        Clearances(first).put(grant)
        assert Clearances(second).get(grant.id) == grant
    with pytest.raises(ConfigurationError, match="object can't hold clearances"):
        Clearances(object())


def test_what_is_kept_is_told_from_what_was_there(clearances: Clearances) -> None:
    store, row = clearances._store, packed(a_grant())
    assert store.insert(row)
    assert not store.insert(row)
    changed = packed(replace(unpacked(row), state="revoked"))
    assert not store.swap(changed, row)
    assert store.swap(row, changed)
    assert not store.swap(row, changed)
    assert store.get(str(row["id"])) == changed


def test_another_process_sees_each_change_at_once(database: str) -> None:
    here, there = (Clearances(database, clock=lambda: NOW) for _ in range(2))
    assert here.held_by("r1") is None
    grant = a_grant()
    there.put(grant)
    here.claim(grant.id, an_asking())
    held = there.held_by("r1")
    assert held is not None
    assert held == here.held_by("r1")
    there.take_step(grant.id, 1)
    seen = here.held_by("r1")
    assert seen is not None
    assert seen.taken == {1}
    there.revoke(grant.id, by="ann")
    refusal("revoked", lambda: here.held_by("r1"))


def uses(clearances: Clearances, id: str) -> list[Callable[[], object]]:
    return [
        lambda: clearances.held_by("r1"),
        lambda: clearances.of_team_run("t1"),
        lambda: clearances.approved(an_asking()),
        lambda: clearances.waiting(),
        lambda: clearances.get(id),
        lambda: clearances.claim(id, an_asking()),
        lambda: clearances.take_step(id, 1),
        lambda: clearances.put(a_grant()),
        lambda: clearances.admit(a_grant(), an_asking()),
    ]


def test_a_table_that_was_taken_away(database: str, postgres: PostgresServer) -> None:
    clearances = Clearances(database, clock=lambda: NOW)
    grant = a_grant()
    clearances.put(grant)
    if database.startswith("sqlite"):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            connection.execute("DROP TABLE agno_portkey_clearances")
        connection.close()
    else:
        postgres.run("DROP TABLE agno_portkey_clearances", database)
    for use in uses(clearances, grant.id):
        with pytest.raises(DatabaseGone, match="agno_portkey_clearances was there and is gone"):
            use()


def test_a_file_that_was_taken_away_and_another_in_its_place(tmp_path: Path) -> None:
    file, aside = tmp_path / "agno.db", tmp_path / "aside.db"
    clearances = Clearances(str(file), clock=lambda: NOW)
    grant = a_grant()
    clearances.put(grant)
    clearances.claim(grant.id, an_asking())
    assert clearances.held_by("r1") is not None
    file.rename(aside)
    for use in uses(clearances, grant.id):
        with pytest.raises(DatabaseGone, match="put it back"):
            use()
    assert not file.exists()
    # Another file of that name is another database.
    other = Clearances(str(tmp_path / "other.db"), clock=lambda: NOW)
    other.put(a_grant())
    os.replace(tmp_path / "other.db", file)
    assert clearances.held_by("r1") is None
    refusal("unknown", lambda: clearances.get(grant.id))
    os.replace(aside, file)
    assert clearances.held_by("r1") is not None


def test_a_file_that_is_locked(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    clearances = Clearances(str(file), timeout=0.1, clock=lambda: NOW)
    grant = a_grant()
    clearances.put(grant)
    assert clearances.get(grant.id) == grant
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for use in uses(clearances, grant.id):
        with pytest.raises(OperationalError, match="database is locked"):
            use()
    holder.execute("COMMIT")
    holder.close()
    assert clearances.get(grant.id) == grant


def test_a_file_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    file.write_bytes(b"no database at all " * 100)
    for use in uses(Clearances(str(file), clock=lambda: NOW), "x"):
        with pytest.raises(SQLAlchemyError, match="not a database"):
            use()


def test_a_server_that_is_down_and_comes_back() -> None:
    with PostgresServer() as server:
        clearances = Clearances(server.new_database(), clock=lambda: NOW)
        grant = a_grant()
        clearances.put(grant)
        clearances.claim(grant.id, an_asking())
        server.kill()
        for use in uses(clearances, grant.id):
            with pytest.raises(SQLAlchemyError):
                use()
        server.start()
        held = clearances.held_by("r1")
        assert held is not None
        # Its connection is of before.
        server.kill()
        server.start()
        assert clearances.held_by("r1") == held
        assert clearances.take_step(grant.id, 1).taken == {1}
        assert held.plan == PLAN
