"""Of several who would ask the same at once, one may."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cache_entries import NOW, entry, until
from cache_places import Place

from agno_portkey.cache.store import Store


def test_one_owner_has_the_lease_until_it_lets_go(store: Store) -> None:
    assert store.lease("k", "a", 60, NOW)
    assert not store.lease("k", "b", 60, NOW + 1)
    assert store.lease("other", "b", 60, NOW)
    # What it has it may have again, and for longer.
    assert store.lease("k", "a", 60, NOW + 30)
    store.release("k", "b")
    assert not store.lease("k", "b", 60, NOW + 30)
    store.release("k", "a")
    assert store.lease("k", "b", 60, NOW + 30)


def test_an_owner_that_ended_is_replaced_after_its_seconds(store: Store) -> None:
    assert store.lease("k", "gone", 0.3, time.time())
    assert store.lease("other", "stays", 600, time.time())
    assert not store.lease("k", "next", 600, time.time())
    until(lambda: store.lease("k", "next", 600, time.time()))
    assert not store.lease("k", "gone", 600, time.time())
    store.release("k", "gone")
    assert not store.lease("k", "gone", 600, time.time())
    assert not store.lease("other", "next", 600, time.time())


def test_a_lease_is_nothing_that_is_kept(store: Store) -> None:
    store.lease("k", "a", 60, NOW)
    assert store.get("k", NOW) is None
    store.put(entry())
    store.delete(["k"])
    assert not store.lease("k", "b", 60, NOW)


def test_of_many_at_once_one_wins(opened: Place) -> None:
    stores = [opened.open() for _ in range(4)]
    start = threading.Barrier(8)

    def hurry(number: int) -> list[bool]:
        won = []
        for turn in range(20):
            start.wait()
            won.append(stores[number % 4].lease(str(turn), str(number), 600, NOW))
        return won

    with ThreadPoolExecutor(8) as pool:
        won = [*pool.map(hurry, range(8))]
    assert [sum(turn) for turn in zip(*won, strict=True)] == [1] * 20
