"""`EvalRuns`: rows of our own in Agno's table of evaluations, and proof that they are there."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import Any, Protocol, Self

from agno.db.base import BaseDb
from sqlalchemy.engine import Engine
from sqlalchemy.pool import SingletonThreadPool

from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.gates.history.rows import KEY, Row, Wanted, clean
from agno_portkey.gates.history.sql_runs import SqlRuns
from agno_portkey.sql import in_memory, source_of

__all__ = ["EvalRuns"]

# Where Agno keeps them unless it is told otherwise.
_TABLE, _SCHEMA = "agno_eval_runs", "ai"


class _Runs(Protocol):
    def put(self, row: Row) -> None: ...

    def kept(self, run_id: str) -> Any: ...

    def find(self, wanted: Wanted) -> list[Any]: ...


class EvalRuns:
    """The table of evaluations of `database`: an Agno database, sync or async, or an address.

    SQLite and Postgres are opened by connections of our own, with a driver that blocks; any other
    Agno database that is sync is used as it is. Each method blocks; `seconds` is how long it waits
    for a lock. Raises ConfigurationError for a database that can't be used so.
    """

    def __init__(self, database: Any, *, seconds: float = 10.0) -> None:
        self._runs = _runs_of(database, seconds)
        self._lock = threading.Lock()
        self._begun = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Agno copies agents with all that they hold; connections and locks can't be.
        return self

    def put(self, row: Row) -> None:
        """Write `row`; raises whatever fails, and DatabaseGone where it is not there afterwards."""
        row = row.model_copy(update={name: clean(value) for name, value in row})
        if self._begun:
            self._put(row)
            return
        # The first makes the table: one at a time.
        with self._lock:
            self._put(row)
            self._begun = True

    def _put(self, row: Row) -> None:
        self._runs.put(row)
        # Some databases of Agno log an error, and go on as if nothing had happened.
        if self._runs.kept(row.run_id) != row.eval_data:
            raise DatabaseGone(
                f"the database has not kept {row.name} ({row.run_id}): Agno's log may say why"
            )

    def find(self, wanted: Wanted) -> list[Any]:
        """What is kept in our rows that are `wanted`, newest first."""
        return self._runs.find(wanted)


def _runs_of(database: Any, seconds: float) -> _Runs:
    source = source_of(database)
    if source is not None and not in_memory(source):
        backend = source.dialect.name if isinstance(source, Engine) else source.get_backend_name()
        if backend in ("sqlite", "postgresql"):
            name = getattr(database, "eval_table_name", None) or _TABLE
            schema = getattr(database, "db_schema", None) or _SCHEMA
            schema = schema if backend == "postgresql" else None
            owner = database if isinstance(database, BaseDb) else None
            return SqlRuns(source, name=name, schema=schema, seconds=seconds, owner=owner)
    if not isinstance(database, BaseDb) or inspect.iscoroutinefunction(database.create_eval_run):
        # An address may hold a password.
        given = "an address of it" if isinstance(database, str) else type(database).__name__
        raise ConfigurationError(
            f"database: the history of gates can't be kept with {given}; give Agno's SqliteDb or "
            "PostgresDb, sync or async, or their address"
        )
    pool = getattr(getattr(database, "db_engine", None), "pool", None)
    if isinstance(pool, SingletonThreadPool):
        raise ConfigurationError(
            "database: in memory, SQLite has a database for each thread, and the history would be "
            "lost with it; give a file, or Agno's InMemoryDb"
        )
    return _OwnRuns(database)


class _OwnRuns:
    """A database of Agno as it is: in memory, in JSON files, MySQL, MongoDB and others."""

    # Those in files are read and written as a whole, by whoever has a history in them.
    _lock = threading.Lock()

    def __init__(self, database: BaseDb) -> None:
        self._database = database

    def put(self, row: Row) -> None:
        with self._lock:
            self._database.create_eval_run(row)

    def kept(self, run_id: str) -> Any:
        with self._lock:
            row: Any = self._database.get_eval_run(run_id, deserialize=False)
        return row.get("eval_data") if isinstance(row, Mapping) else None

    def find(self, wanted: Wanted) -> list[Any]:
        # With deserialize=False they are given as mappings, and with their number.
        rows: Any
        with self._lock:
            rows, _ = self._database.get_eval_runs(deserialize=False)
        kept = [row["eval_data"][KEY] for row in rows if wanted.takes(row)]
        return sorted(kept, key=lambda each: str(each["at"]), reverse=True)[: wanted.limit]
