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
    from agno_portkey.sql import in_memory, source_of
    from agno_portkey.stopping.sql import SqlStore

    source = source_of(database)
    if source is None:
        raise ConfigurationError(
            f"database: {type(database).__name__} can't hold stops; give an Agno database on SQL "
            "or an address"
        )
    if in_memory(source):
        return MemoryStore(database)
    return SqlStore(source, seconds=timeout)


def missing_file(database: str) -> str | None:
    """The SQLite file that `database` names, an address or a path, if there is none."""
    from agno_portkey.sql import file_of, named

    file = file_of(named(database))
    return None if file is None or os.path.isfile(file) else file
