"""The store at an address; one that can't be is refused with what to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from cache_entries import KEY, NOW, entry
from redis_server import RedisServer

from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store, store_at
from agno_portkey.errors import ConfigurationError


def closed(store: Store) -> Store:
    store.close()
    return store


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "SQLite:///{}"])
def test_a_path_is_a_sqlite_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "my cache.db"
    store = store_at(form.format(path))
    assert isinstance(store, SqliteStore)
    assert isinstance(store, Store)
    assert store.place == str(path)
    store.put(entry())
    store.close()
    again = store_at(path)
    assert again.get("k", NOW) == entry()
    again.close()


@pytest.mark.parametrize("address", ["cache.db", "sqlite:///cache.db", "./cache.db"])
def test_a_path_means_the_same_file_wherever_one_goes(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = store_at(address)
    store.close()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    store.put(entry())
    assert store.place == str(tmp_path / "cache.db")
    assert [*elsewhere.iterdir()] == []
    store.close()


@pytest.mark.parametrize("address", [":memory:", "sqlite://", "sqlite:///:memory:"])
def test_memory_is_one_store_each(address: str) -> None:
    one, other = store_at(address), store_at(address)
    one.put(entry())
    assert one.place == ":memory:"
    assert one.get("k", NOW) == entry()
    assert other.get("k", NOW) is None
    one.close()
    other.close()


def test_redis_is_by_its_address(cache_server: RedisServer) -> None:
    store = store_at(cache_server.url)
    assert isinstance(store, RedisStore)
    assert isinstance(store, Store)
    assert store.place == cache_server.url
    store.close()
    for url, place in {
        "rediss://:secret@cache.example:6380/2": "redis://cache.example:6380/2",
        "unix:///run/redis.sock": "redis:///run/redis.sock/0",
    }.items():
        assert closed(store_at(url)).place == place


def test_a_redis_that_is_down_is_no_wrong_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store_at(f"redis://127.0.0.1:{free.getsockname()[1]}").close()


def test_with_a_key_answers_are_sealed(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    store = store_at(path, key=KEY)
    store.put(entry(answer="Alice"))
    held = store.get("k", NOW)
    assert held is not None
    assert held.answer == "Alice"
    assert b"Alice" not in b"".join(each.read_bytes() for each in tmp_path.iterdir())
    store.close()


def test_the_bounds_are_the_stores(tmp_path: Path, cache_server: RedisServer) -> None:
    store = store_at(tmp_path / "cache.db", max_entries=2, max_bytes=10_000)
    for key in "abc":
        store.put(entry(key))
    assert store.get("a", NOW) is None
    store.put(entry("large", answer="x" * 20_000))
    assert store.get("large", NOW) is None
    store.close()
    with pytest.raises(ConfigurationError, match="max_entries"):
        store_at(cache_server.url, max_entries=0)


@pytest.mark.parametrize(
    "address",
    ["", " ", "no/such/folder/cache.db", "sqlite:///no/such/folder/cache.db", ".", "/", "a\0b"],
)
def test_a_path_that_can_be_none_is_refused(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"^cache: .*(give a file|of a file is needed)"):
        store_at(address)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:h4rd@host/db",
        "mysql://h4rd",
        "http://h4rd@host",
        "://h4rd",
        "sqlite:///cache.db?h4rd=1",
        "redis://:h4rd@host:many/0",
    ],
)
def test_an_address_that_keeps_no_answers_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^cache: .*(path|redis://)") as refused:
        store_at(address)
    assert "h4rd" not in str(refused.value)


def test_a_wrong_key_is_refused(tmp_path: Path) -> None:
    wrong: Any = "h4rd"
    with pytest.raises(ConfigurationError, match=r"^key: ") as refused:
        store_at(tmp_path / "cache.db", key=wrong)
    assert "h4rd" not in str(refused.value)
