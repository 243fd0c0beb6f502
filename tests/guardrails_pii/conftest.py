"""What takes seconds to start: analyzers once for a process, a database server once for a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres_server import PostgresServer

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.recognition import ALL


@pytest.fixture(scope="session")
def analyzer() -> Analyzer:
    """An analyzer as it comes."""
    return Analyzer().warm()


@pytest.fixture(scope="session")
def analyzer_of_all() -> Analyzer:
    """An analyzer of all types that are known."""
    return Analyzer(ALL).warm()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server
