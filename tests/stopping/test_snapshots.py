"""Nobody goes on by an old state of a database: each read sees what was written before it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from postgres_server import PostgresServer
from sqlalchemy import create_engine, text
from stopping_store import Kept, settled

from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping import StopSwitch

PATIENT = {"max_age": 0.01, "timeout": 20}
_COUNT = "SELECT count(*) FROM agno_portkey_stops WHERE stopped_at IS NOT NULL"


def test_a_host_that_sits_in_an_old_snapshot_of_a_file_does_not_hold_the_switch_there(
    tmp_path: Path,
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    switch = StopSwitch(db, **PATIENT)
    switch.resume("nothing")
    with sqlite3.connect(tmp_path / "agno.db") as kept:
        kept.execute("PRAGMA journal_mode = WAL")
    kept.close()
    engine = db.db_engine
    with engine.connect() as old:
        old.exec_driver_sql("BEGIN")
        assert old.execute(text(_COUNT)).scalar() == 0
        StopSwitch(str(tmp_path / "agno.db")).stop("Release")
        assert settled(switch, "Release", passed=False) is not None
        assert old.execute(text(_COUNT)).scalar() == 0
    engine.dispose()


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_host_that_sits_in_an_old_snapshot_of_a_server_does_not_either(
    level: str, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    StopSwitch(url).resume("nothing")
    driver = url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(driver, isolation_level=level)
    switch = StopSwitch(PostgresDb(db_engine=engine), **PATIENT)
    with engine.connect() as old:
        assert old.execute(text(_COUNT)).scalar() == 0
        assert settled(switch, "Release", passed=True) is None
        StopSwitch(url).stop("Release")
        assert settled(switch, "Release", passed=False) is not None
        assert old.execute(text(_COUNT)).scalar() == 0
        StopSwitch(url).resume("Release")
        assert settled(switch, "Release", passed=True) is None
    engine.dispose()


def test_a_state_that_comes_and_goes_stops_as_often_as_it_comes() -> None:
    """Whether an older answer is a lie or a resume nobody can tell; a newer one is believed."""
    store = Kept()
    switch = StopSwitch(store, **PATIENT)
    for _ in range(3):
        store.kept_stop("Release")
        assert settled(switch, "Release", passed=False) is not None
        store.lift("Release")
        assert settled(switch, "Release", passed=True) is None


def test_a_file_that_can_only_be_read_stops_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    StopSwitch(str(file)).stop("Release")
    reader = StopSwitch(f"sqlite:///file:{file}?mode=ro&uri=true", **PATIENT)
    for _ in range(3):
        assert reader.check("Release") is not None
        assert settled(reader, "Search", passed=True) is None
    with pytest.raises(ConfigurationError, match=r"can't be written: .*readonly"):
        reader.stop("Search")
    with pytest.raises(ConfigurationError, match=r"can't be written: .*readonly"):
        reader.resume("Release")
    assert {*StopSwitch(str(file)).stopped()} == {"Release"}


def test_a_server_that_takes_no_writes_stops_all_the_same(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    StopSwitch(url).stop("Release")
    name = url.rpartition("/")[2].partition("?")[0]
    postgres.run(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    reader = StopSwitch(url, **PATIENT)
    assert reader.check("Release") is not None
    assert settled(reader, "Search", passed=True) is None
    with pytest.raises(ConfigurationError, match="read-only"):
        reader.resume("Release")
