"""Stores of each kind, sealed and not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_entries import KEY, PATIENCE
from cache_places import Place, RedisPlace, SqlitePlace
from cached_agents import Always
from redis_server import RedisServer

from agno_portkey.cache import Cache, CacheFigures
from agno_portkey.cache.sealing import Seal
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store


@pytest.fixture
def cache() -> Iterator[Cache]:
    """One in memory, that serves whatever it may."""
    made = Cache(":memory:", random=Always())
    yield made
    made.close()


@pytest.fixture
def figures() -> CacheFigures:
    return CacheFigures()


@pytest.fixture(scope="session")
def cache_server() -> Iterator[RedisServer]:
    """One Redis for all tests of a process."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["plain", "sealed"])
def seal(request: pytest.FixtureRequest) -> Seal | None:
    return Seal(KEY) if request.param == "sealed" else None


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest, seal: Seal | None, tmp_path: Path) -> Iterator[Place]:
    """What can be opened again and again, as several processes do."""
    place: Place
    if request.param == "sqlite":
        place = SqlitePlace(tmp_path / "cache.db", seal)
    else:
        server = request.getfixturevalue("cache_server")
        place = RedisPlace(server, f"test:{uuid.uuid4()}", seal)
    yield place
    place.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, seal: Seal | None, tmp_path: Path) -> Iterator[Store]:
    """An empty store that takes ten entries."""
    place: Place
    if request.param == "memory":
        made: Store = SqliteStore(
            ":memory:", max_entries=10, max_bytes=1 << 30, seconds=PATIENCE, seal=seal
        )
        yield made
        made.close()
        return
    if request.param == "sqlite":
        place = SqlitePlace(tmp_path / "cache.db", seal)
    else:
        server = request.getfixturevalue("cache_server")
        place = RedisPlace(server, f"test:{uuid.uuid4()}", seal)
    yield place.open(max_entries=10)
    place.close()
