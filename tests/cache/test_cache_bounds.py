"""A store stays within its bounds: what was used least lately goes first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cache_entries import NOW, PATIENCE, entry, keys_in, until
from cache_places import Place

from agno_portkey.cache.entry import Selection
from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store
from agno_portkey.errors import ConfigurationError

EVERYTHING = Selection(everything=True)
DIGITS = "0123456789"


def put(store: Store, keys: str, *, at: float = NOW, **values: Any) -> None:
    for place, key in enumerate(keys):
        store.put(entry(key, created_at=at + place, **values))


def kept(store: Store) -> list[str]:
    return sorted(each.key for each in store.select(EVERYTHING, NOW))


def test_what_was_put_first_goes_first(store: Store) -> None:
    put(store, DIGITS)
    assert kept(store) == [*DIGITS]
    put(store, "abc", at=NOW + 10)
    assert kept(store) == [*"3456789abc"]
    assert sum(count for *_, count, _ in store.figures(NOW)) == 10
    assert store.get("2", NOW) is None
    assert [key for _, key, _ in store.since("b", 0)] == [*"3456789abc"]


def test_what_is_used_stays(store: Store) -> None:
    put(store, DIGITS)
    assert store.get("1", NOW + 20) is not None
    assert store.get("0", NOW + 21) is not None
    put(store, "abc", at=NOW + 30)
    assert kept(store) == [*"0156789abc"]
    put(store, "defghij", at=NOW + 40)
    assert kept(store) == [*"abcdefghij"]


def test_what_is_put_again_counts_as_used(store: Store) -> None:
    put(store, DIGITS)
    put(store, "0", at=NOW + 20)
    put(store, "a", at=NOW + 30)
    assert kept(store) == [*"023456789a"]


def test_a_clock_that_is_behind_makes_nothing_older(store: Store) -> None:
    put(store, DIGITS)
    assert store.get("5", NOW - 1000) is not None
    put(store, "a", at=NOW + 30)
    assert kept(store) == [*"123456789a"]


def test_a_key_that_is_not_there_is_not_made_by_asking(store: Store) -> None:
    put(store, DIGITS)
    for key in "abc":
        assert store.get(key, NOW + 50) is None
    put(store, "d", at=NOW + 60)
    assert kept(store) == [*"123456789d"]


def test_what_was_just_put_stays_whatever_its_time(store: Store) -> None:
    put(store, DIGITS)
    put(store, "a", at=NOW - 1000)
    assert kept(store) == [*"123456789a"]


def test_what_has_expired_goes_before_what_was_used(opened: Place) -> None:
    store = opened.open(max_entries=3)
    put(store, "ab")
    store.put(entry("brief", created_at=NOW + 10, expires_at=NOW + 10.001))
    # Redis counts from when it was put.
    until(lambda: isinstance(store, SqliteStore) or kept(store) == ["a", "b"])
    put(store, "c", at=NOW + 20)
    assert kept(store) == [*"abc"]


def test_a_smaller_bound_is_reached_bit_by_bit(opened: Place) -> None:
    large = opened.open(max_entries=500)
    for number in range(200):
        large.put(entry(f"{number:03}", created_at=NOW + number))
    small = opened.open(max_entries=5)
    for number in range(200, 204):
        small.put(entry(f"{number:03}", created_at=NOW + number))
    assert kept(small) == ["199", "200", "201", "202", "203"]


def test_uses_in_another_process_count_once_they_are_many(opened: Place) -> None:
    one, other = opened.open(max_entries=200), opened.open(max_entries=200)
    for number in range(200):
        one.put(entry(f"{number:03}", created_at=NOW + number))
    used = [f"{number:03}" for number in range(100)]
    assert keys_in(other, *used, now=NOW + 1000) == used
    for number in range(50):
        one.put(entry(f"new {number}", created_at=NOW + 2000 + number))
    # At most a few of the last uses are not known yet.
    assert len({*kept(one)} & {*used}) >= 64


def bytes_in(store: Store) -> int:
    return sum(size for *_, size in store.figures(NOW))


@pytest.fixture(params=[":memory:", "cache.db"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == ":memory:" else str(tmp_path / request.param)


def test_sqlite_keeps_within_its_bytes(path: str) -> None:
    store = SqliteStore(path, max_entries=1000, max_bytes=10_000, seconds=PATIENCE)
    for number in range(50):
        size = 100 * (number % 7)
        store.put(entry(f"{number:02}", created_at=NOW + number, answer="x" * size))
        assert bytes_in(store) <= 10_000
    keys = kept(store)
    assert 10 < len(keys) < 50
    assert keys == [f"{number:02}" for number in range(50 - len(keys), 50)]
    # As many as fit.
    gone = entry(f"{49 - len(keys):02}", answer="x" * (100 * ((49 - len(keys)) % 7)))
    roomy = SqliteStore(":memory:", max_entries=1000, max_bytes=1 << 20)
    roomy.put(gone)
    assert bytes_in(store) + bytes_in(roomy) > 10_000
    store.close()
    roomy.close()


def test_sqlite_does_not_keep_what_is_larger_than_all_it_may_hold(path: str) -> None:
    store = SqliteStore(path, max_entries=1000, max_bytes=2000, seconds=PATIENCE)
    store.put(entry("a"))
    store.put(entry("b"))
    store.put(entry("a", answer="x" * 3000))
    # What it would have replaced is out of date.
    assert kept(store) == ["b"]
    assert store.figures(NOW)[0][2] == 1
    store.close()


@pytest.mark.parametrize("limits", [{"max_entries": 0}, {"max_bytes": 0}], ids=str)
def test_a_store_that_holds_nothing_is_refused(limits: dict[str, int]) -> None:
    [name] = limits
    with pytest.raises(ConfigurationError, match=f"^{name}: 1 or more"):
        SqliteStore(":memory:", **{"max_entries": 1, "max_bytes": 1, **limits})
    with pytest.raises(ConfigurationError, match=r"^max_entries: 1 or more"):
        RedisStore("redis://127.0.0.1:1", max_entries=0)
