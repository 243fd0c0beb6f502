"""Which databases can hold stops."""

from __future__ import annotations

import os
from typing import Any

from agno.db.in_memory import InMemoryDb

from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping.record import MemoryStore, Store

__all__ = ["missing_file", "store_of"]


def store_of(database: Any, timeout: float) -> Store:
    """Where the stops of `database` are kept; what can't hold any is refused."""
    if isinstance(database, Store):
        return database
    if isinstance(database, InMemoryDb):
        return MemoryStore(database)
    # Only now: it takes a while to import.
    from sqlalchemy.engine import Engine

    from agno_portkey.stopping import sql

    if isinstance(database, str):
        return sql.SqlStore(sql.named(database), seconds=timeout)
    engine = getattr(database, "db_engine", None)
    engine = getattr(engine, "sync_engine", engine)
    if not isinstance(engine, Engine):
        raise ConfigurationError(
            f"database: {type(database).__name__} can't hold stops; give an Agno database on SQL "
            "or an address"
        )
    if sql.in_memory(engine.url):
        return MemoryStore(database)
    given = engine.url if engine.dialect.is_async else engine
    return sql.SqlStore(given, seconds=timeout)


def missing_file(database: str) -> str | None:
    """The SQLite file that `database` names, an address or a path, if there is none."""
    from agno_portkey.stopping import sql

    file = sql.file_of(sql.named(database))
    return None if file is None or os.path.isfile(file) else file
