"""How a run of the Runner is admitted: what is kept of it, and that what is not opens nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from admission_scene import (
    ROUND,
    STEPS,
    Desk,
    Scene,
    books_of,
    charter_of,
    judgement,
    play,
)
from agno.db.postgres import PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from postgres_server import PostgresServer
from sqlalchemy import create_engine, text

from agno_portkey import Gate
from agno_portkey.contracts import Plan
from agno_portkey.errors import ClearanceRefused, DatabaseGone, GateClosed
from agno_portkey.gates.books import Books
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.history import History
from agno_portkey.testing.story import FLAWED, SOUND

# In the team's own database


def _rows(url: str, table: str, schema: str | None = None) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            named = f"{schema}.{table}" if schema else table
            return int(connection.execute(text(f"SELECT count(*) FROM {named}")).scalar_one())
    finally:
        engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "async sqlite", "postgres"])
def test_decisions_and_clearances_are_in_the_teams_own_database(
    kind: str, scene: Scene, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database().replace("postgresql://", "postgresql+psycopg://")
        database: Any = PostgresDb(db_url=url)
        schema = "ai"
    else:
        url, schema = f"sqlite:///{tmp_path / 'agno.db'}", None
        made = AsyncSqliteDb if kind == "async sqlite" else SqliteDb
        database = made(db_file=str(tmp_path / "agno.db"))
    scene.script(*ROUND)
    team = scene.team(db=database)
    assert play(team, "arun" if kind == "async sqlite" else "run", session_id="s").shipped
    assert _rows(url, "agno_eval_runs", schema) == 1
    assert _rows(url, "agno_portkey_clearances") == 1
    [kept] = books_of(team).history.series()
    assert (kept.gate, kept.passed, kept.session_id) == ("gate", True, "s")
    grant = books_of(team).clearances.of_team_run(kept.run_id)
    assert (grant.state, grant.done) == ("spent", {1, 2})


def test_without_a_database_clearances_are_kept_in_the_process(scene: Scene) -> None:
    scene.script(*ROUND)
    team = scene.team()
    ended = play(team)
    assert ended.shipped
    assert books_of(team).history is None
    assert books_of(team).clearances.of_team_run(ended.output.run_id).state == "spent"


# What can't be kept is not cleared


class Raising(History):
    def put(self, decided: Any) -> None:
        raise ZeroDivisionError("secret")


class Lost(Clearances):
    def put(self, grant: Any) -> None:
        raise DatabaseGone("its file was there and is gone: put it back")


def _desk(db: SqliteDb, **books: Any) -> Desk:
    kept = Books(History(db, seconds=0.1), Clearances(db, timeout=0.1))
    return Desk.of(books=replace(kept, **books)).judged()


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize(
    ("what", "why"),
    [("history", "ZeroDivisionError"), ("clearances", "DatabaseGone: its file was there")],
)
def test_what_can_not_be_kept_is_not_cleared_and_may_be_later(
    form: str, what: str, why: str, db: SqliteDb
) -> None:
    desk = _desk(db)
    sound = desk.charter.books
    broken = {"history": Raising(db), "clearances": Lost(db)}[what]
    desk.charter.books = replace(sound, **{what: broken})
    with pytest.raises(GateClosed) as closed:
        asyncio.run(desk.aadmit()) if form == "async" else desk.admit()
    assert f"the gate's database failed: {why}" in closed.value.verdict.reason
    assert "secret" not in str(closed.value)
    assert (desk.run.clearance, desk.run.steps) == (None, None)
    # Nor is it cleared to another process, that of the same run.
    assert sound.clearances.held_by("team-r") is None
    with pytest.raises(GateClosed):
        desk.charter.require_clearance("team-r")
    desk.charter.books = sound
    assert desk.admit().plan == SOUND
    assert sound.clearances.held_by("team-r").state == "claimed"


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_locked_database_keeps_the_gate_closed_until_it_is_free(
    form: str, scene: Scene, db: SqliteDb, tmp_path: Path
) -> None:
    locks: list[sqlite3.Connection] = []

    def judge(request: Any) -> Any:
        lock = sqlite3.connect(tmp_path / "agno.db", check_same_thread=False)
        lock.execute("BEGIN EXCLUSIVE")
        locks.append(lock)
        return judgement(9)

    scene.provider.reset()
    scene.judge(judge)
    scene.script(*ROUND, "runner")
    team = scene.team(db=db)
    charter = charter_of(team)
    charter.books = Books(History(db, seconds=0.1), Clearances(db, timeout=0.1))
    calls: list[int] = []

    def freed(event: Any) -> None:
        if event.kind == "gate" and not event.verdict.passed:
            calls.append(len(scene.runner_calls))
            locks[0].close()

    charter.observers = (*charter.observers, freed)
    assert play(team, form).shipped
    assert calls == [0]
    [refusal] = scene.refusals
    assert refusal == "the gate's database failed: OperationalError (it is locked)"
    assert scene.release.done == STEPS


def test_a_database_that_is_gone_is_named(scene: Scene, db: SqliteDb, tmp_path: Path) -> None:
    desk = _desk(db)
    desk.admit()
    os.remove(tmp_path / "agno.db")
    again = Desk.at(desk.charter, "again").judged()
    assert "the gate's database failed: DatabaseGone" in again.refused().reason


async def test_a_clearance_that_was_called_off_while_it_was_kept_is_revoked(db: SqliteDb) -> None:
    kept, free, revoked = threading.Event(), threading.Event(), threading.Event()

    class Slow(Clearances):
        def put(self, grant: Any) -> None:
            kept.set()
            assert free.wait(30)
            super().put(grant)

        def revoke(self, *args: Any, **kwargs: Any) -> Any:
            super().revoke(*args, **kwargs)
            revoked.set()

    slow = Slow(db)
    desk = _desk(db, clearances=slow)
    asked = asyncio.create_task(desk.aadmit())
    assert await asyncio.to_thread(kept.wait, 30)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert desk.run.clearance is None
    assert desk.run.judgement is not None
    free.set()
    assert await asyncio.to_thread(revoked.wait, 30)
    assert slow.waiting() == []
    with pytest.raises(ClearanceRefused, match="its run was called off"):
        slow.held_by("team-r")


def test_another_plan_meanwhile_is_left_as_it_is(db: SqliteDb) -> None:
    desk = _desk(db)
    other = Plan(goal="Ship 2.2", steps=SOUND.steps)

    class Changing(Clearances):
        def put(self, grant: Any) -> None:
            desk.run.propose(other)
            raise ZeroDivisionError

    desk.charter.books = replace(desk.charter.books, clearances=Changing(db))
    desk.refused()
    assert desk.run.plan == other
    assert desk.run.judgement is None


def test_a_clearance_lasts_as_long_as_the_strictest_gate_says(db: SqliteDb) -> None:
    desk = _desk(db)
    desk.charter.gates = (Gate(name="a", max_age=60), Gate(name="b", max_age=3600))
    began = desk.charter.books.clock()
    desk.charter.books = replace(desk.charter.books, clock=lambda: began)
    clearance = desk.admit()
    assert clearance.expires_at == began + timedelta(seconds=60)
    desk.charter.books = replace(desk.charter.books, clock=lambda: clearance.expires_at)
    with pytest.raises(GateClosed, match="the clearance has run out"):
        desk.charter.require_clearance("team-r")


@pytest.mark.parametrize(
    ("plan", "judged"), [(SOUND, False), (FLAWED, True)], ids=["unjudged", "flawed"]
)
def test_a_refusal_is_kept_with_its_reasons(plan: Plan, judged: bool, db: SqliteDb) -> None:
    desk = _desk(db)
    desk.run.propose(plan)
    if judged:
        desk.judged(3, plan=plan)
    else:
        desk.run.judgement = None
    refused = desk.refused()
    [kept] = desk.charter.books.history.series()
    assert (kept.passed, kept.reasons) == (False, refused.reasons)
    assert (kept.tenant, kept.user_id, kept.fingerprint) == ("acme", "ann", "sha256:f1")
    assert set(kept.evidence) == ({"plan", "judgement"} if judged else {"plan"})
