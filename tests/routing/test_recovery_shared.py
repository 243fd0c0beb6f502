"""Circuits that several processes share, as the model uses them: through Redis, off the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, play
from redis_server import RedisServer

from agno_portkey.model import PortkeyModel
from agno_portkey.routing import CircuitBreaker, Circuits, Fallback, Recovery, RedisStore, Target
from agno_portkey.routing.breaker.store import MemoryStore
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply

BREAKER = CircuitBreaker(failure_threshold=2, cooldown=30)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def _model(
    gateway: LocalGateway, provider: EmbeddedProvider, circuits: Circuits, **more: Any
) -> PortkeyModel:
    here = {"provider": "openai", "api_key": "k", "custom_host": provider.url}
    route = Fallback(targets=[Target(model="first", **here), Target(model="second", **here)])
    return PortkeyModel(base_url=gateway.url, config=route, breaker=circuits, **more)


@pytest.mark.parametrize("form", FORMS)
def test_what_one_process_learnt_the_other_knows(
    form: str,
    redis: RedisServer,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    stores = [RedisStore(redis.url, refresh=0.01) for _ in range(2)]
    one, other = (
        _model(portkey_gateway, portkey_provider, Circuits(BREAKER, store=store))
        for store in stores
    )
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    for _ in range(2):
        assert play(Agent(model=one), form).status == RunStatus.completed
    assert play(Agent(model=other), form).status == RunStatus.completed
    asked = [request.model for request in portkey_provider.calls]
    assert asked == ["first", "second", "first", "second", "second"]
    for store in stores:
        store.close()


@pytest.mark.parametrize("form", FORMS)
def test_calls_go_on_while_redis_is_away(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    with RedisServer() as server:
        store = RedisStore(server.url)
        model = _model(portkey_gateway, portkey_provider, Circuits(BREAKER, store=store))
        assert play(Agent(model=model), form).content == "You said: Hi"
        server.hang()
        portkey_provider.fault(Fault.status(503), times=None, model="first")
        for _ in range(3):
            assert play(Agent(model=model), form).content == "You said: Hi"
        # The process's own circuit took over.
        assert [request.model for request in portkey_provider.calls][-1:] == ["second"]
        store.close()


class _Watched(MemoryStore):
    """A store that might wait on a network, and notes on which thread it was asked."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def read(self, keys: Any) -> Any:
        self.threads.add(threading.get_ident())
        return super().read(keys)

    def change(self, *args: Any, **kwargs: Any) -> Any:
        self.threads.add(threading.get_ident())
        return super().change(*args, **kwargs)


@pytest.mark.parametrize("form", FORMS)
def test_the_event_loop_is_never_kept_waiting(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    store = _Watched()
    model = _model(portkey_gateway, portkey_provider, Circuits(BREAKER, store=store))
    portkey_provider.fault(Fault.status(503), model="first")
    play(Agent(model=model), form)
    here = threading.get_ident()
    assert store.threads
    assert (store.threads == {here}) if form in ("run", "stream") else (here not in store.threads)


@pytest.mark.parametrize("form", STREAMED)
def test_a_probe_whose_caller_left_is_given_back_off_the_loop(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    store = _Watched()
    store._clock = lambda: now[0]  # type: ignore[attr-defined]
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=5), store=store)
    once = Recovery(attempts=1)
    model = _model(portkey_gateway, portkey_provider, circuits, recovery=once)
    portkey_provider.fault(Fault.status(503), model="first")
    assert play(Agent(model=model), "run").status == RunStatus.error
    [key] = circuits.states()
    now[0] = 5.0
    portkey_provider.reply(Reply("one two three", token_delay=0.05))
    messages = [Message(role="user", content="Hi")]

    async def leave() -> None:
        stream = model.aresponse_stream(messages=messages)
        async for delta in stream:
            if delta.content:
                break
        assert circuits.states()[key].state == "half_open"
        await stream.aclose()
        while circuits.closed_to([key]):  # noqa: ASYNC110 - another thread sees to it
            await asyncio.sleep(0.01)

    if form == "astream":
        asyncio.run(leave())
    else:
        shown = model.response_stream(messages=messages)
        next(delta for delta in shown if delta.content)
        assert circuits.states()[key].state == "half_open"
        shown.close()
    assert circuits.closed_to([key]) == frozenset()
    assert circuits.claim(key) is not None


class _Probed(_Watched):
    """A store that lets no probe be given out before it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go, self.back = (threading.Event() for _ in range(3))
        self.changed: list[tuple[str, int]] = []

    def change(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.set()
        self.go.wait()
        changed = super().change(*args, **kwargs)
        self.changed.append((changed[1].probe or "none", threading.get_ident()))
        if len(self.changed) == 2:
            self.back.set()
        return changed


def test_a_probe_that_comes_when_its_caller_has_left_is_given_back_off_the_loop(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    now, store = [0.0], _Probed()
    store._clock = lambda: now[0]  # type: ignore[attr-defined]
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=5), store=store)
    model = _model(portkey_gateway, portkey_provider, circuits)
    key = next(iter(model.router.plan(model).keys.values()))
    store.go.set()
    circuits.failed(key, "it is down")
    store.asked.clear()
    store.go.clear()
    store.changed.clear()
    now[0] = 5.0

    async def leave() -> None:
        messages = [Message(role="user", content="Hi")]
        asked = asyncio.create_task(model.aresponse(messages=messages))
        assert await asyncio.to_thread(store.asked.wait, 10)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        store.go.set()
        assert await asyncio.to_thread(store.back.wait, 10)

    asyncio.run(leave())
    given, taken_back = store.changed
    assert given[0] != "none"
    assert taken_back[0] == "none"
    assert threading.get_ident() not in (given[1], taken_back[1])
    assert circuits.claim(key) is not None
    assert portkey_provider.calls == []
