"""Which databases a switch is kept in, and several processes at once on one of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.json import JsonDb
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from postgres_server import PostgresServer
from sqlalchemy import create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.pool import StaticPool
from stopping_store import settled

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.stopping import DATABASE_VARIABLE, Resumed, StopSwitch, switch_of

QUICK = 0.05


def _sqlite(at: str) -> list[Any]:
    file = at.removeprefix("sqlite:///")
    return [
        SqliteDb(db_file=file),
        SqliteDb(db_url=at),
        SqliteDb(db_engine=create_engine(at)),
        AsyncSqliteDb(db_file=file),
        at.replace("sqlite:", "sqlite+aiosqlite:"),
        file,
    ]


def _postgres(at: str) -> list[Any]:
    driver = at.replace("postgresql:", "postgresql+psycopg:")
    return [
        PostgresDb(db_url=driver),
        PostgresDb(db_engine=create_engine(driver), db_schema="other"),
        AsyncPostgresDb(db_url=at.replace("postgresql:", "postgresql+psycopg_async:")),
        at.replace("postgresql:", "postgres:"),
        at.replace("postgresql:", "postgresql+asyncpg:") + "?ssl=prefer",
    ]


def test_each_form_of_one_database_is_the_same_switch(database: str) -> None:
    make: Callable[[str], list[Any]] = _sqlite if database.startswith("sqlite") else _postgres
    forms = make(database)
    for number, form in enumerate(forms):
        StopSwitch(form).stop(f"swarm {number}")
    for form in forms:
        assert len(StopSwitch(form).stopped()) == len(forms)
        assert StopSwitch(form).check("swarm 0") is not None


def test_all_connections_of_the_host_may_be_in_use(postgres: PostgresServer) -> None:
    driver = postgres.new_database().replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(driver, pool_size=1, max_overflow=0)
    switch = StopSwitch(PostgresDb(db_engine=engine))
    with engine.connect():
        switch.stop("Release")
        assert switch.check("Release") is not None
        assert switch.check("Search") is None
    engine.dispose()


def test_in_memory_a_stop_holds_in_this_process() -> None:
    for database in (
        InMemoryDb(),
        SqliteDb(db_url="sqlite://"),
        SqliteDb(db_engine=create_engine("sqlite:///:memory:", poolclass=StaticPool)),
    ):
        StopSwitch(database).stop("Release", reason="r")
        assert StopSwitch(database).check("release") is not None
        assert StopSwitch(database).check("Search") is None
        [lifted] = StopSwitch(database).resume("Release")
        assert lifted.reason == "r"
        assert StopSwitch(database).check("Release") is None
        assert "this process" in repr(StopSwitch(database))
        while StopSwitch(database).known_swarms() != {"Release", "release", "Search"}:
            pass


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("", "an address or a file"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("nonsense://user:pa55word@host/x", "can't be used"),
        ("postgresql://user:pa55word@host:port/x", "an address such as"),
        ("mysql+nonsense://user:pa55word@host/x", "can't be used"),
        (3, "int can't hold stops"),
        (None, "NoneType can't hold stops"),
    ],
)
def test_what_can_not_hold_stops_is_refused(database: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        StopSwitch(database)
    assert "pa55word" not in str(refused.value)


def test_a_driver_that_is_missing_is_named() -> None:
    with pytest.raises(MissingExtraError, match="driver of oracle") as refused:
        StopSwitch("oracle://user:pa55word@host/x")
    assert "pa55word" not in str(refused.value)


def test_postgres_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[postgres\]"):
        StopSwitch("postgresql://user@127.0.0.1:1/x")


def test_a_driver_that_does_not_block_is_refused() -> None:
    registry.register("odd.aio", "sqlalchemy.dialects.sqlite.aiosqlite", "dialect")
    with pytest.raises(ConfigurationError, match=r"odd\+aio is async"):
        StopSwitch("odd+aio:///x.db")


def test_a_password_is_not_shown() -> None:
    shown = repr(StopSwitch("postgresql://user:pa55word@127.0.0.1:1/x?password=pa55word"))
    assert "pa55word" not in shown
    assert "127.0.0.1:1/x" in shown


@pytest.mark.parametrize("value", [0, -1, 60, float("nan"), True, "1", None])
@pytest.mark.parametrize("name", ["max_age", "timeout"])
def test_the_times_have_to_be_times(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: seconds, more than 0"):
        StopSwitch(InMemoryDb(), **{name: value})


def test_the_switch_of_an_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "own.db"))
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    own = switch_of(Agent(db=db))
    assert isinstance(own, StopSwitch)
    assert "own.db" in repr(own)
    assert repr(switch_of(Agent())) == "LateSwitch(None)"
    assert caplog.text == ""
    assert not isinstance(switch_of(Agent(db=JsonDb(db_path=str(tmp_path)))), StopSwitch)
    assert "there is no kill switch: database: JsonDb can't hold stops" in caplog.text
    # Where operators look.
    monkeypatch.setenv(DATABASE_VARIABLE, str(tmp_path / "shared.db"))
    for owner in (Agent(db=db), Agent()):
        shared = switch_of(owner)
        assert "shared.db" in repr(shared)


_MAKES = """
import sys
from agno_portkey.stopping import StopSwitch
switch = StopSwitch(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
switch.stop(sys.argv[2], by="process")
switch.stop("the same", by=sys.argv[2])
"""


def test_processes_that_begin_at_once_make_one_table(database: str) -> None:
    names = [f"swarm {number}" for number in range(4)]
    making = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKES, database, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for process in making:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in making:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in making:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert {*StopSwitch(database).stopped()} == {*names, "the same"}


_FORKS = """
import os, sys
from agno_portkey.stopping import StopSwitch
switch = StopSwitch(sys.argv[1], max_age=0.01)
assert switch.check("Release") is None
while switch.known_swarms() != {"Release"}:
    pass
switch._lock.acquire()  # as a thread of the parent may hold it
child = os.fork()
if child == 0:
    switch.stop("Release")
    if sys.argv[1].startswith("postgresql"):
        import psycopg
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        others = psycopg.connect(sys.argv[1]).execute(count).fetchone()[0] - 1
        assert others >= 2, "the connection of the parent is used"
    os._exit(0 if switch.check("Release") is not None else 1)
switch._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
while switch.check("Release") is None:
    pass
"""


def test_a_fork_goes_on_with_connections_of_its_own(database: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _FORKS, database]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_row_that_another_makes_meanwhile_is_changed(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    switch = StopSwitch(url)
    switch.resume("nothing")
    stopping = threading.Thread(target=switch.stop, args=("Release",), kwargs={"by": "kim"})
    with psycopg.connect(url) as other:
        other.execute("INSERT INTO agno_portkey_stops (swarm) VALUES ('Release')")
        stopping.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while postgres.run(waits) == [(0,)]:
            pass
    stopping.join()
    assert switch.stopped()["Release"].by == "kim"


def test_a_row_that_an_operator_writes_by_hand_counts(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    switch = StopSwitch(url, max_age=QUICK)
    switch.resume("anything")
    postgres.run("INSERT INTO agno_portkey_stops VALUES ('Release', now()::text, 'me', 'x')", url)
    assert settled(switch, "Release", passed=False) is not None


@pytest.mark.parametrize("kept", ["file", "memory"])
def test_who_let_it_go_on_last_is_kept(tmp_path: Path, kept: str) -> None:
    switch = StopSwitch(str(tmp_path / "agno.db") if kept == "file" else InMemoryDb())
    switch.stop("Release", by="kim", reason="enough")
    assert switch.resumed() == {}
    [_] = switch.resume("release", by="ann", reason="mended")
    assert switch.resumed() == {"Release": Resumed("Release", "ann", "mended")}
    switch.stop("Release")
    assert switch.resumed() == {}
    [_] = switch.resume("Release")
    assert switch.resumed() == {}
