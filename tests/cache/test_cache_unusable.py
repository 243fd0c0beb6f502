"""A call goes on without a cache whose file is full, may not be written to, or is another's."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from cache_entries import until
from cache_places import SqlitePlace, filled
from redis_server import RedisServer

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache, CachePolicy
from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.testing import EmbeddedProvider

LONG = "word " * 5_000


def asks(cache: Cache, times: int = 1) -> list[str]:
    """How each of so many different calls ended, of a provider that says much."""
    with EmbeddedProvider() as provider:
        provider.when(lambda request: True, lambda request: LONG)
        policy = CachePolicy(store=cache, scope="public")
        model = PortkeyModel(base_url=provider.url, api_key="k", cache=policy)
        ended = [Agent(model=model).run(f"Question {number}") for number in range(times)]
        assert all(each.content and each.content.strip() == LONG.strip() for each in ended)
        return [each.status.value for each in ended]


def in_a_child(work: Callable[[], Any]) -> Any:
    """What comes of `work` in a forked process, which may give up what this one needs."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=lambda: told.put(work()))
    child.start()
    child.join()
    assert child.exitcode == 0
    return told.get()


def test_calls_go_on_where_the_disk_is_full(tmp_path: Path) -> None:
    def work() -> tuple[list[str], bool]:
        cache = Cache(str(tmp_path / "cache.db"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        return asks(cache, 20), cache.resting

    statuses, rests = in_a_child(work)
    assert statuses == [RunStatus.completed.value] * 20
    assert rests
    place = SqlitePlace(tmp_path / "cache.db")
    with place.connection() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_calls_go_on_where_the_disk_is_full_from_the_first(tmp_path: Path) -> None:
    def work() -> tuple[list[str], bool]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        cache = Cache(str(tmp_path / "cache.db"))
        return asks(cache, 2), cache.resting

    assert in_a_child(work) == ([RunStatus.completed.value] * 2, True)
    place = SqlitePlace(tmp_path / "cache.db")
    filled(place)
    place.close()


def test_calls_go_on_where_a_file_may_only_be_read() -> None:
    def work(path: Path) -> tuple[list[str], bool]:
        cache = Cache(str(path))
        cache.close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        if os.getuid() == 0:
            os.chown(path, 65534, 65534)
            os.setgid(65534)
            os.setuid(65534)
        return asks(cache, 2), cache.resting

    # One of pytest's may not be entered by others.
    with TemporaryDirectory() as folder:
        path = Path(folder, "cache.db")
        statuses, rests = in_a_child(lambda: work(path))
        Path(folder).chmod(0o755)
    assert statuses == [RunStatus.completed.value] * 2
    assert rests


def test_calls_go_on_where_the_tables_are_others(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path / "cache.db")
    filled(place)
    cache = Cache(str(place.path))
    cache.close()
    with closing(sqlite3.connect(place.path)) as connection, connection:
        connection.execute("ALTER TABLE agno_portkey_cache_2_entries ADD COLUMN another")
    assert asks(cache, 2) == [RunStatus.completed.value] * 2
    assert cache.resting
    place.close()


@pytest.mark.parametrize("ends", ["kill", "hang"])
def test_calls_go_on_where_redis_goes_between_look_up_and_keeping(ends: str) -> None:
    with RedisServer() as server, EmbeddedProvider() as provider:
        cache = Cache(RedisStore(server.url, max_entries=10))
        asked = threading.Event()

        def answers(request: Any) -> str:
            getattr(server, ends)()
            asked.set()
            return LONG

        provider.when(lambda request: True, answers)
        policy = CachePolicy(store=cache, scope="public")
        model = PortkeyModel(base_url=provider.url, api_key="k", cache=policy)
        until(lambda: cache.find("nothing") is None and not cache.resting)
        ended = Agent(model=model).run("Hi")
        assert asked.is_set()
        assert ended.status == RunStatus.completed
        assert cache.resting
        cache.close()
