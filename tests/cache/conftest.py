"""Stores of each kind, sealed and not, and agents whose calls are kept in one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from cache_entries import KEY, PATIENCE
from cache_places import Place, RedisPlace, SqlitePlace
from cached_agents import Always, Makes
from redis_server import RedisServer

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache, CacheFigures, CachePolicy
from agno_portkey.cache.sealing import Seal
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def cache() -> Iterator[Cache]:
    """One in memory, that serves whatever it may."""
    made = Cache(":memory:", random=Always())
    yield made
    made.close()


@pytest.fixture
def figures() -> CacheFigures:
    return CacheFigures()


@pytest.fixture
def agent(portkey_provider: EmbeddedProvider, cache: Cache, figures: CacheFigures) -> Makes:
    """An agent with a policy for everybody, of which `policy` says what is otherwise."""

    def made(
        policy: dict[str, Any] | None = None, tools: Any = None, schema: Any = None, **options: Any
    ) -> Agent:
        model = PortkeyModel(
            **{"base_url": portkey_provider.url, "api_key": "k", **options},
            cache=CachePolicy(**{"store": cache, "scope": "public", **(policy or {})}),
            observers=[figures],
        )
        return Agent(model=model, tools=tools, output_schema=schema)

    return made


@pytest.fixture
def model(portkey_provider: EmbeddedProvider, cache: Cache, figures: CacheFigures) -> Any:
    """A model whose calls are kept for their user, or by another `policy`."""

    def made(policy: CachePolicy | None = None, **options: Any) -> PortkeyModel:
        return PortkeyModel(
            base_url=portkey_provider.url,
            api_key="k",
            cache=policy or CachePolicy(store=cache),
            observers=[figures],
            **options,
        )

    return made


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
