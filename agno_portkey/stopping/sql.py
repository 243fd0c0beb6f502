"""Stops in a SQL database: SQLite, Postgres, or another one that SQLAlchemy speaks to."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, Text, create_engine, inspect, select
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.stopping.record import LONGEST, Stop, fold, parsed

__all__ = ["SqlStore", "file_of", "in_memory", "named"]

_TABLE = Table(
    "agno_portkey_stops",
    MetaData(),
    Column("swarm", String(LONGEST), primary_key=True),
    # In ISO 8601; none where the swarm is not stopped.
    Column("stopped_at", String(64)),
    Column("by", String(255)),
    Column("reason", Text),
    # When a process first asked for the swarm, if one has.
    Column("asked_at", String(64)),
)
_STOPS = select(*list(_TABLE.c)[:4]).where(_TABLE.c.stopped_at.is_not(None))
_ASKED = select(_TABLE.c.swarm).where(_TABLE.c.asked_at.is_not(None))
# A stop is read on a thread of its own: the same database by a driver that blocks.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "mysql+aiomysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
}
_GONE = f"its table {_TABLE.name} was there and is gone: `agno-portkey resume` makes it anew"
_WRITE_SECONDS = 10.0
# Names are kept to tell mistyped ones; swarms that are named anew each time can't be.
_NAMES = 1000
_TRIES = 3


class SqlStore:
    """The table `agno_portkey_stops` of one database, made by whoever first has to write to it.

    While it was never there, nothing is stopped; once it was, its absence is an error, for
    whatever took it away must not let a stopped swarm go on. The same holds for a SQLite file.
    `seconds` is how long a read waits for a lock.
    """

    def __init__(self, database: str | URL | Engine, *, seconds: float) -> None:
        self._engine, self._file = _engine(database, seconds)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._pid = os.getpid()
        weakref.finalize(self, _close, self._engine, self._pid)
        self._seen = False
        self._named: set[str] = set()
        self.place = self._engine.url.set(query={}).render_as_string(hide_password=True)
        # What the command line takes, but for a password.
        self.address = self._file or self.place

    def stops(self) -> Mapping[str, Stop]:
        return {fold(stop.swarm): stop for stop in map(parsed, self._rows(_STOPS))}

    def noted(self) -> set[str]:
        return {name for (name,) in self._rows(_ASKED)}

    def note(self, swarms: Collection[str]) -> None:
        if not {*swarms} <= self._named:
            if not self._seen:
                self._make_table()
            # A table that was there and is gone stays so: made anew, it would hold no stop.
            known = self.noted()
            for name in {*swarms} - known if len(known) < _NAMES else ():
                self._write(name, {"asked_at": datetime.now(UTC).isoformat()})
            self._named |= {*swarms}

    def put(self, stop: Stop) -> None:
        self._make_table()
        at = stop.at.isoformat()
        self._write(stop.swarm, {"stopped_at": at, "by": stop.by, "reason": stop.reason})

    def _write(self, swarm: str, values: dict[str, Any]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                with self._writing() as connection:
                    row = _TABLE.update().where(_TABLE.c.swarm == swarm)
                    if not connection.execute(row.values(values)).rowcount:
                        connection.execute(_TABLE.insert().values(swarm=swarm, **values))
                return
            except IntegrityError:
                # Another one made the row meanwhile: next time it is changed.
                if not left:
                    raise

    def lift(self, swarm: str) -> list[Stop]:
        self._make_table()
        with self._writing() as connection:
            rows = [row for row in connection.execute(_STOPS) if _is_named(row, swarm)]
            for row in rows:
                none = {"stopped_at": None, "by": None, "reason": None}
                same = _TABLE.c.swarm == row.swarm
                connection.execute(_TABLE.update().where(same).values(none))
        return [_told(row) for row in rows]

    def _rows(self, wanted: Any) -> list[Any]:
        seen = self._seen
        try:
            rows = self._read(wanted)
        except SQLAlchemyError:
            if not self._has_table():
                if seen:
                    raise RuntimeError(_GONE) from None
                return []
            # Somebody made it just now, or the server was started anew since.
            rows = self._read(wanted)
        self._seen = True
        return rows

    def _read(self, wanted: Any) -> list[Any]:
        with self._connection() as connection:
            return list(connection.execute(wanted))

    def _has_table(self) -> bool:
        with self._connection() as connection:
            return inspect(connection).has_table(_TABLE.name)

    def _make_table(self) -> None:
        if self._has_table():
            return
        try:
            with self._writing() as connection:
                _TABLE.create(connection)
        except SQLAlchemyError:
            # Two that make it at once: the databases tell this in ways of their own.
            if not self._has_table():
                raise

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._connection() as connection, connection.begin():
            if self._sqlite:
                milliseconds = int(_WRITE_SECONDS * 1000)
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        if self._seen and self._file is not None and not os.path.exists(self._file):
            # It would be made anew, and be empty.
            raise RuntimeError("its file was there and is gone: put it back")
        with self._engine.connect() as connection:
            yield connection


def _close(engine: Engine, pid: int) -> None:
    # In a child process they are the parent's.
    engine.dispose(close=os.getpid() == pid)


def _is_named(row: Any, swarm: str) -> bool:
    return isinstance(row.swarm, str) and fold(row.swarm) == fold(swarm)


def _told(row: Any) -> Stop:
    """The stop that was lifted, also where its row was none."""
    try:
        return parsed(row)
    except ValueError:
        return Stop(row.swarm, datetime.fromtimestamp(0, UTC))


def _engine(database: str | URL | Engine, seconds: float) -> tuple[Engine, str | None]:
    """An engine with connections of its own, and the file, if it is one.

    It is read also when all of the host's connections are in use.
    """
    if isinstance(database, Engine) and database.dialect.name != "sqlite":
        return Engine(database.pool.recreate(), database.dialect, database.url), None
    url = database.url if isinstance(database, Engine) else url_of(database)
    backend = url.get_backend_name()
    if backend == "sqlite":
        # Opened each time: a connection that is kept goes on in a file that was replaced.
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        wait = {"timeout": 0.8 * seconds}
        return _created(url, poolclass=NullPool, connect_args=wait), file_of(url)
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 4, "pool_timeout": seconds}
    if backend == "postgresql":
        options["connect_args"] = {"connect_timeout": max(2, math.ceil(seconds))}
    return _created(url, **options), None


def _created(url: URL, **options: Any) -> Engine:
    try:
        engine = create_engine(url, **options)
    except ImportError as error:
        if url.get_backend_name() == "postgresql":
            raise MissingExtraError(
                'Postgres needs the package psycopg: pip install "agno-portkey[postgres]"'
            ) from error
        raise MissingExtraError(
            f"the driver of {url.drivername} is not installed ({error.name})"
        ) from error
    except (SQLAlchemyError, TypeError) as error:
        raise ConfigurationError(f"database: {url.drivername} can't be used ({error})") from None
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"database: {url.drivername} is async; give the address with a driver that is not"
        )
    return engine


def url_of(database: str | URL) -> URL:
    """The address `database`, with a driver that blocks; anything else is refused unshown."""
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):
        # It may hold a password.
        raise ConfigurationError(
            "database: an address such as postgresql://user:password@host/name or "
            "sqlite:///agno.db is needed"
        ) from None
    if url.drivername == "postgresql+asyncpg" and "ssl" in url.query:
        url = url.difference_update_query(["ssl"]).update_query_dict({"sslmode": url.query["ssl"]})
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def named(database: str) -> URL:
    """The address that a user gave, or that of the SQLite file."""
    if not database.strip():
        raise ConfigurationError("database: an address or a file is needed, not nothing")
    if "://" not in database:
        return URL.create("sqlite", database=database)
    url = url_of(database)
    if in_memory(url):
        raise ConfigurationError("database: one in memory is seen by nobody else; give a file")
    return url


def file_of(url: URL) -> str | None:
    """The file of a SQLite database, where its address says it plainly."""
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name.startswith("file:"):
        return None
    return os.path.abspath(name)


def in_memory(url: URL) -> bool:
    """Whether a SQLite database of this address lives in memory, where no other can read it."""
    named = url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    return url.get_backend_name() == "sqlite" and (named or "mode=memory" in str(url.database))
