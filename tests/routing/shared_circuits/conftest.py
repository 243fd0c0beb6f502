"""Redis servers, and circuits that know of each other only through one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from circuits_in_redis import SETTINGS, Make
from redis_server import RedisServer

from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits
from agno_portkey.routing.breaker.redis_store import RedisStore


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A server that a test may do harm to."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def prefix() -> str:
    return f"test:{uuid.uuid4()}:"


@pytest.fixture
def make(server: RedisServer, prefix: str) -> Iterator[Make]:
    """Makes circuits that know of each other only through Redis."""
    stores: list[RedisStore] = []

    def made(
        settings: CircuitBreaker = SETTINGS, *, url: str = server.url, **options: Any
    ) -> Circuits:
        stores.append(RedisStore(url, **{"prefix": prefix, "refresh": 0, "pause": 0.05, **options}))
        return Circuits(settings, store=stores[-1])

    yield made
    for store in stores:
        store.close()
