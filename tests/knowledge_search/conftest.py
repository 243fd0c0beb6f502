"""Real collections: a LanceDb in a folder, a PgVector in a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.vectordb.lancedb import LanceDb
from agno.vectordb.pgvector import PgVector
from pgvector_server import PgVectorServer
from searched import Opens, Words
from sqlalchemy import create_engine

from agno_portkey.knowledge import HybridSearch


@pytest.fixture(scope="session")
def pgvector() -> Iterator[PgVectorServer]:
    with PgVectorServer() as server:
        yield server


@pytest.fixture
def embedder() -> Words:
    return Words()


@pytest.fixture
def lance(tmp_path: Path, embedder: Words) -> Opens:
    """Opens the same LanceDb anew, each time as another process would."""

    def opened(**options: Any) -> HybridSearch:
        return HybridSearch(
            LanceDb(uri=str(tmp_path / "lance"), table_name="docs", embedder=embedder), **options
        )

    return opened


@pytest.fixture
def postgres_search(pgvector: PgVectorServer, embedder: Words) -> Iterator[Opens]:
    """The same with a PgVector."""
    url = pgvector.new_database().replace("postgresql:", "postgresql+psycopg:")
    engines = []

    def opened(**options: Any) -> HybridSearch:
        engine = create_engine(url)
        engines.append(engine)
        db = PgVector("docs", db_engine=engine, embedder=embedder)
        search = HybridSearch(db, **options)
        search.create()
        return search

    yield opened
    for engine in engines:
        engine.dispose()


@pytest.fixture(params=["lance", "postgres_search"])
def opens(request: pytest.FixtureRequest) -> Opens:
    """Either, and it is to be the same."""
    opened: Opens = request.getfixturevalue(request.param)
    return opened
