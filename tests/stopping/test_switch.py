"""A swarm is stopped for all who share a database, until it may go on."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import time
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
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer
from sqlalchemy import create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.pool import StaticPool
from stopping_store import Kept, settled

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.stopping import ALL, DATABASE_VARIABLE, Resumed, StopSwitch, switch_of

QUICK = 0.05


def test_a_stop_is_seen_by_another_switch_and_so_is_its_end(database: str) -> None:
    here, there = StopSwitch(database), StopSwitch(database, max_age=QUICK)
    assert there.check("Release") is None
    stop = here.stop("Release", reason="it deletes things", by="kim")
    verdict = settled(there, "Release", passed=False)
    assert verdict is not None
    assert (verdict.passed, verdict.source) == (False, "stop")
    assert "the swarm Release is stopped since 20" in verdict.reason
    assert "by kim (it deletes things)" in verdict.reason
    assert "agno-portkey resume --swarm Release" in verdict.reason
    assert verdict.evidence == {
        "swarm": "Release",
        "stopped_at": stop.at.isoformat(),
        "by": "kim",
        "reason": "it deletes things",
    }
    assert there.check("Search") is None
    assert here.stopped() == {"Release": stop}
    assert here.resume("Release") == [stop]
    assert here.resume("Release") == []
    assert here.resumed() == {}
    assert settled(there, "Release", passed=True) is None
    assert here.stopped() == {}


def test_the_one_who_stops_sees_it_at_once(database: str) -> None:
    switch = StopSwitch(database, max_age=30)
    assert switch.check("Release") is None
    switch.stop("Release")
    assert switch.check("Release") is not None
    switch.resume("Release")
    assert switch.check("Release") is None


@pytest.mark.parametrize("said", ["x" * 300, "a\0b", "\ud800", b"ann", 7])
def test_who_and_why_keep_no_stop_from_being_written(database: str, said: Any) -> None:
    switch = StopSwitch(database)
    switch.stop("Release", by=said, reason=said)
    [stop] = StopSwitch(database).stopped().values()
    assert isinstance(stop.by, str)
    assert isinstance(stop.reason, str)
    assert StopSwitch(database).check("Release") is not None
    switch.resume("Release", by=said, reason=said)
    assert StopSwitch(database).check("Release") is None


def test_every_swarm_can_be_stopped_at_once(database: str) -> None:
    switch = StopSwitch(database)
    switch.stop(ALL)
    for name in ("Release", "a name never heard of"):
        verdict = switch.check(name)
        assert verdict is not None
        assert "every swarm is stopped" in verdict.reason
        assert "resume --all" in verdict.reason
    # One that was stopped by name, too, does not go on with the others.
    switch.stop("Release")
    switch.resume(ALL)
    assert switch.check("Search") is None
    assert switch.check("Release") is not None


def test_a_member_is_stopped_with_any_team_it_is_in() -> None:
    switch = StopSwitch(InMemoryDb())
    switch.stop("Inner")
    assert switch.check("Outer") is None
    assert switch.check("Outer", "Inner") is not None
    assert switch.check() is None


def test_a_later_stop_takes_the_place_of_an_earlier_one(database: str) -> None:
    switch = StopSwitch(database)
    switch.stop("Release", reason="one", by="kim")
    later = switch.stop("Release", reason="two")
    assert switch.stopped() == {"Release": later}
    assert (later.by, later.reason) == (None, "two")


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1))
def test_case_and_space_make_no_difference(name: str) -> None:
    switch = StopSwitch(InMemoryDb())
    if not name.strip():
        with pytest.raises(ConfigurationError, match="swarm: a name of 1 to 255"):
            switch.stop(name)
        return
    switch.stop(name)
    for spelt in (name, f" {name}\t", name.strip()):
        assert switch.check(spelt) is not None
    switch.resume(f"  {name}")
    assert switch.check(name) is None


_NAMES = st.sampled_from(["Release", "release ", "Sèarch", "'; DROP TABLE x; --", ALL])


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.tuples(st.booleans(), _NAMES), max_size=8))
def test_whatever_is_done_the_state_is_what_was_done_last(
    steps: list[tuple[bool, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("stops") / "agno.db"
    switch, stopped = StopSwitch(str(file)), set[str]()
    for stops, name in steps:
        folded = name.strip().casefold()
        if stops:
            switch.stop(name)
            stopped.add(folded)
        else:
            switch.resume(name)
            stopped.discard(folded)
        for asked in ("Release", "Sèarch", "'; DROP TABLE x; --", "another"):
            # A read that a busy machine is long about would count as a stop.
            refused = StopSwitch(str(file), timeout=30).check(asked) is not None
            assert refused == (ALL in stopped or asked.casefold() in stopped)


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, None, 3])
def test_a_name_has_to_be_one(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="swarm: a name of 1 to 255 characters"):
        StopSwitch(InMemoryDb()).stop(name)


# What is known is asked for again when it is too old


def test_what_was_read_counts_for_a_while_and_is_read_anew_before_it_does_not() -> None:
    store = Kept()
    switch = StopSwitch(store, max_age=30)
    for _ in range(100):
        assert switch.check("Release") is None
    assert store.reads == 1
    eager = StopSwitch(store, max_age=0.01)
    assert eager.check("Release") is None
    store.kept_stop("Release")
    assert settled(eager, "Release", passed=False) is not None


def test_while_it_still_counts_the_next_read_is_begun_and_not_waited_for() -> None:
    store = Kept()
    switch = StopSwitch(store, max_age=4, timeout=0.1)
    while switch.check("Release") is not None:
        pass
    gate, reads = store.hold(), store.reads
    while store.reads == reads:
        # One that waited for this read would be refused: it does not come to an end.
        assert switch.check("Release") is None
        time.sleep(0.01)
    gate.set()


def test_many_that_ask_at_once_have_one_read_for_all() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=30, timeout=30)
    answers: list[Any] = []
    asking = [
        threading.Thread(target=lambda: answers.append(switch.check("Release"))) for _ in range(20)
    ]
    for thread in asking:
        thread.start()
    store.entered.wait()
    gate.set()
    for thread in asking:
        thread.join()
    assert answers == [None] * 20
    # Those who came while it was under way may want one that began after they asked.
    assert store.reads <= 2


def test_who_asks_while_a_read_is_under_way_is_not_answered_from_before_a_stop() -> None:
    store = Kept()
    gate = store.hold()
    switch = StopSwitch(store, max_age=0.001, timeout=30)
    first = threading.Thread(target=switch.check, args=("Release",))
    first.start()
    store.entered.wait()
    # The read has looked already; then the stop is written, and then somebody asks.
    store.kept_stop("Release")
    answers: list[Any] = []
    second = threading.Thread(target=lambda: answers.append(switch.check("Release")))
    second.start()
    second.join(0.05)
    gate.set()
    first.join()
    second.join()
    assert answers[0] is not None


def test_a_switch_is_not_copied() -> None:
    switch = StopSwitch(InMemoryDb())
    assert copy.deepcopy([switch])[0] is switch
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(switch)


# Names that were asked for


def test_the_names_that_processes_ask_for_are_kept(database: str) -> None:
    switch = StopSwitch(database, max_age=QUICK)
    assert switch.known_swarms() == set()
    wanted = {"Release", "Search"}
    while switch.known_swarms() != wanted:
        assert switch.check("Release", "Search", ALL) is None
    switch.stop("Release")
    switch.stop(ALL)
    assert switch.known_swarms() == wanted


def test_what_can_not_be_noted_hinders_nothing(tmp_path: Path) -> None:
    class ReadOnly(Kept):
        def note(self, swarms: Any) -> None:
            self.noting += 1
            raise OSError("read-only")

    store = ReadOnly()
    switch = StopSwitch(store, max_age=0.001)
    while store.reads < 5:
        assert switch.check("Release") is None
    assert store.noting <= 1


# Which databases


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
