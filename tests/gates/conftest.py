"""Where clearances and adjusted thresholds are kept, and a team whose Judge is content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from adjusting_scene import NOW as THEN
from adjusting_scene import kept_in
from admission_scene import Scene
from agno.db.sqlite import SqliteDb
from clearance_scene import NOW
from postgres_server import PostgresServer

from agno_portkey.gates.adjusting import Thresholds
from agno_portkey.gates.clearance import Clearances, MemoryClearances
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def clearances(request: pytest.FixtureRequest, tmp_path: Path) -> Clearances:
    """Clearances that hold none yet, at a time that stands still."""
    match request.param:
        case "memory":
            return MemoryClearances(clock=lambda: NOW)
        case "sqlite":
            return Clearances(str(tmp_path / "agno.db"), clock=lambda: NOW)
    server: PostgresServer = request.getfixturevalue("postgres")
    return Clearances(server.new_database(), clock=lambda: NOW)


@pytest.fixture
def kept(database: str) -> Thresholds:
    """Adjusted thresholds of a gate, of which none is kept yet, at a time that stands still."""
    return kept_in(database, clock=lambda: THEN)


@pytest.fixture
def scene(portkey_provider: EmbeddedProvider) -> Scene:
    """One whose Judge lets every plan pass."""
    scene = Scene(portkey_provider)
    scene.judge(9)
    return scene


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDb]:
    database = SqliteDb(db_file=str(tmp_path / "agno.db"))
    yield database
    database.close()
