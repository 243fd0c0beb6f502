"""Nobody waits for what a slow store tells another thread, and nothing is read twice for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import pytest

from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.cache.entry import Evidence
from agno_portkey.cache.index import Index

T = TypeVar("T")
ONE, TWO = np.eye(4, dtype="f4")[:2]
POLICY = CachePolicy(kind="semantic")


class Slow:
    """A store of vectors and of what was learnt; what `holds` is true of comes when it is let go.

    It is told as it was when it was asked for.
    """

    place = "slow"

    def __init__(self) -> None:
        self.rows: list[tuple[int, str, str, bytes]] = []
        self.learnt: list[tuple[int, Evidence]] = []
        self.asked: list[tuple[str, int]] = []
        self.holds: Callable[[str, int], bool] = lambda what, seq: False
        self.held, self.go = threading.Semaphore(0), threading.Event()
        self.fails = False

    def put(self, bucket: str, key: str, vector: Any) -> None:
        self.rows.append((len(self.rows) + 1, bucket, key, vector.astype("<f4").tobytes()))

    def learn(self, at: float, same: bool = True) -> None:
        self.learnt.append((len(self.learnt) + 1, Evidence("", f"e{at}", 0.9, same, at)))

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        told = [(at, key, row) for at, held, key, row in self.rows if held == bucket and at > seq]
        return self._told(bucket, seq, told)

    def evidence(self, seq: int) -> list[tuple[int, Evidence]]:
        return self._told("evidence", seq, [each for each in self.learnt if each[0] > seq])

    def _told(self, what: str, seq: int, told: T) -> T:
        self.asked.append((what, seq))
        if self.holds(what, seq):
            self.held.release()
            assert self.go.wait(60)
        if self.fails:
            raise OSError("the store is gone")
        return told


@contextmanager
def waiting(store: Slow, ask: Callable[[], T]) -> Iterator[Future[T]]:
    """A thread that asks, and waits for the store; it is let go at the end."""
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            assert store.held.acquire(timeout=60)
            yield asking
        finally:
            store.go.set()


def beside(ask: Callable[[], T]) -> T:
    """What comes of `ask` in a thread of its own; it is not waited for for ever."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result(60)


def nearest(index: Index, bucket: str, vector: Any = ONE) -> list[str]:
    return [key for key, _ in index.nearest(bucket, vector, floor=0.5)]


@pytest.fixture
def store() -> Slow:
    store = Slow()
    for bucket in "bc":
        store.put(bucket, f"{bucket}1", ONE)
    return store


def test_a_bucket_is_read_while_another_one_is(store: Slow) -> None:
    index = Index(store)
    store.holds = lambda what, seq: what == "b"
    with waiting(store, lambda: nearest(index, "b")) as asking:
        assert beside(lambda: nearest(index, "c")) == ["c1"]
        beside(lambda: index.drop("c", "c1"))
        beside(lambda: index.drop("b", "b1"))
        assert not asking.done()
    assert asking.result() == ["b1"]


def test_one_bucket_is_looked_at_while_another_thread_waits_for_what_is_new(store: Slow) -> None:
    index = Index(store)
    assert nearest(index, "b") == ["b1"]
    calls = iter([True, False])
    store.holds = lambda what, seq: next(calls)
    with waiting(store, lambda: nearest(index, "b")) as asking:
        store.put("b", "b2", ONE)
        assert set(beside(lambda: nearest(index, "b"))) == {"b1", "b2"}
        assert not asking.done()
    assert set(asking.result()) == {"b1", "b2"}


def test_what_comes_late_takes_the_place_of_nothing_newer(store: Slow) -> None:
    index = Index(store)
    assert nearest(index, "b") == ["b1"]
    calls = iter([True, False, False])
    store.holds = lambda what, seq: next(calls)
    store.put("b", "b2", ONE)
    with waiting(store, lambda: nearest(index, "b")) as asking:
        store.put("b", "b2", TWO)
        assert beside(lambda: nearest(index, "b", TWO)) == ["b2"]
    assert asking.result() == ["b1"]
    assert nearest(index, "b", TWO) == ["b2"]


def test_a_bucket_is_read_as_a_whole_once(store: Slow) -> None:
    index, together = Index(store), threading.Barrier(2)

    def holds(what: str, seq: int) -> bool:
        if seq:
            # Those who waited ask at once for what is new.
            together.wait(60)
        return not seq

    store.holds = holds
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(nearest, index, "b") for _ in range(3)]
        assert store.held.acquire(timeout=60)
        store.go.set()
        assert [each.result(60) for each in asking] == [["b1"]] * 3
    assert sorted(store.asked) == [("b", 0), ("b", 1), ("b", 1)]


def test_who_waited_for_one_that_failed_reads_for_itself(store: Slow) -> None:
    index = Index(store)
    store.holds = lambda what, seq: len(store.asked) == 1
    store.fails = True
    with waiting(store, lambda: nearest(index, "b")) as asking, ThreadPoolExecutor(1) as pool:
        waits = pool.submit(nearest, index, "b")
        store.go.set()
        with pytest.raises(OSError, match="gone"):
            asking.result(60)
        with pytest.raises(OSError, match="gone"):
            waits.result(60)
    assert len(index._buckets) == 0
    store.fails = False
    assert nearest(index, "b") == ["b1"]


def test_what_was_learnt_is_gone_by_while_another_thread_waits_for_more(store: Slow) -> None:
    cache: Any = Cache(store, clock=lambda: 1_000.0)  # type: ignore[arg-type]
    for at in range(200):
        store.learn(float(at))
    trust = cache.trust(POLICY)
    calls = iter([True, False])
    store.holds = lambda what, seq: next(calls)
    # Told twice, the same entry would be blamed twice.
    store.learn(500.0, same=False)
    for at in (501.0, 502.0):
        store.learnt.append((len(store.learnt) + 1, Evidence("", "e500.0", 0.9, True, at)))
    with waiting(store, lambda: cache.trust(POLICY)) as asking:
        assert beside(lambda: cache.trust(POLICY)) is trust
        assert not asking.done()
    assert asking.result() is trust
    record = trust._strata[""].known.record("e500.0")
    assert (record.wrong, record.right) == (1, 2)
    store.holds = lambda what, seq: False
    cache.trust(POLICY)
    assert store.asked[-1] == ("evidence", 203)


def test_what_was_learnt_is_read_as_a_whole_once(store: Slow) -> None:
    cache: Any = Cache(store, clock=lambda: 1_000.0)  # type: ignore[arg-type]
    store.learn(1.0)
    store.holds = lambda what, seq: seq == 0
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(cache.trust, POLICY) for _ in range(3)]
        assert store.held.acquire(timeout=60)
        store.go.set()
        assert len({id(each.result(60)) for each in asking}) == 1
    assert store.asked.count(("evidence", 0)) == 1
