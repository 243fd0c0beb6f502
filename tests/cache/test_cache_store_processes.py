"""Several processes at once, and forks of one."""

from __future__ import annotations

import multiprocessing
import os
import threading
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_entries import NOW, entry, keys_in
from cache_places import Place, RedisPlace, SqlitePlace
from redis_server import RedisServer

from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.cache.asked import Asked
from agno_portkey.cache.entry import Evidence, Selection
from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store

EVERYTHING = Selection(everything=True)
EACH = 2000
FORK = multiprocessing.get_context("fork")


def works(place: Place, me: int, begin: Any, told: Any) -> None:
    """One of several processes: it puts entries, and reads its own and others' in between."""
    store, won = place.open(max_entries=100_000), 0
    begin.wait()
    for number in range(EACH):
        store.put(entry(f"{me}-{number}", answer=f"{me} said {number}", bucket=str(me)))
        held = store.get(f"{me}-{number // 2}", NOW)
        if held is None or held.answer != f"{me} said {number // 2}":
            told.put(f"{me} lost {number // 2}")
        store.get(f"0-{number}", NOW)
        if number % 20 == 0:
            won += store.lease(f"turn {number}", str(me), 600, NOW)
    told.put(won)


def started(work: Any, *arguments: Any) -> Any:
    """A forked process that does `work`."""
    child = FORK.Process(target=work, args=arguments)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of a fork in a process with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    return child


def in_a_child(work: Any, *arguments: Any) -> Any:
    """What `work` returns in a forked process."""
    told = FORK.SimpleQueue()
    child = started(lambda: told.put(work(*arguments)))
    child.join()
    assert child.exitcode == 0
    return told.get()


@pytest.fixture(params=["plain"])
def seal() -> None:
    """What is sealed is no other matter here."""


def test_four_processes_lose_nothing(opened: Place) -> None:
    begin, told = FORK.Event(), FORK.SimpleQueue()
    workers = [started(works, opened, me, begin, told) for me in range(4)]
    begin.set()
    won = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    # Each lease had one owner.
    assert sum(won) == EACH // 20
    store = opened.open(max_entries=100_000)
    for me in "0123":
        found = store.since(me, 0)
        assert [key for _, key, _ in found] == [f"{me}-{number}" for number in range(EACH)]
        for number in range(0, EACH, 97):
            held = store.get(f"{me}-{number}", NOW)
            assert held is not None
            assert held.answer == f"{me} said {number}"
    assert [each[:3] for each in store.figures(NOW)] == [("public", "", 4 * EACH)]
    numbers = {number for me in "0123" for number, *_ in store.since(me, 0)}
    assert len(numbers) == 4 * EACH


def test_all_who_put_at_once_keep_within_the_bound(opened: Place) -> None:
    stores = [opened.open(max_entries=50) for _ in range(4)]

    def put(me: int) -> None:
        for number in range(100):
            stores[me].put(entry(f"{me}-{number}", created_at=NOW + number))

    with ThreadPoolExecutor(4) as pool:
        [*pool.map(put, range(4))]
    assert len(stores[0].select(EVERYTHING, NOW)) == 50
    assert [each[2] for each in stores[0].figures(NOW)] == [50]


def test_threads_share_one_store(store: Store) -> None:
    start = threading.Barrier(8)

    def use(me: int) -> int:
        start.wait()
        found = 0
        for number in range(50):
            store.put(entry(str(me), answer=f"{number}"))
            found += store.get(str(me), NOW) is not None
        return found

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(use, range(8))] == [50] * 8
    assert len(store.select(EVERYTHING, NOW)) == 8


def test_a_fork_goes_on_with_the_store(opened: Place) -> None:
    store = opened.open()
    store.put(entry("before"))

    def uses() -> list[str]:
        store.put(entry("child"))
        return keys_in(store, "before", "child")

    assert in_a_child(uses) == ["before", "child"]
    assert in_a_child(in_a_child, uses) == ["before", "child"]
    store.put(entry("after"))
    assert keys_in(store, "before", "child", "after") == ["before", "child", "after"]


def put_and_found(store: Store, key: str) -> list[str]:
    store.put(entry(key))
    return keys_in(store, key)


def test_a_fork_while_other_threads_use_the_store(opened: Place) -> None:
    store, done = opened.open(), threading.Event()

    def busy() -> int:
        put = 0
        while not done.is_set():
            store.put(entry(f"busy {put % 50}"))
            put += 1
        return put

    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(busy) for _ in range(3)]
        try:
            for number in range(10):
                key = f"child {number}"
                assert in_a_child(put_and_found, store, key) == [key]
        finally:
            done.set()
        assert all(thread.result() for thread in threads)
    wanted = [f"child {number}" for number in range(10)]
    assert keys_in(store, *wanted) == wanted


def test_a_fork_while_another_thread_has_the_lock_of_the_client(cache_server: RedisServer) -> None:
    place = RedisPlace(cache_server, f"test:{uuid.uuid4()}")
    store, held, done = place.open(), threading.Event(), threading.Event()
    assert isinstance(store, RedisStore)
    lock = store._client.connection_pool._lock

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        assert in_a_child(put_and_found, store, "child") == ["child"]
    finally:
        done.set()
        thread.join()
    assert keys_in(store, "child") == ["child"]
    place.close()


class HeldUp(SqliteStore):
    """In the process that made it, whoever reads vectors or evidence waits."""

    def __init__(self, path: str) -> None:
        super().__init__(path, max_entries=10, max_bytes=1 << 30)
        self._made_in = os.getpid()
        self.waiting, self.done = threading.Semaphore(0), threading.Event()

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        self._wait()
        return super().since(bucket, seq)

    def evidence(self, seq: int) -> list[tuple[int, Evidence]]:
        self._wait()
        return super().evidence(seq)

    def _wait(self) -> None:
        if os.getpid() == self._made_in:
            self.waiting.release()
            self.done.wait()


class OneVector:
    id = "one"

    def embed(self, texts: Any) -> Any:
        return np.ones((len(texts), 1), dtype="f4")


def test_a_fork_while_other_threads_have_the_locks_of_the_cache(place: SqlitePlace) -> None:
    store, policy = HeldUp(str(place.path)), CachePolicy(kind="semantic")
    cache = Cache(store, embedder=OneVector(), clock=lambda: NOW)
    kept = entry("k", bucket="b", question="How many?", embedding=b"\0\0\x80?", embedder="one")
    store.put(kept)
    asked = Asked(
        key="other", bucket="b", scope="", question="How many?", model="", role="", swarm="",
        prompt="", knowledge="", sources=(),
    )  # fmt: skip

    def found() -> tuple[str | None, float]:
        near = cache.near(asked, policy)
        return near and near.entry.key, cache.trust(policy).max_error

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(cache.near, asked, policy), pool.submit(cache.trust, policy)]
        try:
            assert store.waiting.acquire(timeout=10)
            assert store.waiting.acquire(timeout=10)
            assert in_a_child(found) == ("k", policy.max_error)
        finally:
            store.done.set()
        assert all(each.result() is not None for each in held)
    store.close()


def test_a_fork_of_a_store_in_memory_has_a_copy() -> None:
    store = SqliteStore(":memory:", max_entries=10, max_bytes=1 << 30)
    store.put(entry("before"))
    assert in_a_child(put_and_found, store, "child") == ["child"]
    assert keys_in(store, "before", "child") == ["before"]
    store.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SqlitePlace]:
    made = SqlitePlace(tmp_path / "cache.db")
    yield made
    made.close()


def test_a_fork_that_outlives_its_parents_store_loses_nothing(place: SqlitePlace) -> None:
    """Were the file open over the fork, the child would write into a log that is gone."""
    store = place.open()
    store.put(entry("before"))
    ready, go, told = FORK.Event(), FORK.Event(), FORK.SimpleQueue()

    def late() -> None:
        store.put(entry("early"))
        ready.set()
        go.wait()
        for number in range(30):
            store.put(entry(f"late {number}"))
        told.put(keys_in(store, "before", "late 29"))

    child = started(late)
    ready.wait()
    store.put(entry("parent"))
    store.close()
    another = place.open()
    another.put(entry("another"))
    another.close()
    go.set()
    assert told.get() == ["before", "late 29"]
    child.join()
    late_ones = [f"late {number}" for number in range(30)]
    wanted = ["before", "early", "parent", "another", *late_ones]
    assert keys_in(place.open(), *wanted) == wanted
    is_whole(place)


def is_whole(place: SqlitePlace) -> None:
    with place.connection() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counted = "SELECT (SELECT count(*) FROM agno_portkey_cache_2_entries), entries"
        [(there, told)] = connection.execute(f"{counted} FROM agno_portkey_cache_2_totals")
    assert there == told


def test_a_process_that_is_killed_while_it_writes_spoils_nothing(place: SqlitePlace) -> None:
    store, begin = place.open(), FORK.Event()
    worker = started(works, place, 0, begin, FORK.SimpleQueue())
    begin.set()
    while len(store.since("0", 0)) < 20:
        assert worker.is_alive()
    worker.kill()
    worker.join()
    found = store.since("0", 0)
    assert [key for _, key, _ in found] == [f"0-{number}" for number in range(len(found))]
    store.put(entry("mine"))
    assert keys_in(store, "mine", "0-0") == ["mine", "0-0"]
    is_whole(place)


def forks_at_once(place: SqlitePlace) -> None:
    stores = [place.open() for _ in range(3)]

    def fork(number: int) -> bool:
        if (child := os.fork()) == 0:
            os._exit(0 if put_and_found(stores[number % 3], f"{number}") else 1)
        return os.waitpid(child, 0)[1] == 0

    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert all(pool.map(fork, range(12)))
    assert len(stores[0].select(EVERYTHING, NOW)) == 12


def test_forks_at_once_do_not_wait_for_each_other(place: SqlitePlace) -> None:
    # In a process of its own: a fork amid SQLite's own work for another test's thread, which holds
    # what the child would wait for, is nobody's here.
    process = multiprocessing.get_context("spawn").Process(target=forks_at_once, args=(place,))
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0
