"""`agno-portkey ledger report` tells what was spent in 80 columns, and what is not known of it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from click.testing import Result
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.verdict import Event

WIDTH = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}


def report(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ledger", "report", *arguments], env=WIDTH)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


def book(database: str, *events: Event, at: datetime | None = None) -> None:
    ledger = Ledger(database, timeout=30)
    if at is not None:
        ledger._clock = lambda: at
    for event in events:
        ledger(event)
    ledger.flush()


def attempt(role: str, *, model: str = "gpt-4o-mini", **data: Any) -> Event:
    tags = {"cost_center": data.pop("cost_center", "cc")}
    return Event("attempt", role, "Team", "run-1", data={"model": model, "tags": tags, **data})


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    found = [line.rstrip() for line in result.stdout.splitlines()]
    assert max(map(len, found)) <= 80
    return found


def test_it_reads_at_80_columns(database: str) -> None:
    million = {"input_tokens": 2_000_000, "output_tokens": 1_000_000}
    book(
        database,
        attempt("Writer", **million),
        attempt("Writer", error="GatewayRateLimited", status=429),
        attempt("Reviewer " * 12, input_tokens=10, output_tokens=1, gateway_requests=2),
    )
    title, head, *found = lines(report("--db", database))
    assert title == "Spent, by role"
    assert head.split() == ["role", "requests", "failed", "tokens", "in", "out", "USD", "estimated"]
    # 0.30 and 0.60 dollars; all in one line, cut where it has to be.
    assert found[0].split() == ["Writer", "2", "1", "2,000,000", "1,000,000", "0.900000"]
    assert found[1].split()[-6:] == ["1", "0", "10", "1", "0.000002", "2"]
    assert found[1].startswith("Reviewer Revie")
    assert found[2].split() == ["all", "3", "1", "2,000,010", "1,000,001", "0.900002", "2"]
    assert found[3:] == ["estimated: 2 requests, at least, that the gateway sent by itself."]


def test_it_says_what_is_not_known(database: str) -> None:
    book(
        database,
        attempt("A", model="new-model", input_tokens=5, output_tokens=5),
        attempt("A", cancelled=True),
    )
    _, _, row, *said = lines(report("--db", database))
    assert row.split() == ["A", "2", "1", "5", "5", "0.000000+"]
    assert "1 row has tokens and no known price" in said[0]
    assert "1 row is of a request that broke off" in said[1]


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("run", "run-1"),
        ("role", "Writer"),
        ("swarm", "Team"),
        ("cost_center", "cc"),
        ("model", "gpt-4o-mini"),
        ("day", "2026-05-01"),
        ("provider", "-"),
    ],
)
def test_it_sums_up_by(by: str, name: str, database: str) -> None:
    event = attempt("Writer", input_tokens=1, output_tokens=1)
    book(database, event, at=datetime(2026, 5, 1, tzinfo=UTC))
    title, _, row = lines(report("--db", database, "--by", by))
    assert title == f"Spent, by {by.replace('_', ' ')}"
    assert row.split()[0] == name


def test_since_leaves_out_what_was_before(database: str) -> None:
    one = attempt("Old", input_tokens=1, output_tokens=1)
    book(database, one, at=datetime.now(UTC) - timedelta(hours=3))
    book(database, attempt("New", input_tokens=1, output_tokens=1))
    assert lines(report("--db", database, "--since", "2h"))[2].split()[0] == "New"
    nothing = report("--db", database, "--since", "2999-01-01")
    assert (nothing.exit_code, nothing.stdout) == (3, "")
    assert "Nothing is in this ledger" in nothing.stderr
    assert report("--db", database, "--since", "lately").exit_code == 1


def test_as_csv_it_is_whole_and_exact(database: str) -> None:
    book(database, attempt("=cmd|x", input_tokens=1, output_tokens=1, gateway_requests=1))
    result = report("--db", database, "--csv")
    [row] = csv.DictReader(result.stdout.splitlines())
    assert row["role"] == "'=cmd|x"
    assert row["cost"] == "0.000000750"
    assert (row["tokens"], row["requests"], row["estimated"]) == ("2", "1", "1")


def test_markup_and_control_characters_in_names_are_shown(database: str) -> None:
    book(database, attempt("[red]\x1b[2J", input_tokens=1, output_tokens=1))
    shown = lines(report("--db", database))[2]
    assert shown.startswith("[red]")
    assert "\x1b" not in shown


def test_it_says_which_database_is_missing(tmp_path: Path) -> None:
    missing = report("--db", str(tmp_path / "none.db"))
    assert missing.exit_code == 1
    assert "There is no database" in missing.stderr
    assert not (tmp_path / "none.db").exists()
    assert "Which database?" in report().stderr


def test_a_database_without_a_ledger_gets_none(tmp_path: Path) -> None:
    path = tmp_path / "agno.db"
    database = SqliteDb(db_file=str(path))
    Agent(db=database, telemetry=False)
    with database.db_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (id INTEGER)")
    database.db_engine.dispose()
    assert report("--db", str(path)).exit_code == 3
    with database.db_engine.begin() as connection:
        told = connection.exec_driver_sql("SELECT name FROM sqlite_master").fetchall()
    database.db_engine.dispose()
    assert [name for (name,) in told] == ["mine"]


def test_a_database_that_can_not_be_read_is_said_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database at all" * 100)
    result = report("--db", str(path))
    assert result.exit_code == 1
    assert f"{path} is no SQLite database" in result.stderr
    assert "Traceback" not in result.stderr
