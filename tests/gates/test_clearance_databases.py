"""Clearances in the databases of the host: other processes, and files and servers that fail."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from clearance_scene import NOW, PLAN, a_grant, an_asking, refusal
from postgres_server import PostgresServer
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.gates.clearance import Clearances
from agno_portkey.gates.clearance.row import packed, unpacked


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
