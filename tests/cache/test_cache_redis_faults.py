"""A Redis cache that is gone, hung, restarted, full, meddled with, or no Redis: it raises."""

from __future__ import annotations

import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from cache_entries import NOW, PATIENCE, entry, keys_in, until, uses
from cache_places import RedisPlace
from redis_server import RedisServer

from agno_portkey.cache.entry import Evidence, Selection
from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.cache.store import Store
from agno_portkey.errors import ConfigurationError, MissingExtraError

EVERYTHING = Selection(everything=True)


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A server that a test may do harm to."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def place(cache_server: RedisServer) -> Iterator[RedisPlace]:
    made = RedisPlace(cache_server, f"test:{uuid.uuid4()}")
    yield made
    made.close()


def all_raise(store: Store) -> None:
    for use in uses(store):
        with pytest.raises((redis.RedisError, OSError)):
            use()


def test_a_redis_that_is_not_there_raises_and_comes_back(own: RedisServer) -> None:
    own.kill()
    store = RedisStore(own.url, max_entries=10)
    all_raise(store)
    own.start()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]
    store.close()


def test_a_redis_that_is_restarted_has_forgotten_and_goes_on(own: RedisServer) -> None:
    store = RedisStore(own.url, max_entries=10, seconds=PATIENCE)
    store.put(entry())
    assert store.lease("k", "me", 60, NOW)
    own.kill()
    own.start()
    assert keys_in(store, "k") == []
    for use in uses(store):
        use()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]
    store.close()


def test_a_redis_that_hangs_raises_and_wakes(own: RedisServer) -> None:
    store = RedisStore(own.url, max_entries=10, seconds=0.05)
    until(lambda: stored(store))
    own.hang()
    all_raise(store)
    own.wake()
    until(lambda: stored(store))
    store.close()


def stored(store: Store) -> bool:
    """Whether an entry could be put and found, by a store that gives up soon."""
    with suppress(redis.RedisError, OSError):
        store.put(entry())
        return keys_in(store, "k") == ["k"]
    return False


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """The address of what answers whatever it is asked with `answer`, or with nothing at all."""
    accepted: list[socket.socket] = []

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted.append(listening.accept()[0])
                if answer is not None:
                    threading.Thread(target=repeat, args=(accepted[-1],), daemon=True).start()

    def repeat(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(65_536):
                connection.sendall(answer or b"")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
        for each in (listening, *accepted):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in accepted:
            each.close()


def test_what_takes_connections_and_never_answers_is_not_waited_for() -> None:
    with answering(None) as url:
        store = RedisStore(url, max_entries=10, seconds=0.05)
        for use in uses(store):
            with pytest.raises(redis.TimeoutError):
                use()
        store.close()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\r\n\r\n", b"\0\xff\xfe\r\n"], ids=repr)
def test_what_is_no_redis_raises(answer: bytes) -> None:
    with answering(answer) as url:
        store = RedisStore(url, max_entries=10, seconds=0.5)
        all_raise(store)
        store.close()


def test_an_entry_of_another_type_raises_until_it_is_put(place: RedisPlace) -> None:
    store = place.open()
    store.put(entry())
    store.put(entry("other"))
    place.client.set(place.name("entry:k"), "junk")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.get("k", NOW)
    assert [key for _, key, _ in store.since("b", 0)] == ["other"]
    # It can be deleted, though nothing is known of it.
    assert sorted(each.key for each in store.select(EVERYTHING, NOW)) == ["k", "other"]
    assert [each[:3] for each in store.figures(NOW)] == [("public", "", 1)]
    store.put(entry())
    assert keys_in(store, "k", "other") == ["k", "other"]


@pytest.mark.parametrize("name", ["used", "buckets", "expiry", "bucket:b", "seq"])
def test_a_key_of_another_type_keeps_entries_from_being_put(place: RedisPlace, name: str) -> None:
    store = place.open()
    place.client.rpush(place.name(name), "junk")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        store.put(entry())
    assert place.client.exists(place.name("entry:k")) == 0
    place.client.delete(place.name(name))
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


@pytest.mark.parametrize("name", ["learnt", "evidence", "notes", "lease:k"])
def test_other_keys_of_another_type_raise(place: RedisPlace, name: str) -> None:
    store = place.open()
    place.client.hset(place.name(name), "a", "junk")
    raised = 0
    for use in uses(store):
        with suppress(redis.ResponseError):
            use()
            continue
        raised += 1
    assert raised >= 1
    assert store.put(entry()) is None
    assert keys_in(store, "k") == ["k"]


def test_a_redis_that_is_full_raises_and_still_answers(own: RedisServer) -> None:
    store = RedisStore(own.url, max_entries=10, seconds=PATIENCE)
    store.put(entry())
    client = redis.Redis.from_url(own.url)
    client.config_set("maxmemory", "1")
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        store.put(entry("new"))
    assert client.exists("agno_portkey:cache:1:entry:new") == 0
    client.config_set("maxmemory", "0")
    assert keys_in(store, "k") == ["k"]
    store.put(entry("new"))
    assert keys_in(store, "new") == ["new"]
    client.close()
    store.close()


def test_a_redis_that_only_reads_raises(own: RedisServer) -> None:
    store = RedisStore(own.url, max_entries=10, seconds=PATIENCE)
    client = redis.Redis.from_url(own.url)
    client.config_set("min-replicas-to-write", "1")
    with pytest.raises(redis.ResponseError):
        store.put(entry())
    client.config_set("min-replicas-to-write", "0")
    store.put(entry())
    client.close()
    store.close()


def test_redis_lets_go_of_an_entry_by_itself(place: RedisPlace) -> None:
    store = place.open()
    # From when it is put, whatever the time is where it is put.
    store.put(entry(created_at=0.0, expires_at=3600.0))
    left: Any = place.client.pttl(place.name("entry:k"))
    assert 3_000_000 < left <= 3_600_000
    store.put(entry(created_at=0.0, expires_at=1e18))
    assert store.get("k", NOW) is not None
    store.put(entry("brief", created_at=NOW, expires_at=NOW + 0.05))
    until(lambda: not place.client.exists(place.name("entry:brief")))
    assert store.get("brief", NOW) is None
    assert [key for _, key, _ in store.since("b", 0)] == ["k"]
    assert [each.key for each in store.select(EVERYTHING, NOW)] == ["k"]
    assert [each[:3] for each in store.figures(NOW)] == [("public", "", 1)]
    # The next that is put takes along what tells of it.
    assert place.client.zcard(place.name("used")) == 2
    store.put(entry("next", bucket="c"))
    for name in ("used", "expiry"):
        there: Any = place.client.zrange(place.name(name), 0, -1)
        assert sorted(there) == [b"k", b"next"]
    assert place.client.hkeys(place.name("buckets")) == [b"k", b"next"]
    assert place.client.zrange(place.name("bucket:b"), 0, -1) == [b"k"]


def test_what_is_deleted_leaves_nothing_behind(place: RedisPlace) -> None:
    store = place.open(max_entries=5)
    for number in range(12):
        store.put(entry(f"{number}", bucket=f"b{number % 3}"))
    assert store.delete(map(str, range(12))) == 5
    assert list(place.client.scan_iter(f"{place.prefix}:*")) == [place.name("seq").encode()]


def test_prefixes_are_apart(place: RedisPlace, cache_server: RedisServer) -> None:
    other = RedisPlace(cache_server, place.prefix + ":1")
    place.open().put(entry())
    store = other.open()
    assert store.get("k", NOW) is None
    assert store.select(EVERYTHING, NOW) == []
    assert store.lease("k", "me", 60, NOW)
    assert place.open().lease("k", "you", 60, NOW)
    other.close()


@pytest.mark.parametrize("options", ["?decode_responses=true", "?protocol=3", "?client_name=x"])
def test_what_an_address_asks_for_changes_no_answers(
    place: RedisPlace, cache_server: RedisServer, options: str
) -> None:
    store = RedisStore(cache_server.url + options, max_entries=10, prefix=place.prefix)
    held = entry(embedding=b"\xff" * 8)
    store.put(held)
    assert store.get("k", NOW) == held
    assert [each[1:] for each in store.since("b", 0)] == [("k", held.embedding)]
    assert len(store.select(EVERYTHING, NOW)) == 1
    for use in uses(store):
        use()
    assert store.notes() == [(NOW, "ann", "everything", 1)]
    assert [each for _, each in store.evidence(0)] == [Evidence("", "k", 0.9, True, NOW)]
    store.close()


def test_no_password_is_shown() -> None:
    with RedisServer(password="h4rd-to-guess") as guarded:
        store = RedisStore(guarded.url, max_entries=10, seconds=PATIENCE)
        store.put(entry())
        wrong = RedisStore(guarded.url.replace("guess", "gue55"), max_entries=10, seconds=PATIENCE)
        with pytest.raises(redis.AuthenticationError) as refused:
            wrong.put(entry())
    assert store.place == wrong.place == f"redis://127.0.0.1:{guarded.port}/0"
    assert "h4rd" not in f"{store!r} {wrong!r} {refused.value}"
    store.close()
    wrong.close()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"agno-portkey\[redis\]"):
        RedisStore("redis://127.0.0.1:1", max_entries=10)


@pytest.mark.parametrize("url", ["http://user:h4rd@host/0", "redis://:h4rd@host:many/0", "h4rd"])
def test_a_wrong_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cache: .*redis://") as refused:
        RedisStore(url, max_entries=10)
    assert "h4rd" not in str(refused.value)
    assert refused.value.__suppress_context__
