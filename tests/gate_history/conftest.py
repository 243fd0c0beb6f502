"""Databases that can hold a history: SQLite files and a real Postgres, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agno.db.base import AsyncBaseDb
from agno.db.in_memory import InMemoryDb
from agno.db.json import JsonDb
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from postgres_server import PostgresServer

SQL = ["sqlite", "async sqlite", "postgres", "async postgres"]


@pytest.fixture(params=SQL)
def agno_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty database of Agno on SQL, of each kind that teams use."""
    with opened(request, tmp_path) as database:
        yield database


@pytest.fixture(params=[*SQL, "memory", "json files"])
def any_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty database of Agno, on SQL or not."""
    with opened(request, tmp_path) as database:
        yield database


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Any]:
    match request.param:
        case "memory":
            yield InMemoryDb()
            return
        case "json files":
            yield JsonDb(db_path=str(folder))
            return
        case "sqlite":
            database: Any = SqliteDb(db_file=str(folder / "agno.db"))
        case "async sqlite":
            database = AsyncSqliteDb(db_file=str(folder / "agno.db"))
        case kind:
            server: PostgresServer = request.getfixturevalue("postgres")
            url = server.new_database().replace("postgresql://", "postgresql+psycopg://")
            made: Any = PostgresDb if kind == "postgres" else AsyncPostgresDb
            database = made(db_url=url, db_schema="history")
    yield database
    if isinstance(database, AsyncBaseDb):
        asyncio.run(database.db_engine.dispose())  # type: ignore[attr-defined]
    else:
        database.db_engine.dispose()
