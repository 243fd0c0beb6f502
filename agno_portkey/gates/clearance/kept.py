"""A table whose reads of a SQLite file share one connection, for opening it takes the most time."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from agno_portkey.sql import SqlTable

__all__ = ["KeptTable"]


class KeptTable(SqlTable):
    """A `SqlTable` that keeps one connection for reading, as long as its file is the same.

    It is in no transaction between reads, so that each sees what others have written, and holds
    no lock. A file that was replaced is opened anew; one that is missing raises DatabaseGone. A
    read that would have to wait for another one, and each write, has a connection of its own.
    """

    def __init__(self, database: URL | Engine, table: Table, *, seconds: float) -> None:
        super().__init__(database, table, seconds=seconds)
        self._kept = _Kept(self._engine)
        weakref.finalize(self, self._kept.close)

    def read(self, wanted: Any, values: Mapping[str, Any] | None = None) -> list[Any]:
        kept = self._kept
        if os.getpid() != kept.pid:
            # After a fork it is the parent's: neither to be used nor to be closed.
            kept = self._kept = _Kept(self._engine, left=kept)
            weakref.finalize(self, kept.close)
        if self.file is None or not os.path.exists(self.file):
            return self._read_anew(wanted, values)
        if not self.is_ours():
            # A connection of its own looks whose the file is.
            return self._read_anew(wanted, values)
        if not kept.lock.acquire(blocking=False):
            return self._read_anew(wanted, values)
        try:
            return list(kept.of(self.file).execute(wanted, values))
        except DBAPIError:
            kept.close()
            raise
        finally:
            kept.lock.release()

    def _read_anew(self, wanted: Any, values: Mapping[str, Any] | None) -> list[Any]:
        with self.connection() as connection:
            return list(connection.execute(wanted, values))


class _Kept:
    """One connection, and which file it has opened."""

    def __init__(self, engine: Engine, left: _Kept | None = None) -> None:
        self.lock = threading.Lock()
        self.pid = os.getpid()
        self._engine = engine
        self._left = left
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None

    def of(self, file: str) -> Connection:
        """The connection to what is called `file` now."""
        found = os.stat(file)
        # A file that is open keeps its number: no other can have it.
        if self._connection is None or self._file != (found.st_dev, found.st_ino):
            self.close()
            engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            self._connection = engine.connect()
            self._file = (found.st_dev, found.st_ino)
        return self._connection

    def close(self) -> None:
        if self._connection is not None and os.getpid() == self.pid:
            self._connection.close()
            self._connection = None
