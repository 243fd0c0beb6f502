"""Whatever keeps the stop state from being read stops everything, until it can be read again."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_server import PostgresServer
from stopping_store import Kept, settled

from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping import Stop, StopSwitch
from agno_portkey.stopping.databases import store_of
from agno_portkey.verdict import Verdict

# A read that is to be in time may take long on a busy machine; one that hangs is not waited for.
PATIENT = {"max_age": 0.01, "timeout": 20}
HASTY = {"max_age": 0.01, "timeout": 0.2}


def refused(switch: StopSwitch, said: str, name: str = "Release") -> Verdict:
    verdict = switch.check(name)
    assert verdict is not None, "it was let through"
    assert not verdict.passed
    assert "the stop state can't be read: " in verdict.reason
    assert said in verdict.reason
    assert said in verdict.evidence["problem"]
    return verdict


@pytest.mark.parametrize("error", [OSError("disk on fire"), ValueError(), SystemExit("end")])
def test_a_store_that_raises(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    store = Kept()
    switch = StopSwitch(store, **PATIENT)
    store.error = error
    for _ in range(3):
        refused(switch, str(error) or "ValueError")
    store.error = None
    assert settled(switch, "Release", passed=True) is None
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in told] == [
        "the stop state can't be read",
        "the stop state",
    ]


def test_a_store_that_hangs_and_comes_back() -> None:
    store = Kept()
    switch = StopSwitch(store, **HASTY)
    assert settled(switch, "Release", passed=True) is None
    gate = store.hold()
    while switch.check("Release") is None:
        pass
    refused(switch, "no answer within 0.2 s (the test)")
    # While it hangs nothing more is read for a while, and nobody waits.
    reads = store.reads
    for _ in range(50):
        refused(switch, "no answer within 0.2 s")
    assert store.reads == reads
    # What the late read saw is not what is true now.
    store.kept_stop("Release")
    gate.set()
    verdict = switch.check("Release")
    while verdict is not None and "can't be read" in verdict.reason:
        verdict = switch.check("Release")
    assert verdict is not None, "a late read was believed"
    assert "the swarm Release is stopped" in verdict.reason


def test_hanging_reads_do_not_pile_up() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=0.001, timeout=0.01)
    for _ in range(4):
        for _ in range(100):
            refused(switch, "no answer within 0.01 s")
        switch.read()
    hanging = [t for t in threading.enumerate() if t.name == "agno-portkey-stop"]
    assert len(hanging) <= 6
    gate.set()
    for thread in hanging:
        thread.join()
    assert settled(switch, "Release", passed=True) is None


def test_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    switch = StopSwitch(Kept(), **PATIENT)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        refused(switch, "can't start new thread")
    assert settled(switch, "Release", passed=True) is None


def test_an_event_loop_goes_on_while_the_state_is_read() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=30, timeout=30)

    async def ask() -> Any:
        asking = asyncio.create_task(switch.verdict(AsyncIO(), "Release"))
        await asyncio.to_thread(store.entered.wait)
        # Only a loop that is not blocked gets here.
        gate.set()
        return await asking

    assert asyncio.run(ask()) is None
    assert store.reads == 1


# SQLite


def _sqlite(tmp_path: Path) -> tuple[Path, StopSwitch]:
    file = tmp_path / "agno.db"
    switch = StopSwitch(str(file), **PATIENT)
    switch.resume("nothing")
    assert switch.check("Release") is None
    # The name is written beside the check, and is not to meet what the test does to the file.
    deadline = time.monotonic() + 30
    while "Release" not in switch.known_swarms():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return file, switch


def test_a_locked_file(tmp_path: Path) -> None:
    file, _ = _sqlite(tmp_path)
    switch = StopSwitch(str(file), max_age=0.01, timeout=1.0)
    holder = sqlite3.connect(file, isolation_level=None, timeout=30)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    # Whichever comes first: SQLite gives up waiting, or nobody waits for SQLite any more.
    verdict = refused(switch, "")
    assert "database is locked" in verdict.reason or "no answer within 1 s" in verdict.reason
    holder.execute("COMMIT")
    holder.close()
    assert settled(switch, "Release", passed=True) is None


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    file.write_text("no database, but long enough to be taken for the head of one" * 100)
    switch = StopSwitch(str(file), **PATIENT)
    refused(switch, "file is not a database")
    with pytest.raises(ConfigurationError, match="can't be written: file is not a database"):
        switch.stop("Release")
    with pytest.raises(ConfigurationError, match="can't be read: file is not a database"):
        switch.stopped()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    refused(StopSwitch(str(tmp_path / "nowhere" / "agno.db"), **PATIENT), "unable to open")


def test_a_file_that_was_taken_away_lifts_no_stop(tmp_path: Path) -> None:
    file, switch = _sqlite(tmp_path)
    switch.stop("Release")
    away = file.rename(tmp_path / "away.db")
    refused(switch, "its file was there and is gone")
    refused(switch, "its file was there and is gone", "Search")
    assert not file.exists()
    away.rename(file)
    assert settled(switch, "Search", passed=True) is None
    assert switch.check("Release") is not None


def test_a_table_that_was_dropped_lifts_no_stop(tmp_path: Path) -> None:
    file, switch = _sqlite(tmp_path)
    switch.stop("Release")
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE agno_portkey_stops")
    connection.close()
    # Not from the cache, which another switch filled.
    verdict = settled(switch, "Search", passed=False)
    assert verdict is not None
    assert "its table agno_portkey_stops was there and is gone" in verdict.reason
    switch.resume("Release")
    assert settled(switch, "Search", passed=True) is None


def test_names_of_swarms_do_not_bring_a_dropped_table_back(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    store = store_of(str(file), 20)
    store.put(Stop("Release", datetime.now(UTC)))
    assert [*store.stops()] == ["release"]
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE agno_portkey_stops")
    connection.close()
    with pytest.raises(RuntimeError, match="was there and is gone"):
        store.note({"Search"})
    with pytest.raises(RuntimeError, match="was there and is gone"):
        store.stops()


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    file, switch = _sqlite(tmp_path)
    other = StopSwitch(str(tmp_path / "other.db"))
    other.stop("Release")
    (tmp_path / "other.db").replace(file)
    assert settled(switch, "Release", passed=False) is not None


JUNK = [
    ("Release", "yesterday", None, None),
    ("Release", 1760000000, None, None),
    ("Release", b"\x00\xff", None, None),
    ("  ", "2026-01-01", None, None),
    (b"\xff", "2026-01-01", None, None),
    ("Release", "2026-01-01", b"\xff", None),
    ("Release", "2026-01-01", None, b"\xff"),
]


@pytest.mark.parametrize("row", JUNK)
def test_a_row_that_is_no_stop(row: tuple[Any, ...], tmp_path: Path) -> None:
    file, switch = _sqlite(tmp_path)
    with sqlite3.connect(file) as connection:
        # Another table of the same name, which takes anything.
        connection.execute("DROP TABLE agno_portkey_stops")
        connection.execute(
            'CREATE TABLE agno_portkey_stops (swarm, stopped_at, "by", reason, asked_at)'
        )
        connection.execute("INSERT INTO agno_portkey_stops VALUES (?, ?, ?, ?, NULL)", row)
    connection.close()
    verdict = settled(switch, "another", passed=False)
    assert verdict is not None
    assert "can't be read" in verdict.reason
    if isinstance(row[0], str):
        # It can be lifted as any other.
        assert [lifted.swarm for lifted in switch.resume(row[0])] == [row[0]]
        assert settled(switch, "another", passed=True) is None


def test_a_table_of_another_kind(tmp_path: Path) -> None:
    file, _ = _sqlite(tmp_path)
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE agno_portkey_stops")
        connection.execute("CREATE TABLE agno_portkey_stops (something INTEGER)")
    connection.close()
    refused(StopSwitch(str(file), **PATIENT), "no such column")


def test_a_table_that_takes_no_rows(tmp_path: Path) -> None:
    file, switch = _sqlite(tmp_path)
    with sqlite3.connect(file) as connection:
        # The row may be there: a switch leaves the names that it was asked for.
        for change in ("INSERT", "UPDATE"):
            connection.execute(
                f"CREATE TRIGGER no_{change} BEFORE {change} ON agno_portkey_stops BEGIN "
                "SELECT RAISE(ABORT, 'not here'); END"
            )
    connection.close()
    with pytest.raises(ConfigurationError, match="can't be written: not here"):
        switch.stop("Release")


# Postgres


def test_a_server_that_ends_and_begins_again(postgres: PostgresServer) -> None:
    with PostgresServer() as server:
        url = server.new_database()
        switch = StopSwitch(url, **PATIENT)
        switch.stop("Release")
        assert switch.check("Search") is None
        server.kill()
        verdict = settled(switch, "Search", passed=False)
        assert verdict is not None
        assert "can't be read" in verdict.reason
        with pytest.raises(ConfigurationError, match="can't be written"):
            switch.stop("Release")
        server.start()
        assert settled(switch, "Search", passed=True) is None
        assert switch.check("Release") is not None


def test_a_server_that_was_started_anew_meanwhile_is_asked_again() -> None:
    with PostgresServer() as server:
        switch = StopSwitch(server.new_database(), **PATIENT)
        switch.stop("Release")
        assert switch.check("Search") is None
        server.kill()
        server.start()
        switch.read()
        assert switch.check("Search") is None


def test_a_table_that_is_locked_hangs_the_read(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    switch = StopSwitch(url, max_age=0.01, timeout=2.0)
    switch.resume("nothing")
    assert settled(switch, "Release", passed=True) is None
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE agno_portkey_stops IN ACCESS EXCLUSIVE MODE")
        verdict = settled(switch, "Release", passed=False)
        assert verdict is not None
        assert "no answer within 2 s" in verdict.reason
    assert settled(switch, "Release", passed=True) is None


def test_an_address_that_takes_connections_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        port = hole.getsockname()[1]
        switch = StopSwitch(f"postgresql://u:pa55word@127.0.0.1:{port}/x", **HASTY)
        verdict = refused(switch, "no answer within 0.2 s")
    assert "pa55word" not in verdict.reason


def test_an_address_where_nothing_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        switch = StopSwitch(f"postgresql://u:pa55word@127.0.0.1:{port}/x", **PATIENT)
        verdict = refused(switch, "onnection")
    assert "pa55word" not in verdict.reason


def test_who_may_not_write_is_told_of_stops_all_the_same(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    postgres.run("CREATE ROLE reader LOGIN")
    reading = url.replace("postgres@", "reader@")
    switch = StopSwitch(reading, **PATIENT)
    # There is no table, and it can't make one: nobody has stopped anything yet.
    assert switch.check("Release") is None
    with pytest.raises(ConfigurationError, match="permission denied"):
        switch.stop("Release")
    StopSwitch(url).stop("Release")
    verdict = settled(switch, "Search", passed=False)
    assert verdict is not None
    assert "permission denied" in verdict.reason
    postgres.run("GRANT SELECT ON agno_portkey_stops TO reader", url)
    assert settled(switch, "Search", passed=True) is None
    assert switch.check("Release") is not None
