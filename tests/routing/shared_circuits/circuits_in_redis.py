"""What the tests of circuits in Redis share: settings, and how far circuits are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis
from redis_server import RedisServer

from agno_portkey.routing.breaker.circuits import CircuitBreaker, Circuits, Claim

KEY = "primary@openai/gpt-4o#1a2b3c4d"
SECONDS = 10.0
SETTINGS = CircuitBreaker(failure_threshold=3, cooldown=0.1)
PATIENT = CircuitBreaker(failure_threshold=3, cooldown=600)
Make = Callable[..., Circuits]


def raw(server: RedisServer) -> Any:
    return redis.Redis.from_url(server.url)


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def open_up(circuits: Circuits) -> None:
    *_, change = [circuits.failed(KEY, "503") for _ in range(3)]
    assert change is not None
    assert change.after.state == "open"


def claimed(circuits: Circuits) -> Claim:
    """A claim, as soon as there is one."""
    claims: list[Claim] = []

    def there() -> bool:
        claims.extend(claim for claim in [circuits.claim(KEY)] if claim)
        return bool(claims)

    until(there)
    return claims[0]
