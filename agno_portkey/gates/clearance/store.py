"""Clearances in a SQL database: SQLite, Postgres, or another one that SQLAlchemy speaks to."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

from agno.db.in_memory import InMemoryDb
from sqlalchemy import Column, MetaData, String, Table, Text, bindparam
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.clearance.kept import KeptTable
from agno_portkey.gates.clearance.memory import MemoryStore, Store
from agno_portkey.gates.clearance.row import Row
from agno_portkey.sql import in_memory, source_of

__all__ = ["SqlStore", "store_of"]

_TABLE = Table(
    "agno_portkey_clearances",
    MetaData(),
    Column("id", String(255), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("gate", String(255), nullable=False),
    Column("swarm", Text),
    Column("tenant", Text),
    Column("environment", Text),
    Column("session_id", Text),
    Column("user_id", Text),
    Column("team_run_id", String(255), index=True),
    Column("plan", Text, nullable=False),
    Column("plan_digest", String(255), nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("request_digest", String(255)),
    # yes, or no: the gate itself refused it.
    Column("passed", String(8), nullable=False),
    # In ISO 8601 and UTC, as are all times.
    Column("issued_at", String(64), nullable=False),
    Column("expires_at", String(64), nullable=False),
    Column("approved_by", Text),
    Column("revoked_by", Text),
    Column("reason", Text),
    # A run of the Runner holds one clearance alone.
    Column("claimed_by", String(255), unique=True),
    Column("claimed_at", String(64)),
    # Numbers of steps, as JSON.
    Column("taken", Text, nullable=False),
    Column("done", Text, nullable=False),
    # Of all other columns: it tells a row that was changed, by hand or by another process.
    Column("row_digest", String(128), nullable=False),
)


class SqlStore:
    """The table `agno_portkey_clearances` of one database, made by whoever first writes to it.

    Once it was there its absence is an error, as is that of a SQLite file: whatever took it away
    must not let a clearance be used again. `seconds` is how long a lock is waited for.
    """

    def __init__(self, database: URL | Engine, *, seconds: float) -> None:
        self._table = KeptTable(database, _TABLE, seconds=seconds)
        self.place = self._table.place
        self.url: URL | None = database.url if isinstance(database, Engine) else database

    def get(self, id: str) -> Row | None:
        return self._one(id=id)

    def by_run(self, runner_run_id: str) -> Row | None:
        return self._one(claimed_by=runner_run_id)

    def rows(self, **same: str) -> list[Row]:
        return self._read(**same)

    def insert(self, row: Row) -> bool:
        if not self._table.is_there():
            self._table.make()
            self._table.seen = True
        # Of an insertion no count of rows is told: it is made, or refused.
        return self._written(_TABLE.insert().values(**row)) is not None

    def swap(self, old: Row, new: Row) -> bool:
        same = ("id", "state", "row_digest")
        as_it_was = [_TABLE.c[name] == old[name] for name in same]
        return self._written(_TABLE.update().where(*as_it_was).values(**new)) == 1

    def _one(self, **same: str) -> Row | None:
        rows = self._read(**same)
        return rows[0] if rows else None

    def _read(self, **same: str) -> list[Row]:
        if not self._table.is_there():
            return []
        wanted = _having(*same)
        with self._table.missed():
            try:
                rows = self._table.read(wanted, same)
            except DBAPIError as error:
                if _is_undecoded(error):
                    rows = self._read_undecoded(wanted, same)
                elif error.connection_invalidated:
                    # The server was started anew since.
                    rows = self._table.read(wanted, same)
                else:
                    raise
        return [row._asdict() for row in rows]

    def _read_undecoded(self, wanted: Any, same: dict[str, str]) -> list[Any]:
        """The rows with bytes for what is no UTF-8: one that was altered holds up no others."""
        with self._table.connection() as connection:
            # It is for this read alone, as each connection to a SQLite file is.
            driver: Any = connection.connection.driver_connection
            driver.text_factory = _text_or_bytes
            return list(connection.execute(wanted, same))

    def _written(self, statement: Any) -> int | None:
        """How many rows were changed; None where an id or a run has one already."""
        try:
            with self._table.missed(), self._table.writing() as connection:
                return int(connection.execute(statement).rowcount)
        except IntegrityError:
            return None


def _is_undecoded(error: DBAPIError) -> bool:
    """Whether SQLite holds a text that is no UTF-8; Postgres takes none."""
    return isinstance(error.orig, sqlite3.Error) and "decode to UTF-8" in str(error.orig)


def _text_or_bytes(held: bytes) -> str | bytes:
    try:
        return held.decode()
    except UnicodeDecodeError:
        return held


@lru_cache
def _having(*names: str) -> Any:
    """The rows whose columns hold the values of these names."""
    return _TABLE.select().where(*(_TABLE.c[name] == bindparam(name) for name in names))


def store_of(database: Any, seconds: float) -> Store:
    """Where the clearances of `database` are kept; what can't hold any is refused."""
    if database is None or isinstance(database, InMemoryDb):
        return MemoryStore(database)
    source = source_of(database)
    if source is None:
        raise ConfigurationError(
            f"database: {type(database).__name__} can't hold clearances; give an Agno database on "
            "SQL or an address"
        )
    return MemoryStore(database) if in_memory(source) else SqlStore(source, seconds=seconds)
