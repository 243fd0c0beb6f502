"""A table in a SQL database of the user's: connections of its own, forks, and what was taken away.

SQLite, Postgres, or another one that SQLAlchemy speaks to.
"""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, inspect, select
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.event import listen
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from agno_portkey.environments import check_environment, current
from agno_portkey.errors import ConfigurationError, DatabaseGone, MissingExtraError
from agno_portkey.forks import unforked

__all__ = [
    "SqlTable",
    "file_of",
    "in_memory",
    "named",
    "private_file",
    "source_of",
    "stamp_of",
    "trouble_of",
]

# Where an async driver is named: the same database by one that blocks.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "mysql+aiomysql": "mysql+pymysql",
    "mysql+asyncmy": "mysql+pymysql",
}
# Which environment a database is of: one row.
_STAMP = Table(
    "agno_portkey_environment",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("environment", String(255), nullable=False),
)
# Of Postgres, where a lock was waited for too long.
_LOCK_NOT_AVAILABLE = "55P03"


class SqlTable:
    """One table of one database, reached by connections of its own, after a fork too.

    `seen` is whether it was ever there; from then on a SQLite file that is missing raises
    DatabaseGone, for it would be made anew, and be empty. `seconds` is how long a read waits for
    a lock. Each method blocks.
    """

    def __init__(self, database: str | URL | Engine, table: Table, *, seconds: float) -> None:
        self._engine, self.file = _engine(database, seconds)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._table = table
        self._pid = os.getpid()
        weakref.finalize(self, _close, self._engine, self._pid)
        self.seen = False
        # As what it was seen to be of no other environment; and whether it says of which it is.
        self._checked: tuple[Any, ...] | None = None
        self._stamped = False
        self.place = self._engine.url.set(query={}).render_as_string(hide_password=True)

    def read(self, wanted: Any) -> list[Any]:
        with self.connection() as connection:
            return list(connection.execute(wanted))

    def exists(self) -> bool:
        with self.connection() as connection:
            return inspect(connection).has_table(self._table.name)

    def make(self) -> None:
        """Make the table, where there is none."""
        if self.exists():
            return
        try:
            with self.writing() as connection:
                self._table.create(connection)
        except SQLAlchemyError:
            # Two that make it at once: the databases tell this in ways of their own.
            if not self.exists():
                raise

    def is_there(self) -> bool:
        """Whether the table is, or was, there: once it was, its absence is an error."""
        self.seen = self.seen or self.exists()
        return self.seen

    @contextmanager
    def missed(self) -> Iterator[None]:
        """Tell a table that was taken away from a database that is locked or down."""
        try:
            yield
        except DBAPIError as error:
            name = self._table.name
            if name in str(error.orig) and not self.exists():
                raise DatabaseGone(f"its table {name} was there and is gone: put it back") from None
            raise

    @contextmanager
    def writing(self, seconds: float | None = None) -> Iterator[Connection]:
        """A transaction, which in SQLite waits `seconds` for a lock.

        Who writes first says of which environment the database is.
        """
        if not self._stamped and (own := current()) is not None:
            self._stamp(own)
        with self._transaction(seconds) as connection:
            yield connection

    @contextmanager
    def _transaction(self, seconds: float | None = None) -> Iterator[Connection]:
        with self.connection() as connection, connection.begin():
            if self._sqlite and seconds is not None:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            yield connection

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        if self.seen and self.file is not None and not os.path.exists(self.file):
            raise DatabaseGone("its file was there and is gone: put it back")
        apart = unforked() if self._sqlite else nullcontext()
        with apart, self._engine.connect() as connection:
            if self._checked != (seen := self._seen_as()):
                self._check_environment(connection)
                # Else what follows would be in the transaction of this look-up.
                connection.rollback()
                self._checked = seen
            yield connection

    # Of which environment the database is

    def is_ours(self) -> bool:
        """Whether it was seen already that this very database is of no other environment."""
        return self._checked == self._seen_as()

    def _seen_as(self) -> tuple[Any, ...]:
        """This process' environment, and the file: another one may be put in its place."""
        with suppress(OSError):
            if self.file is not None:
                status = os.stat(self.file)
                return current(), status.st_dev, status.st_ino
        return (current(),)

    def _check_environment(self, connection: Connection) -> None:
        self._stamped = False
        if not inspect(connection).has_table(_STAMP.name):
            return
        theirs = connection.execute(select(_STAMP.c.environment)).scalar()
        check_environment(theirs, f"the database {self.place}")
        # Who has made the table may have been killed before they wrote into it.
        self._stamped = theirs is not None

    def _stamp(self, own: str) -> None:
        try:
            with self._transaction() as connection:
                if not self._stamped:
                    if self._sqlite:
                        # Else others see the table before its row.
                        connection.exec_driver_sql("BEGIN IMMEDIATE")
                    _STAMP.create(connection, checkfirst=True)
                    if connection.execute(select(_STAMP)).first() is None:
                        connection.execute(_STAMP.insert().values(id=1, environment=own))
        except SQLAlchemyError:
            # Others may have done it at once; whether they are of this environment is looked up.
            self._checked = None
            with self.connection():
                if not self._stamped:
                    raise
        self._checked, self._stamped = None, True


def stamp_of(database: str | URL | Engine, *, seconds: float = 5.0) -> str | None:
    """Of which environment `database` says that it is; None where it says nothing.

    A SQLite file that is not there says nothing, and is not made.
    """
    engine, file = _engine(database, seconds)
    if file is not None and not os.path.exists(file):
        return None
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(_STAMP.name):
                return None
            return connection.execute(select(_STAMP.c.environment)).scalar()
    finally:
        engine.dispose()


def trouble_of(error: BaseException) -> str | None:
    """What keeps a SQLite or Postgres from answering, where `error` says so: a lock, or a fall."""
    if not isinstance(error, OperationalError):
        return None
    if name := getattr(error.orig, "sqlite_errorname", ""):
        return "it is locked" if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else None
    state = getattr(error.orig, "sqlstate", "")
    # An error that no server sent has none; 57P and 08 are of one that goes, or is gone.
    if state is None or state.startswith(("08", "57P")):
        return "it can't be reached"
    return "it is locked" if state == _LOCK_NOT_AVAILABLE else None


def _close(engine: Engine, pid: int) -> None:
    # In a child process they are the parent's.
    engine.dispose(close=os.getpid() == pid)


def _engine(database: str | URL | Engine, seconds: float) -> tuple[Engine, str | None]:
    """An engine with connections of its own, and the file, if it is one.

    It is read also when all of the host's connections are in use. What goes wrong is told
    without the values of a statement.
    """
    if isinstance(database, Engine) and database.dialect.name != "sqlite":
        pool = database.pool.recreate()
        return Engine(pool, database.dialect, database.url, hide_parameters=True), None
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
        engine = create_engine(url, hide_parameters=True, **options)
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
    if (file := file_of(url)) is not None and not in_memory(url):
        listen(engine, "do_connect", lambda *_: private_file(file))
    if engine.dialect.is_async:
        raise ConfigurationError(
            f"database: {url.drivername} is async; give the address with a driver that is not"
        )
    return engine


def private_file(file: str) -> None:
    """A file that SQLite is about to make is its owner's alone; the others beside it are as it."""
    with suppress(OSError):  # it is there, or can't be made, which SQLite says better
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


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


def source_of(database: Any) -> URL | Engine | None:
    """What connects to `database`: an address, a SQLite file, or an Agno database on SQL.

    None of anything else.
    """
    if isinstance(database, str):
        return named(database)
    engine = getattr(database, "db_engine", None)
    engine = getattr(engine, "sync_engine", engine)
    if not isinstance(engine, Engine):
        return None
    return engine.url if engine.dialect.is_async else engine


def named(database: str) -> URL:
    """The address that a user gave, or that of the SQLite file."""
    if not database.strip():
        raise ConfigurationError("database: an address or a file is needed, not nothing")
    url = url_of(database) if "://" in database else URL.create("sqlite", database=database)
    if in_memory(url):
        raise ConfigurationError("database: one in memory is seen by nobody else; give a file")
    return url


def file_of(url: URL) -> str | None:
    """The file of a SQLite database, where its address says it plainly."""
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or name.startswith("file:"):
        return None
    return os.path.abspath(name)


def in_memory(source: URL | Engine) -> bool:
    """Whether it is a SQLite database in memory, where no other can read it."""
    url = source.url if isinstance(source, Engine) else source
    named = url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    return url.get_backend_name() == "sqlite" and (named or "mode=memory" in str(url.database))
