"""`agno-portkey trace`: what was run can be looked at."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.tracing.schemas import Span, create_trace_from_spans
from agno.utils import log
from typer.testing import CliRunner, Result

from agno_portkey import PortkeyModel, telemetry
from agno_portkey.cli import app
from agno_portkey.telemetry import names
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.replies import Usage
from agno_portkey.verdict import Event


def _told(*asked: str, width: int = 100) -> Result:
    return CliRunner().invoke(app, ["trace", *asked], env={"COLUMNS": str(width)})


@pytest.fixture
def traced(database: str, portkey_provider: EmbeddedProvider) -> Iterator[str]:
    """A database with two traces: Helper's, with an attempt that failed, and one that failed."""
    kind: Any = SqliteDb if database.startswith("sqlite") else PostgresDb
    db = kind(db_url=database)
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    with telemetry.setup(db=db) as held:
        portkey_provider.fault(Fault.status(500))
        portkey_provider.reply(Reply("Hello", usage=Usage(7, 3)))
        Agent(name="Helper", model=model).run("Hi", run_id="run-1")
        portkey_provider.fault(Fault.status(401))
        Agent(name="Stranger", model=model).run("Hi")
        assert held.flush()
    yield database
    db.db_engine.dispose()


def test_the_newest_are_listed_first(traced: str) -> None:
    listed = _told("list", "--db", traced)
    assert listed.exit_code == 0, listed.output
    rows = [line for line in listed.stdout.splitlines() if "invoke_agent" in line]
    assert [name for row in rows for name in re.findall(r"Helper|Stranger", row)] == [
        "Stranger",
        "Helper",
    ]
    assert "1 older" in _told("list", "--limit", "1", "--db", traced).stdout


def test_one_is_shown_as_a_tree(traced: str) -> None:
    shown = _told("show", "run-1", "--db", traced)
    assert shown.exit_code == 0, shown.output
    lines = [re.sub(r"[│├└─]", " ", line) for line in shown.stdout.splitlines()]
    told = [(len(line) - len(line.lstrip()), line.split()[:2]) for line in lines[1:]]
    assert told == [
        (4, ["invoke_agent", "Helper"]),
        (8, ["chat", "gpt-4o-mini"]),
        (12, ["attempt", "1"]),
        (12, ["attempt", "2"]),
    ]
    assert "7 in, 3 out, $0.000003" in shown.stdout
    assert "UpstreamFailed" in lines[3]


def test_it_is_found_by_the_beginning_of_its_id_or_as_the_newest(traced: str) -> None:
    newest = _told("show", "--db", traced).stdout
    assert "invoke_agent Stranger" in newest
    begun = newest.split()[1][:12]
    assert _told("show", begun, "--db", traced).stdout == newest
    assert _told("list", "--db", traced).stdout.count(begun) == 1


def test_what_is_not_there_is_said(traced: str, tmp_path: Path) -> None:
    missing = _told("show", "nobody", "--db", traced)
    assert missing.exit_code == 3
    assert "no trace nobody" in missing.stderr
    no_file = _told("list", "--db", str(tmp_path / "none.db"))
    assert no_file.exit_code == 1
    assert not (tmp_path / "none.db").exists()
    assert _told("list", "--since", "yesterday", "--db", traced).exit_code == 1


def test_a_database_without_traces(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert _told("list", "--db", str(tmp_path / "empty.db")).exit_code == 3
    (tmp_path / "odd.db").write_text("no database at all, and long enough to be read as one")
    odd = _told("list", "--db", str(tmp_path / "odd.db"))
    assert odd.exit_code != 0
    assert "Traceback" not in odd.output


def test_a_database_that_is_down_is_not_an_empty_one() -> None:
    down = _told("list", "--db", "postgresql://nobody:sesame@127.0.0.1:9/none")
    assert down.exit_code == 1
    assert "can't be read" in down.stderr
    assert "sesame" not in down.output
    other = _told("list", "--db", "mysql://nobody:sesame@127.0.0.1:9/none")
    assert other.exit_code == 1
    assert "Postgres or SQLite" in other.stderr


def test_what_others_wrote_there_is_shown_too(tmp_path: Path) -> None:
    """A cost in words, and spans that stand in each other."""
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    now = datetime.now(UTC)
    told: dict[str, Any] = {
        "trace_id": "t-1",
        "span_kind": "INTERNAL",
        "status_code": "OK",
        "status_message": None,
        "start_time": now,
        "end_time": now,
        "duration_ms": 1,
        "created_at": now,
    }
    spans = [
        Span(span_id="a", parent_span_id="b", name="one", attributes={names.COST: "much"}, **told),
        Span(span_id="b", parent_span_id="a", name="two", attributes={}, **told),
        Span(span_id="c", parent_span_id="c", name="three", attributes={}, **told),
    ]
    trace = create_trace_from_spans(spans)
    assert trace is not None
    db.upsert_trace(trace)
    db.create_spans(spans)
    db.db_engine.dispose()
    shown = _told("show", "--db", str(tmp_path / "agno.db"))
    assert shown.exit_code == 0, shown.output
    lines = [line for line in shown.stdout.splitlines() if "1 ms" in line]
    assert sorted(name for line in lines for name in re.findall("one|two|three", line)) == [
        "one",
        "three",
        "two",
    ]
    assert "much" in shown.stdout


def test_without_a_database_it_asks_for_one() -> None:
    asked = _told("list")
    assert asked.exit_code == 1
    assert "--db" in asked.stderr


@pytest.mark.parametrize("begins", [b"no database at all", b"\0" * 200])
@pytest.mark.parametrize("asked", [("trace", "list"), ("trace", "show"), ("ledger", "report")])
def test_a_file_that_is_no_database_is_said_to_be_none(
    begins: bytes, asked: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "odd.db"
    file.write_bytes(begins)
    told = CliRunner().invoke(app, [*asked, "--db", str(file)])
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"{file} is no SQLite database: give --db" in told.stderr
    assert file.read_bytes() == begins


@pytest.mark.parametrize("used", ["agent", "team", "workflow"])
def test_tables_of_another_version_are_not_taken_for_empty_ones(
    used: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The host logs by the one that was used last.
    monkeypatch.setattr(log, "logger", getattr(log, f"{used}_logger"))
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.execute("CREATE TABLE agno_traces (id INTEGER)")
    told = _told("list", "--db", str(tmp_path / "old.db"))
    assert told.exit_code == 1
    assert "this version of Agno can't read" in told.stderr
    assert "no traces" not in told.output
    assert caplog.text == ""


@pytest.mark.parametrize("width", [40, 69, 70, 80, 120])
def test_no_line_of_the_list_is_longer_than_the_terminal_is_wide(traced: str, width: int) -> None:
    lines = _told("list", "--db", traced, width=width).stdout.splitlines()
    assert max(map(len, lines)) <= width
    each = 3 if width < 70 else 1
    assert len(lines) == 2 * each + (each == 1)


def test_in_a_pipe_nothing_of_the_list_is_cut(traced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    newest = CliRunner().invoke(app, ["trace", "show", "--db", traced]).stdout.split()[1]
    told = CliRunner().invoke(app, ["trace", "list", "--db", traced]).stdout
    assert len(newest) == 32
    assert newest in told


@pytest.mark.parametrize("width", [40, 80, 120, None])
@pytest.mark.parametrize("by", ["run", "session"])
def test_ids_in_the_ledger_are_whole(
    by: str, width: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    run, session = "3f6c1a52-6f0a-4c1e-9d5b-0a1b2c3d4e5f", "9a6c1a52-6f0a-4c1e-9d5b-0a1b2c3d4e5f"
    ledger = Ledger(str(tmp_path / "ledger.db"), timeout=30)
    tags = {"session": session}
    ledger(Event("attempt", "A", "T", run, data={"model": "gpt-4o-mini", "tags": tags}))
    ledger.flush()
    env = {} if width is None else {"COLUMNS": str(width)}
    asked = ["ledger", "report", "--by", by, "--db", str(tmp_path / "ledger.db")]
    told = CliRunner().invoke(app, asked, env=env).stdout
    assert {"run": run, "session": session}[by] in told
    assert all(len(line.rstrip()) <= (width or 200) for line in told.splitlines())
