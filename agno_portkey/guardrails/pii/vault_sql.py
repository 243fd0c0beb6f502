"""Vaults in a SQL database: SQLite, Postgres, or another one that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import IntegrityError

from agno_portkey.guardrails.pii.vault_store import Row
from agno_portkey.sql import SqlTable

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

    def __init__(self, database: URL | Engine, *, seconds: float) -> None:
        self._table = SqlTable(database, _TABLE, seconds=seconds)
        self.place = self._table.place

    def get(self, session: str, user: str) -> Row | None:
        columns = _TABLE.c
        return self._one((columns.session == session) & (columns.user == user))

    def by_mark(self, mark: str) -> Row | None:
        return self._one(_TABLE.c.mark == mark)

    def rows(
        self, *, session: str | None = None, user: str | None = None, limit: int
    ) -> Sequence[Row]:
        columns = _TABLE.c
        wanted = _TABLE.select().where(*_same(session=session, user=user))
        rows = self._read(wanted.order_by(columns.used.desc(), columns.mark).limit(limit))
        return [Row(*row) for row in rows]

    def marks(self) -> Sequence[str]:
        return [mark for (mark,) in self._read(select(_TABLE.c.mark))]

    def put(self, row: Row) -> bool:
        columns = _TABLE.c
        values = {name: getattr(row, name) for name in Row.__slots__}
        if not self._is_there():
            self._table.make()
        try:
            with self._table.writing() as connection:
                if row.version == 1:
                    connection.execute(_TABLE.insert().values(values))
                    return True
                same = (columns.mark == row.mark) & (columns.version == row.version - 1)
                changed = connection.execute(_TABLE.update().where(same).values(values))
                return bool(changed.rowcount == 1)
        except IntegrityError:
            return False

    def touch(self, mark: str, used: int) -> None:
        with self._table.writing() as connection:
            connection.execute(_TABLE.update().where(*_same(mark=mark)).values(used=used))

    def drop(
        self,
        *,
        session: str | None = None,
        user: str | None = None,
        mark: str | None = None,
        unused_since: int | None = None,
    ) -> int:
        if not self._is_there():
            return 0
        asked = _same(session=session, user=user, mark=mark)
        if unused_since is not None:
            asked.append(_TABLE.c.used < unused_since)
        with self._table.writing() as connection:
            return int(connection.execute(_TABLE.delete().where(*asked)).rowcount)

    def _one(self, condition: Any) -> Row | None:
        rows = self._read(_TABLE.select().where(condition))
        return Row(*rows[0]) if rows else None

    def _read(self, wanted: Any) -> list[Any]:
        return self._table.read(wanted) if self._is_there() else []

    def _is_there(self) -> bool:
        """Whether the table is, or was, there: once it was, who finds none is told so."""
        self._table.seen = self._table.seen or self._table.exists()
        return self._table.seen


def _same(**given: str | None) -> list[Any]:
    return [_TABLE.c[name] == value for name, value in given.items() if value is not None]
