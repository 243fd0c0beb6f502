"""What can't be read of a cache is passed over, and can be deleted."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from cache_entries import NOW, entry
from cache_places import Place, RedisPlace, SqlitePlace
from redis_server import RedisServer

from agno_portkey.cache import Cache
from agno_portkey.cache.entry import Evidence, Selection
from agno_portkey.cache.packing import names, raw

EVERYTHING = Selection(everything=True)
LEARNT = Evidence("negation", "k", 0.9, True, NOW)
NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    "junk", [b"", b"\0", b"\xff", b"{}", b"[1]", b'"x"', NESTED], ids=lambda junk: f"{junk[:9]!r}"
)
def test_an_entry_that_can_not_be_read_is_forgotten_with_all(opened: Place, junk: bytes) -> None:
    store = opened.open()
    for key in ("one", "two", "three"):
        store.put(entry(key, tags=("faq",)))
    opened.change("two", about=junk)
    cache = Cache(store)
    assert len(cache.forget(EVERYTHING, by="ann")) == 3
    assert len(cache.forget(EVERYTHING, by="ann", dry_run=False)) == 3
    assert store.select(EVERYTHING, NOW) == []
    store.close()
    assert b"What is two" not in opened.everything()
    assert [count for *_, count in store.notes()] == [3]


def test_an_entry_that_can_not_be_read_is_forgotten_by_its_key(opened: Place) -> None:
    store = opened.open()
    for key in ("one", "two"):
        store.put(entry(key))
    opened.change("two", about=b"junk")
    assert [each.key for each in Cache(store).forget(Selection(key="two"), by="ann")] == ["two"]
    assert [each.key for each in store.select(Selection(key="one"), NOW)] == ["one"]


def test_one_that_says_it_is_another_is_itself(opened: Place) -> None:
    store = opened.open()
    for key in ("one", "two"):
        store.put(entry(key))
    opened.change("two", about=opened.fields("one")["about"])
    assert sorted(each.key for each in store.select(EVERYTHING, NOW)) == ["one", "two"]


def test_a_file_still_tells_whose_it_was(tmp_path: Any) -> None:
    place = SqlitePlace(tmp_path / "cache.db")
    store = place.open()
    held = entry(scope="user:a", role="Judge", tags=("a", "b"), sources=("x.md",), prompt="p")
    store.put(held)
    place.change("k", about=b"junk")
    for selection in (Selection(scope="user:a"), Selection(tag="b"), Selection(source="x.md")):
        [found] = store.select(selection, NOW)
        same = ("key", "bucket", "scope", "role", "tags", "sources", "prompt", "model")
        assert [getattr(found, name) for name in same] == [getattr(held, name) for name in same]
        assert (found.created_at, found.expires_at) == (held.created_at, held.expires_at)
    with place.connection() as connection:
        connection.execute("DELETE FROM agno_portkey_cache_2_contents")
    assert store.delete(each.key for each in store.select(EVERYTHING, NOW)) == 1
    place.close()


def test_an_entry_whose_key_is_spoilt_is_forgotten_with_all(opened: Place) -> None:
    store = opened.open()
    for key in ("one", "two"):
        store.put(entry(key))
    if isinstance(opened, SqlitePlace):
        with opened.connection() as connection:
            connection.execute(
                "UPDATE agno_portkey_cache_2_entries SET key = x'74ff6f' WHERE key = x'74776f'"
            )
    elif isinstance(opened, RedisPlace):
        opened.client.rename(opened.name("entry:two"), opened.name("entry:").encode() + b"t\xffo")
        opened.client.hset(opened.name("buckets"), b"t\xffo", "b")  # type: ignore[arg-type]
    assert len(Cache(store).forget(EVERYTHING, by="ann", dry_run=False)) == 2
    assert store.select(EVERYTHING, NOW) == []
    store.close()
    assert b"What is two" not in opened.everything()


@pytest.mark.parametrize("key", ["k", "é", "\ud800", "a\udcffb", ""])
def test_each_key_is_among_its_names(key: str) -> None:
    assert raw(key) in names(key)


SPOILT: list[list[Any]] = [
    [],
    ["negation", "k"],
    ["negation", "k", "?", True, NOW],
    ["negation", "k", 0.9, True, NOW, 0.1, 0.1],
    [1, 2, 3, 4, 5],
]


def spoil_learnt(place: Place) -> None:
    """Put evidence between that of others which can't be read."""
    if isinstance(place, SqlitePlace):
        insert = "INSERT INTO agno_portkey_cache_2_evidence VALUES (NULL, ?, ?, ?, ?, ?, NULL)"
        with place.connection() as connection:
            connection.execute(insert, (b"\xff", b"k", 0.9, 1, NOW))
            connection.execute(insert, (b"negation", b"\xff", 0.9, 1, NOW))
            connection.execute(insert, (b"negation", b"k", b"?", 1, NOW))
            connection.execute(insert, (7, b"k", 0.9, 1, NOW))
    elif isinstance(place, RedisPlace):
        for junk in (b"\xff", NESTED, b"", b"7", *(json.dumps(each).encode() for each in SPOILT)):
            number: Any = place.client.incr(place.name("learnt"))
            place.client.zadd(place.name("evidence"), {b"%d %s" % (number, junk): number})
        place.client.zadd(place.name("evidence"), {b"far": float("inf")})


def test_evidence_that_can_not_be_read_is_passed_over(opened: Place) -> None:
    store = opened.open()
    store.learn(LEARNT)
    spoil_learnt(opened)
    store.learn(LEARNT)
    found = store.evidence(0)
    assert [each for _, each in found] == [LEARNT, LEARNT]
    assert store.evidence(found[0][0]) == found[1:]
    assert store.evidence(found[1][0]) == []


def test_what_a_policy_allows_is_kept_with_what_it_had_compared(opened: Place) -> None:
    store = opened.open()
    told = [Evidence("negation", "k", 0.9, True, NOW, budget) for budget in (0.01, None, 0.25)]
    for each in told:
        store.learn(each)
    assert [each for _, each in opened.open().evidence(0)] == told


def test_what_was_kept_before_policies_said_it_is_read(cache_server: RedisServer) -> None:
    place = RedisPlace(cache_server, f"test:{uuid.uuid4()}")
    for held in (["negation", "k", 0.9, True, NOW], ["negation", "k", 0.9, True, NOW, "much"]):
        number: Any = place.client.incr(place.name("learnt"))
        line = b"%d %s" % (number, json.dumps(held).encode())
        place.client.zadd(place.name("evidence"), {line: number})
    assert [each for _, each in place.open().evidence(0)] == [LEARNT, LEARNT]
    place.close()


def test_notes_that_can_not_be_read_are_told_as_far_as_they_can(opened: Place) -> None:
    store = opened.open()
    store.note(NOW, "ann", "everything", 1)
    if isinstance(opened, SqlitePlace):
        insert = "INSERT INTO agno_portkey_cache_2_notes VALUES (NULL, ?, ?, ?, ?)"
        with opened.connection() as connection:
            connection.execute(insert, (b"?", b"bob", b"everything", 2))
            connection.execute(insert, (NOW, b"b\xffb", b"everything", 3))
    elif isinstance(opened, RedisPlace):
        notes = opened.name("notes")
        opened.client.rpush(notes, b"\xff", NESTED, "{}", json.dumps([NOW, "b\ufffdb", "x", "3"]))
        opened.client.rpush(notes, json.dumps([NOW, "b\ufffdb", "everything", 3]))
    store.note(NOW, "cid", "everything", 4)
    expected = [("ann", 1), ("b\ufffdb", 3), ("cid", 4)]
    assert [(by, count) for _, by, _, count in store.notes()] == expected
    assert store.notes(last=1) == [(NOW, "cid", "everything", 4)]
    assert store.figures(NOW) == []


def test_figures_are_told_where_a_name_can_not_be_read(tmp_path: Any) -> None:
    place = SqlitePlace(tmp_path / "cache.db")
    store = place.open()
    store.put(entry())
    with place.connection() as connection:
        connection.execute("UPDATE agno_portkey_cache_2_entries SET role = x'ff'")
    assert [each[:3] for each in store.figures(NOW)] == [("public", "\ufffd", 1)]
    place.close()
