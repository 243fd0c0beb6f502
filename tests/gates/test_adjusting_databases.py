"""Adjusted thresholds in databases that are altered, taken away, locked or down close the gate."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from adjusting_scene import a_proposal, code, kept_in
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from postgres_server import PostgresServer
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from agno_portkey.errors import AdjustmentRefused, ConfigurationError, DatabaseGone
from agno_portkey.gates.adjusting import Thresholds

TABLE = "agno_portkey_gate_thresholds"


# Databases


def test_any_database_of_agno_on_sql_will_do(tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    for database in (SqliteDb(db_file=file), AsyncSqliteDb(db_file=file), file):
        kept_in(database)
    kept_in(file).apply(a_proposal(0.8), by="ann")
    assert kept_in(SqliteDb(db_file=file)).current(["release"]) == {"release": {"judgement": 0.8}}
    for unfit in (InMemoryDb(), SqliteDb(db_url="sqlite://"), None):
        with pytest.raises(ConfigurationError, match="database: "):
            kept_in(unfit)


def run(database: str, statement: str) -> None:
    url = database.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("threshold", "1.5"),
        ("threshold", "-0.1"),
        ("before", "2"),
        ("written", "-1"),
        ("rate", "1.1"),
        ("version", "0"),
        ("kind", "'raised'"),
        ("state", "'appliedd'"),
        ("at", "'yesterday'"),
        ("at", "'2026-05-01T12:00:00'"),
        ("by", "''"),
        ("runs", "-1"),
        ('"check"', "''"),
    ],
)
def test_a_row_that_is_none_closes_the_gate(
    kept: Thresholds, database: str, column: str, value: str
) -> None:
    kept.apply(a_proposal(0.8), by="ann")
    run(database, f"UPDATE {TABLE} SET {column} = {value}")
    with pytest.raises(AdjustmentRefused, match="is not what was written there") as refused:
        kept.current(["release"])
    assert code(refused) == "malformed"


def test_what_sqlite_lets_in_by_any_type_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    kept = kept_in(file)
    kept.apply(a_proposal(0.8), by="ann")
    for column, value in (
        ("threshold", "'high'"),
        ("threshold", "9e999"),
        ("runs", "1.5"),
        ("reason", "x'00ff'"),
        ("at", "x'00'"),
    ):
        with sqlite3.connect(file) as connection:
            before = connection.execute(f"SELECT {column} FROM {TABLE}").fetchone()
            connection.execute(f"UPDATE {TABLE} SET {column} = {value}")
        with pytest.raises(AdjustmentRefused, match="is not what"):
            kept.current(["release"])
        with sqlite3.connect(file) as connection:
            connection.execute(f"UPDATE {TABLE} SET {column} = ?", before)
    assert kept.current(["release"]) == {"release": {"judgement": 0.8}}


def test_a_table_that_was_taken_away_closes_the_gate(kept: Thresholds, database: str) -> None:
    kept.apply(a_proposal(0.8), by="ann")
    run(database, f"DROP TABLE {TABLE}")
    with pytest.raises(DatabaseGone, match="was there and is gone"):
        kept.current(["release"])
    with pytest.raises(DatabaseGone, match="was there and is gone"):
        kept.put("release", "judgement", 0.9, by="ann")


def test_a_file_that_was_taken_away_closes_the_gate(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    kept = kept_in(str(file))
    kept.apply(a_proposal(0.8), by="ann")
    file.unlink()
    with pytest.raises(DatabaseGone):
        kept.current(["release"])
    assert not file.exists()


def test_a_locked_database_closes_the_gate(tmp_path: Path) -> None:
    file = str(tmp_path / "agno.db")
    kept = kept_in(file, seconds=0.01)
    kept.apply(a_proposal(0.8), by="ann")
    with sqlite3.connect(file) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError, match="locked"):
            kept.current(["release"])


def test_a_server_that_was_started_anew_is_asked_again() -> None:
    with PostgresServer() as server:
        kept = kept_in(server.new_database())
        kept.apply(a_proposal(0.8), by="ann")
        server.kill()
        server.start()
        assert kept.current(["release"]) == {"release": {"judgement": 0.8}}
        server.kill()
        with pytest.raises(OperationalError):
            kept.current(["release"])
