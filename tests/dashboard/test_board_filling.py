"""Points keep up with spans: each once, however late, broken, foreign or many they are."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from board_spans import NOON, agno_db, around, call, put, run, span, totals
from postgres_server import PostgresServer
from sqlalchemy import select

from agno_portkey.errors import ConfigurationError, DatabaseGone, WrongEnvironment
from agno_portkey.sql import SqlTable
from agno_portkey.telemetry.dashboard import Board
from agno_portkey.telemetry.dashboard import filling as filling_module
from agno_portkey.telemetry.dashboard.points import TABLE


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with agno_db(database) as found:
        yield found


def points(database: str) -> list[Any]:
    return SqlTable(database, TABLE, seconds=5).read(select(TABLE))


def test_a_span_is_one_point_however_often_it_is_asked(db: Any, database: str) -> None:
    board = Board(db)
    put(db, call(), run(), span("plan"))
    assert [board.catch_up() for _ in range(3)] == [0, 0, 0]
    assert Board(db).catch_up() == 0
    assert sorted(row.kind for row in points(database)) == ["call", "other", "run"]
    put(db, call())
    board.catch_up()
    assert len(points(database)) == 4


def test_what_is_committed_late_is_found(db: Any, database: str) -> None:
    board = Board(db)
    now = datetime.now(UTC)
    put(db, call(now, written=now))
    board.catch_up()
    put(db, call(now, written=now - timedelta(seconds=100)))
    board.catch_up()
    assert len(points(database)) == 2
    # What says to be older than that is found by who begins anew.
    put(db, call(now, written=now - timedelta(days=1)))
    board.catch_up()
    assert len(points(database)) == 2
    Board(db).catch_up()
    assert len(points(database)) == 3


def test_a_clock_that_is_ahead_hides_nothing(db: Any, database: str) -> None:
    board = Board(db)
    now = datetime.now(UTC)
    put(db, call(now, written=now + timedelta(days=400)))
    board.catch_up()
    put(db, call(now, written=now))
    board.catch_up()
    assert len(points(database)) == 2


def test_more_than_a_batch_and_what_is_left(
    db: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling_module, "_BATCH", 10)
    # As exported: many bear one time.
    put(db, *(call(written=NOON) for _ in range(35)))
    board = Board(db)
    assert board.catch_up(0) == 25
    assert board.panel("latency", around())["behind"] == 0
    assert len(points(database)) == 35


def test_two_at_once_write_each_once(db: Any, database: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(filling_module, "_BATCH", 50)
    # As exported: many bear one time, and are read in any order.
    put(db, *(call(written=NOON + timedelta(milliseconds=n // 200)) for n in range(400)))
    Board(db).forget(datetime(1971, 1, 1, tzinfo=UTC))
    failed: list[BaseException] = []

    def fill() -> None:
        try:
            with agno_db(database) as own:
                while Board(own).catch_up(30):
                    pass
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=fill) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len([row for row in points(database) if row.kind == "call"]) == 400


def _killed(database: str) -> None:
    """Fill, and be gone in the middle of the second batch, with the first one committed."""
    import os

    filling_module._BATCH = 10
    seen = 0
    of = filling_module.point_of

    def point_of(row: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 15:
            os._exit(9)
        return of(row)

    filling_module.point_of = point_of
    with agno_db(database) as db:
        Board(db).catch_up(30)


def test_one_that_is_killed_leaves_the_rest_to_the_next(db: Any, database: str) -> None:
    put(db, *(call(written=NOON + timedelta(milliseconds=n)) for n in range(30)))
    child = multiprocessing.get_context("spawn").Process(target=_killed, args=(database,))
    child.start()
    child.join()
    assert child.exitcode == 9
    assert len(points(database)) == 10
    Board(db).catch_up()
    assert len(points(database)) == 30


def test_a_table_that_is_not_there_is_an_empty_board(db: Any) -> None:
    board = Board(db)
    told = board.panel("latency", around())
    assert (told["spans"], told["groups"], told["behind"]) == (False, [], 0)
    assert board.run("a" * 32) is None
    put(db, call())
    told = board.panel("latency", around())
    assert (told["spans"], totals(told)["m"]["count"]) == (True, 1)


FOREIGN: dict[str, dict[str, Any]] = {
    "no attributes": {"attributes": None},
    "a list": {"attributes": ["agno_portkey.kind", "call"]},
    "times that are none": {"start_time": "noon", "end_time": "", "created_at": "soon"},
    "without a zone": {"start_time": "2026-11-28T12:00:00", "end_time": "2026-11-28T12:00:01"},
    "ended before": {"end_time": "2020-01-01T00:00:00+00:00"},
    "the first year": {"start_time": "0001-01-01T00:00:00+00:00"},
    "figures that are none": {
        "attributes": {
            "agno_portkey.kind": "call",
            "gen_ai.usage.input_tokens": 10**40,
            "gen_ai.usage.output_tokens": -1,
            "gen_ai.usage.cost": "free",
            "gen_ai.server.time_to_first_token": True,
            "gate.score": {"a": 1},
        }
    },
    "names that are none": {
        "attributes": {
            "agno_portkey.kind": "call",
            "gen_ai.request.model": ["m"],
            "agno_portkey.swarm": {"x": "y"},
            "agno_portkey.role": 7,
            "agno_portkey.environment": "e" * 5_000,
            "agno_portkey.cost_center": "\x1b[2J\u202e<script>",
        }
    },
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_others_write_keeps_nobody_out(db: Any, database: str, what: str) -> None:
    put(db, {**call(), **FOREIGN[what]}, call(model="mine"))
    board = Board(db)
    assert board.catch_up() == 0
    assert len(points(database)) == 2
    for asked in (around(), around(hours=24 * 300_000)):
        told = totals(board.panel("latency", asked))
        assert told["mine"]["count"] == 1
        assert totals(board.panel("usage", asked))["mine"]["calls"] == 1
    board.filters()
    assert board.run("a" * 32) is not None


@pytest.mark.parametrize("said", ['{"agno_portkey.kind": ', "[" * 100_000, "NaN", '"\\ud800"', ""])
def test_json_that_is_broken_is_a_span_of_nothing(tmp_path: Path, said: str) -> None:
    path = tmp_path / "agno.db"
    with agno_db(f"sqlite:///{path}") as db:
        broken = call()
        put(db, broken, call(model="mine"))
        with closing(sqlite3.connect(path)) as file, file:
            changed = "UPDATE agno_spans SET attributes = ? WHERE span_id = ?"
            file.execute(changed, (said, broken["span_id"]))
        board = Board(db)
        assert totals(board.panel("latency", around()))["mine"]["count"] == 1
        assert [row.kind for row in points(f"sqlite:///{path}")].count("other") == 1
        run = board.run("a" * 32)
        assert run is not None
        assert len(run["spans"]) == 2


def test_names_and_figures_that_no_other_database_would_hold(tmp_path: Path) -> None:
    path = tmp_path / "agno.db"
    said = {
        "agno_portkey.kind": "call",
        "gen_ai.request.model": "a\ud800b\0c",
        "gen_ai.usage.cost": 1,
    }
    with agno_db(f"sqlite:///{path}") as db:
        row = call()
        put(db, row)
        with closing(sqlite3.connect(path)) as file, file:
            file.execute(
                "UPDATE agno_spans SET attributes = ?, span_id = ?",
                (json.dumps(said) + " ", "odd \0 id"),
            )
        board = Board(db)
        for _ in range(2):
            assert board.catch_up() == 0
        assert len(points(f"sqlite:///{path}")) == 1
        [[key, told]] = totals(board.panel("usage", around())).items()
    assert (key, told["cost"]) == ("a?b c", 1_000_000_000)


def test_another_environments_database_is_refused(
    db: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(db, call())
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "prod")
    Board(db).catch_up()
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    board = Board(db)
    with pytest.raises(WrongEnvironment):
        board.panel("latency", around())
    with pytest.raises(WrongEnvironment):
        board.run("a" * 32)


def test_points_of_spans_that_are_gone_stay(tmp_path: Path) -> None:
    path = tmp_path / "agno.db"
    with agno_db(f"sqlite:///{path}") as db:
        put(db, call())
        board = Board(db)
        board.catch_up()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("DELETE FROM agno_spans")
        assert totals(board.panel("latency", around()))["m"]["count"] == 1
        assert board.run("a" * 32) is None


def test_what_is_forgotten_does_not_come_back(db: Any, database: str) -> None:
    put(db, call(NOON - timedelta(hours=2)), call(NOON), call(NOON + timedelta(minutes=1)))
    board = Board(db)
    board.catch_up()
    assert board.forget(NOON) == 1
    for each in (board, Board(db)):
        each.catch_up()
        assert totals(each.panel("latency", around(hours=5)))["m"]["count"] == 2
    # A later word of an earlier time takes nothing back.
    assert board.forget(NOON - timedelta(days=1)) == 0
    assert Board(db).panel("latency", around(hours=5))["groups"][0]["totals"]["count"] == 2
    assert board.filters()["since"] == int(NOON.timestamp() * 1_000)


def test_what_is_forgotten_while_it_is_taken_over_does_not_come_back(
    db: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(db, call(NOON - timedelta(hours=2)), call(NOON))
    other = Board(db)
    other.forget(NOON - timedelta(days=1))
    of = filling_module.point_of

    def point_of(row: Any) -> Any:
        monkeypatch.setattr(filling_module, "point_of", of)
        assert other.forget(NOON) == 0
        return of(row)

    monkeypatch.setattr(filling_module, "point_of", point_of)
    board = Board(db)
    board.catch_up()
    assert totals(board.panel("latency", around(hours=5)))["m"]["count"] == 1
    assert board.catch_up() == 0


def test_several_forget_at_once(db: Any, database: str) -> None:
    put(db, *(call(NOON + timedelta(minutes=n)) for n in range(20)))
    Board(db).catch_up()
    failed: list[BaseException] = []

    def forget(minutes: int) -> None:
        try:
            with agno_db(database) as own:
                for n in range(0, 20, 2):
                    Board(own).forget(NOON + timedelta(minutes=(n + minutes) % 20))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=forget, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    left = [row.at for row in points(database) if row.kind == "call"]
    assert left == [int((NOON + timedelta(minutes=19)).timestamp() * 1_000)]


def test_points_that_are_taken_away_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "agno.db"
    with agno_db(f"sqlite:///{path}") as db:
        put(db, call())
        board = Board(db)
        board.catch_up()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("DROP TABLE agno_portkey_points")
        with pytest.raises(DatabaseGone, match="put it back"):
            board.panel("latency", around())


def test_a_database_that_is_written_to_is_read(tmp_path: Path) -> None:
    """Who writes holds a SQLite file: what is counted already is told, and that there is more."""
    path = tmp_path / "agno.db"
    with agno_db(f"sqlite:///{path}") as db:
        put(db, call())
        board = Board(db)
        board.catch_up()
        put(db, call())
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            told = board.panel("latency", around())
            writer.execute("ROLLBACK")
        assert (told["behind"], totals(told)["m"]["count"]) == (None, 1)
        told = board.panel("latency", around())
        assert (told["behind"], totals(told)["m"]["count"]) == (0, 2)


@pytest.mark.parametrize(
    "given",
    [None, "agno.db", InMemoryDb(), SqliteDb(db_url="sqlite://")],
    ids=["nothing", "a name", "in memory", "SQLite in memory"],
)
def test_what_holds_no_spans_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="db: "):
        Board(given)


def test_a_server_that_is_gone_raises(postgres: PostgresServer) -> None:
    url = postgres.new_database().replace("/test_", "/none_")
    with agno_db(url) as db, pytest.raises(Exception, match="none_"):
        Board(db).panel("latency", around())
