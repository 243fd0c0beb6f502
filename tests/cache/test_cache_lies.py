"""Stores whose answers are none or come late, and those who ask at once."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from agno.run.base import RunStatus
from cached_agents import PARIS, Always, Instead, Makes
from pydantic import BaseModel

from agno_portkey.cache import Cache, flights, layer
from agno_portkey.cache.answers import cache_at
from agno_portkey.testing import EmbeddedProvider, Reply

# Stores


def _with_answer(entry: Any, answer: str) -> Any:
    return entry and replace(entry, answer=answer)


@pytest.mark.parametrize("answer", ["junk", "{}", "[" * 200_000, json.dumps({"said": 1})])
@pytest.mark.parametrize("kind", ["exact", "semantic"])
def test_an_answer_that_is_none_is_asked_for(
    kind: str, answer: str, agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    lying = Instead(
        cache.store, get=lambda *asked: _with_answer(Cache.find(cache, asked[0]), answer)
    )
    store = Cache(lying, random=Always())  # type: ignore[arg-type]
    for verifier in (None, lambda comparison: True):
        asks = agent({"store": store, "kind": kind, "verifier": verifier, "floor": 0.5})
        for question in PARIS:
            assert asks.run(question).status == RunStatus.completed
    assert store.entries()
    assert not store.resting


def test_a_lease_that_could_not_be_ended_is_ended_before_the_next(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    busy = [TimeoutError()]
    ended = threading.Event()

    def release(key: str, owner: str) -> None:
        if busy:
            ended.set()
            raise busy.pop()
        cache.store.release(key, owner)

    # Nothing is kept, so that the next one has to ask as well.
    forgetful = Instead(cache.store, release=release, get=lambda *asked: None)
    store = Cache(forgetful)  # type: ignore[arg-type]
    asks = agent({"store": store})
    asks.run("Hi")
    assert ended.wait(10)
    assert not store.resting
    asks.run("Hi")
    assert len(portkey_provider.calls) == 2


def test_a_lease_that_comes_after_its_call_was_cancelled_is_ended(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    began, released, go_on = threading.Event(), threading.Event(), threading.Event()
    keys: list[str] = []

    def lease(key: str, owner: str, *asked: Any) -> bool:
        keys.append(key)
        began.set()
        return go_on.wait(10) and cache.store.lease(key, owner, *asked)

    def release(*asked: Any) -> None:
        cache.store.release(*asked)
        released.set()

    store = Cache(Instead(cache.store, lease=lease, release=release))  # type: ignore[arg-type]
    asks = agent({"store": store})

    async def cancelled() -> None:
        run = asyncio.create_task(asks.arun("Hi"))
        assert await asyncio.to_thread(began.wait, 10)
        run.cancel()
        await asyncio.wait([run])
        assert await asyncio.to_thread(released.wait, 10)
        go_on.set()

    asyncio.run(cancelled())
    assert portkey_provider.calls == []
    # Others would wait a minute for an answer that nobody asks for.
    assert cache.store.lease(keys[0], "other", 60, cache.clock())


def test_a_cache_at_an_address_stays(
    agent: Makes, portkey_provider: EmbeddedProvider, tmp_path: Any
) -> None:
    address = str(tmp_path / "answers.db")
    agent({"store": address}).run("Hi")
    held = weakref.ref(cache_at(address))
    gc.collect()
    assert held() is cache_at(address)
    agent({"store": address}).run("Hi")
    assert len(portkey_provider.calls) == 1
    cache_at(address).close()


def test_a_clock_that_goes_back_makes_no_rest_longer(
    agent: Makes, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agno_portkey.cache import answers

    monkeypatch.setattr(answers, "_REST", 0.0)
    now = [1_000_000.0]

    def fails(*asked: Any) -> Any:
        raise OSError

    store = Cache(Instead(cache.store, get=fails), clock=lambda: now[0])  # type: ignore[arg-type]
    assert store.find("k") is None
    now[0] -= 1e6
    assert not store.resting


# Those who ask at once


def test_who_stops_reading_a_stream_holds_nobody_up(
    agent: Makes, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "_STALLED", 0.05)
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    asks = agent()
    reading = asks.run("Hi", stream=True)
    next(event for event in reading if event.event == "RunContent")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asks.run, "Hi").result(timeout=15).content == "All is well"
    assert len(portkey_provider.calls) == 2
    # Who goes on reads the rest of its own.
    assert "".join(event.content for event in reading if event.event == "RunContent")


class Fact(BaseModel):
    value: int


def test_nobody_waits_for_what_is_made_of_an_answer_that_is_not_shared(
    agent: Makes, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, went_alone = threading.Event(), threading.Event()
    waiting, in_time = layer.wait_for, list[bool]()

    def noted(*asked: Any) -> Any:
        waits.set()
        return waiting(*asked)

    def answer(request: Any) -> str:
        if len(portkey_provider.calls) == 1:
            waits.wait(10)
            return "write to ann.jones@example.com, and there is no JSON"
        if "ann.jones" in str(request.body["messages"]):
            # The contract of who asked first has it asked again.
            in_time.append(went_alone.wait(10))
            return '{"value": 7}'
        went_alone.set()
        return '{"value": 7}'

    monkeypatch.setattr(flights, "_STALLED", 1e9)
    monkeypatch.setattr(layer, "wait_for", noted)
    portkey_provider.when(lambda request: True, answer)
    asks = agent(schema=Fact)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(asks.run, "How many?") for _ in range(2)]
        assert [each.result().content for each in asked] == [Fact(value=7)] * 2
    assert in_time == [True]


def test_a_forked_process_waits_for_no_call_of_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    held = flights.Flights()
    assert held.join("k")[1]
    # As a thread of the parent may have had it at the fork.
    assert held._lock.acquire(timeout=1)
    monkeypatch.setattr(flights.os, "getpid", lambda: -1)
    assert held.join("k")[1]


def test_a_forked_process_ends_a_call_of_its_parents_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = flights.Flights()
    flight, _ = held.join("k")
    assert held._lock.acquire(timeout=1)
    monkeypatch.setattr(flights.os, "getpid", lambda: -1)
    ended = threading.Thread(target=held.leave, args=("k", flight), daemon=True)
    ended.start()
    ended.join(10)
    assert not ended.is_alive()
    assert flight.landed
