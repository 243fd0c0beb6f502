"""What was forgotten, ran out or was kept by another policy is not served."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from cached_agents import Instead, Makes, asks_for_weather, weather
from four_forms import FORMS, play

from agno_portkey.cache import Cache, layer
from agno_portkey.cache.entry import Selection
from agno_portkey.testing import EmbeddedProvider


def test_what_was_under_way_while_entries_were_forgotten_is_not_kept(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    def answer(request: Any) -> str:
        if len(portkey_provider.calls) == 1:
            cache.forget(Selection(everything=True), by="ops", dry_run=False)
            return "old"
        return "new"

    portkey_provider.when(lambda request: True, answer)
    assert [agent().run("Hi").content for _ in range(2)] == ["old", "new"]


def test_what_was_forgotten_is_in_no_file_any_more(
    agent: Makes, portkey_provider: EmbeddedProvider, tmp_path: Any
) -> None:
    portkey_provider.when(lambda request: True, "Ask for the xylophone.")
    store = Cache(tmp_path / "answers.db")
    agent({"store": store}).run("Hi")

    def is_there() -> bool:
        return any(b"xylophone" in file.read_bytes() for file in tmp_path.iterdir())

    assert is_there()
    Cache(tmp_path / "answers.db").forget(Selection(everything=True), by="ops", dry_run=False)
    assert not is_there()
    assert store.entries() == []
    store.close()


def test_what_is_kept_between_the_looking_and_the_noting_is_forgotten_too(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    def note(*noted: Any) -> None:
        agent().run("Hi")
        cache.store.note(*noted)

    keeper = Cache(Instead(cache.store, note=note))  # type: ignore[arg-type]
    keeper.forget(Selection(everything=True), by="ops", dry_run=False)
    assert cache.entries() == []


def test_a_policys_lifetime_holds_for_what_another_one_kept(
    portkey_provider: EmbeddedProvider, agent: Makes
) -> None:
    now = [1_000_000.0]
    store = Cache(":memory:", clock=lambda: now[0])
    agent({"store": store, "lifetime": 1e5}).run("Hi")
    now[0] += 100
    agent({"store": store, "lifetime": 101}).run("Hi")
    assert len(portkey_provider.calls) == 1
    agent({"store": store, "lifetime": 99}).run("Hi")
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("lifetime", [99, 50])
def test_nor_does_who_waits_for_another_get_an_older_one(
    lifetime: int,
    portkey_provider: EmbeddedProvider,
    agent: Makes,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks first finds that it is too old by its policy, or by that of the other alone."""
    now, waits, leases = [1_000_000.0], threading.Event(), threading.Event()
    waiting = layer.wait_for

    def noted(*asked: Any) -> Any:
        waits.set()
        return waiting(*asked)

    def lease(*asked: Any) -> bool:
        leases.set()
        return waits.wait(10) and cache.store.lease(*asked)

    def get(key: str, at: float) -> Any:
        # It is kept just before who has the lease looks once more.
        return cache.store.get(key, at) if lifetime == 99 or waits.is_set() else None

    portkey_provider.when(lambda request: True, ["old", "new"])
    agent({"lifetime": 1e5, "store": Cache(cache.store, clock=lambda: now[0])}).run("Hi")
    now[0] += 100
    monkeypatch.setattr(layer, "wait_for", noted)
    store = Cache(Instead(cache.store, lease=lease, get=get), clock=lambda: now[0])  # type: ignore[arg-type]
    first = agent({"store": store, "lifetime": 99 if lifetime == 99 else 101})
    second = agent({"store": store, "lifetime": lifetime})
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(first.run, "Hi")
        assert leases.wait(10)
        assert pool.submit(second.run, "Hi").result().content == "new"
        assert asked.result().content == ("new" if lifetime == 99 else "old")
    assert len(portkey_provider.calls) == 2


def test_what_is_too_old_is_waited_for_where_another_process_asks_for_it(
    portkey_provider: EmbeddedProvider, agent: Makes, cache: Cache
) -> None:
    now, leases = [1_000_000.0], list[str]()

    def lease(key: str, *asked: Any) -> bool:
        leases.append(key)
        if len(leases) == 2:
            # The other has its answer.
            kept = cache.store.get(key, now[0])
            assert kept is not None
            cache.store.put(replace(kept, created_at=now[0]))
        return False

    agent({"lifetime": 1e5, "store": Cache(cache.store, clock=lambda: now[0])}).run("Hi")
    now[0] += 100
    store = Cache(Instead(cache.store, lease=lease), clock=lambda: now[0])  # type: ignore[arg-type]
    agent({"store": store, "lifetime": 99}).run("Hi")
    assert (len(leases), len(portkey_provider.calls)) == (2, 1)


@pytest.mark.parametrize("form", FORMS)
def test_tool_calls_that_another_policy_kept_are_not_given(
    form: str, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, asks_for_weather)
    for allowed, calls in ((True, 2), (True, 2), (False, 3)):
        assert play(agent({"tool_calls": allowed}, tools=[weather]), form).content == "Sun."
        assert len(portkey_provider.calls) == calls
