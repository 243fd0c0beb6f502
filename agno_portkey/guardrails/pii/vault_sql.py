"""Vaults in a SQL database: SQLite, Postgres, or another one that SQLAlchemy speaks to."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    create_engine,
    inspect,
)
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from agno_portkey.errors import MissingExtraError
from agno_portkey.guardrails.pii.vault_store import Row, VaultUnavailable
from agno_portkey.stopping.sql import file_of

__all__ = ["SqlStore"]

_TABLE = Table(
    "agno_portkey_vaults",
    MetaData(),
    Column("session", String(64), primary_key=True),
    Column("user", String(64), primary_key=True, index=True),
    Column("mark", String(32), unique=True, nullable=False),
    Column("version", Integer, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
)


class SqlStore:
    """The table `agno_portkey_vaults` of one database, made by whoever first writes to it.

    Once it was there, its absence is an error, as is that of a SQLite file. `seconds` is how long
    a lock is waited for.
    """

    def __init__(self, url: URL, *, seconds: float) -> None:
        self._engine = _engine(url, seconds)
        self._file = file_of(url)
        self._pid = os.getpid()
        self._seen = False
        self.place = self._engine.url.set(query={}).render_as_string(hide_password=True)
        weakref.finalize(self, _close, self._engine, self._pid)

    def get(self, session: str, user: str) -> Row | None:
        columns = _TABLE.c
        return self._one((columns.session == session) & (columns.user == user))

    def by_mark(self, mark: str) -> Row | None:
        return self._one(_TABLE.c.mark == mark)

    def of_user(self, user: str, limit: int) -> Sequence[Row]:
        columns = _TABLE.c
        wanted = _TABLE.select().where(columns.user == user)
        rows = self._read(wanted.order_by(columns.used.desc(), columns.mark).limit(limit))
        return [Row(*row) for row in rows]

    def marks(self) -> Sequence[str]:
        return [row[2] for row in self._read(_TABLE.select())]

    def put(self, row: Row) -> bool:
        columns = _TABLE.c
        values = {name: getattr(row, name) for name in Row.__slots__}
        self._make_table()
        try:
            with self._connection() as connection, connection.begin():
                if row.version == 1:
                    connection.execute(_TABLE.insert().values(values))
                    return True
                same = (columns.mark == row.mark) & (columns.version == row.version - 1)
                changed = connection.execute(_TABLE.update().where(same).values(values))
                return bool(changed.rowcount == 1)
        except IntegrityError:
            return False

    def touch(self, mark: str, used: int) -> None:
        with self._connection() as connection, connection.begin():
            same = _TABLE.c.mark == mark
            connection.execute(_TABLE.update().where(same).values(used=used))

    def drop(
        self,
        *,
        session: str | None = None,
        user: str | None = None,
        mark: str | None = None,
        unused_since: int | None = None,
    ) -> int:
        if not self._has_table():
            return 0
        columns = _TABLE.c
        given = {"session": session, "user": user, "mark": mark}
        asked = [columns[name] == value for name, value in given.items() if value is not None]
        if unused_since is not None:
            asked.append(columns.used < unused_since)
        with self._connection() as connection, connection.begin():
            return int(connection.execute(_TABLE.delete().where(and_(*asked))).rowcount)

    def _one(self, condition: Any) -> Row | None:
        rows = self._read(_TABLE.select().where(condition))
        return Row(*rows[0]) if rows else None

    def _read(self, wanted: Any) -> list[Any]:
        if not self._has_table():
            return []
        with self._connection() as connection:
            return list(connection.execute(wanted))

    def _has_table(self) -> bool:
        if self._seen:
            return True
        with self._connection() as connection:
            self._seen = inspect(connection).has_table(_TABLE.name)
        return self._seen

    def _make_table(self) -> None:
        if self._has_table():
            return
        try:
            with self._connection() as connection, connection.begin():
                _TABLE.create(connection)
        except SQLAlchemyError:
            # Two that make it at once: the databases tell this in ways of their own.
            if not self._has_table():
                raise

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if os.getpid() != self._pid:
            # After a fork the connections are the parent's.
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        if self._seen and self._file is not None and not os.path.exists(self._file):
            # It would be made anew, and be empty.
            raise VaultUnavailable("its file was there and is gone: put it back")
        with self._engine.connect() as connection:
            yield connection


def _close(engine: Engine, pid: int) -> None:
    # In a child process they are the parent's.
    engine.dispose(close=os.getpid() == pid)


def _engine(url: URL, seconds: float) -> Engine:
    backend = url.get_backend_name()
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 4, "pool_timeout": seconds}
    if backend == "sqlite":
        # Opened each time: a connection that is kept goes on in a file that was replaced.
        options = {"poolclass": NullPool, "connect_args": {"timeout": 0.8 * seconds}}
    elif backend == "postgresql":
        options["connect_args"] = {"connect_timeout": max(2, math.ceil(seconds))}
    try:
        # What goes wrong is told without the values of a statement.
        return create_engine(url, hide_parameters=True, **options)
    except ImportError as error:
        hint = ' pip install "agno-portkey[postgres]"' if backend == "postgresql" else ""
        raise MissingExtraError(
            f"the driver of {url.drivername} is not installed ({error.name}){hint}"
        ) from error
