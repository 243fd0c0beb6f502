"""Rows in real databases: each once, whatever became of the answer to it; and their sums."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from ledger_rows import rows
from sqlalchemy import text

from agno_portkey.errors import ConfigurationError, DatabaseGone, LedgerUnavailable
from agno_portkey.telemetry.ledger import BY, Entry, Ledger, Total
from agno_portkey.telemetry.ledger.store import MemoryStore, SqlStore, Store, row_of, store_of
from agno_portkey.verdict import Event

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENTRY = Entry(
    at=NOW,
    kind="attempt",
    run="r1",
    own_run="o1",
    role="Writer",
    swarm="Team",
    cost_center="cc",
    model="m",
    input_tokens=10,
    output_tokens=5,
    tokens=15,
    cost=1_500,
    priced="list",
)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqlStore(f"sqlite:///{tmp_path / 'ledger.db'}", seconds=30)
    return SqlStore(request.getfixturevalue("postgres").new_database(), seconds=30)


def put(store: Store, *entries: Entry, writer: str = "w", first: int = 1) -> list[Any]:
    return store.put([row_of(each, writer, n) for n, each in enumerate(entries, first)])


def spent(store: Store, **same: Any) -> Total:
    return store.total(same, writer="nobody", after=0)


def test_what_is_put_again_is_there_once(store: Store) -> None:
    assert put(store, ENTRY, ENTRY) == []
    assert put(store, ENTRY, ENTRY) == []
    # In one go with what is new: its answer was lost, and then there was more.
    assert put(store, ENTRY, ENTRY, ENTRY) == []
    assert put(store, ENTRY, writer="another") == []
    assert spent(store) == Total(4 * 1_500, 4 * 15, 0)


def test_totals_are_of_what_is_the_same(store: Store) -> None:
    others = [
        replace(ENTRY, cost_center="other"),
        replace(ENTRY, cost_center=None),
        replace(ENTRY, at=NOW + timedelta(days=1)),
        replace(ENTRY, run="r2"),
        replace(ENTRY, cost=None, priced="unknown"),
        replace(ENTRY, kind="gateway", estimated=True, cost=7, tokens=7),
    ]
    assert spent(store) == Total()
    put(store, ENTRY, *others)
    assert spent(store) == Total(5 * 1_500, 6 * 15, 1)
    assert spent(store, cost_center="other") == Total(1_500, 15, 0)
    assert spent(store, cost_center=None) == Total(1_500, 15, 0)
    assert spent(store, day="2026-05-01", run="r1", cost_center="cc") == Total(1_500, 30, 1)
    assert spent(store, day="2026-05-02") == Total(1_500, 15, 0)
    # What its own writer has counted itself.
    assert store.total({}, writer="w", after=2) == Total(3_000, 30, 0)


@pytest.mark.parametrize("by", BY)
def test_sums_keep_what_is_estimated_apart(by: str, store: Store) -> None:
    put(
        store,
        ENTRY,
        replace(ENTRY, status="failed", tokens=0, input_tokens=0, output_tokens=0, cost=0),
        replace(ENTRY, cost=None, priced="unknown"),
        replace(ENTRY, tokens=None, input_tokens=None, output_tokens=None, cost=None),
    )
    put(store, replace(ENTRY, kind="gateway", estimated=True, requests=3), writer="x")
    put(store, replace(ENTRY, kind="lost", requests=8), writer="y")
    found = store.sums(by)
    assert sum(each.requests for each in found) == 4
    assert sum(each.failed for each in found) == 1
    assert sum(each.tokens for each in found) == 30
    assert sum(each.input_tokens for each in found) == 20
    assert sum(each.output_tokens for each in found) == 10
    assert sum(each.cost for each in found) == 1_500
    assert sum(each.unpriced for each in found) == 1
    assert sum(each.unmeasured for each in found) == 0
    assert sum(each.estimated for each in found) == 3
    assert sum(each.lost for each in found) == 8


def test_sums_are_by_name_the_dearest_first_and_since_a_time(store: Store) -> None:
    assert store.sums("role") == []
    late = replace(ENTRY, role="Late", at=NOW + timedelta(hours=1, microseconds=1), cost=9_000)
    put(store, ENTRY, late, replace(ENTRY, role=None, cost=1))
    assert [(each.name, each.cost) for each in store.sums("role")] == [
        *(("Late", 9_000), ("Writer", 1_500)),
        (None, 1),
    ]
    assert [each.name for each in store.sums("role", NOW + timedelta(hours=1))] == ["Late"]
    assert len(store.sums("role", NOW)) == 3
    assert store.sums("role", late.at + timedelta(microseconds=1)) == []


def test_one_that_no_database_takes_holds_up_no_other(tmp_path: Path, request: Any) -> None:
    server = request.getfixturevalue("postgres")
    store = SqlStore(server.new_database(), seconds=30)
    bad = row_of(ENTRY, "w", 2) | {"role": "x" * 300}
    given = [row_of(ENTRY, "w", 1), bad, row_of(ENTRY, "w", 3)]
    assert store.put(given) == [bad]
    assert spent(store).tokens == 30


@pytest.mark.parametrize("how", ["table", "file"])
def test_what_was_taken_away_is_not_made_anew(how: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = SqlStore(f"sqlite:///{path}", seconds=30)
    put(store, ENTRY)
    if how == "file":
        path.unlink()
    else:
        with store._table.writing() as connection:
            connection.execute(text("DROP TABLE agno_portkey_ledger"))
    for ask in (lambda: put(store, ENTRY, first=2), lambda: spent(store)):
        with pytest.raises(DatabaseGone):
            ask()
    assert not path.exists() or how == "table"


def test_sums_that_are_no_sums_are_refused(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"), timeout=30)
    ledger(Event("attempt", "r", data={"input_tokens": 1, "output_tokens": 2}))
    ledger.flush()
    store = ledger._store
    assert isinstance(store, SqlStore)
    for spoilt in ("-3", "1.5", "'many'"):
        with store._table.writing() as connection:
            connection.execute(text(f"UPDATE agno_portkey_ledger SET tokens = {spoilt}"))
        if spoilt == "'many'":
            # SQLite adds a text up as nothing.
            assert ledger.sums("role")[0].tokens == 0
            continue
        with pytest.raises(LedgerUnavailable, match="can't be read"):
            ledger.sums("role")


# Which databases


def test_it_is_in_agnos_own_database(tmp_path: Path) -> None:
    path = str(tmp_path / "agno.db")
    with closing(_Engines()) as engines:
        for database in (SqliteDb(db_file=path), AsyncSqliteDb(db_file=path), path):
            engines.add(database)
            ledger = Ledger(database, timeout=30)
            ledger(Event("attempt", "r", data={"input_tokens": 1, "output_tokens": 2}))
            ledger.flush()
    assert len(rows(Ledger(path, timeout=30))) == 3


class _Engines:
    """Engines to be closed: an open one warns when it is collected."""

    def __init__(self) -> None:
        self._held: list[Any] = []

    def add(self, database: Any) -> None:
        self._held.append(getattr(database, "db_engine", None))

    def close(self) -> None:
        for engine in self._held:
            if hasattr(engine, "sync_engine"):
                asyncio.run(engine.dispose())
            elif engine is not None:
                engine.dispose()


@pytest.mark.parametrize("database", [InMemoryDb(), SqliteDb(db_url="sqlite://")])
def test_a_database_in_memory_is_this_process_alone(database: Any) -> None:
    assert isinstance(store_of(database, 1), MemoryStore)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"database": object()}, "object can't hold a ledger"),
        ({"database": "sqlite://"}, "in memory is seen by nobody else"),
        ({"database": InMemoryDb(), "timeout": 0}, "timeout: seconds"),
        ({"database": InMemoryDb(), "max_age": 61}, "max_age: seconds"),
        ({"database": InMemoryDb(), "limit": 0}, "limit: how many rows"),
        ({"database": InMemoryDb(), "prices": {}}, "prices: a Prices"),
    ],
)
def test_what_is_given_wrongly_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Ledger(**options)


def test_sums_are_by_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="by: one of run, role"):
        Ledger(InMemoryDb()).sums("colour")
