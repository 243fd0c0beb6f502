"""Where stores keep things: opened as several processes do, looked into, and meddled with."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import redis
from cache_entries import PATIENCE, entry
from redis_server import RedisServer

from agno_portkey.cache.redis_store import RedisStore
from agno_portkey.cache.sealing import Seal
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store

FIELDS = ("about", "embedding", "body")


class Place(ABC):
    """One file, or one prefix in Redis."""

    def __init__(self, seal: Seal | None) -> None:
        self.seal = seal
        self._stores: list[Store] = []

    def open(self, *, max_entries: int = 1000, **options: Any) -> Store:
        options = {"seal": self.seal, "seconds": PATIENCE, **options}
        self._stores.append(self._opened(max_entries=max_entries, **options))
        return self._stores[-1]

    def close(self) -> None:
        for store in self._stores:
            store.close()

    @abstractmethod
    def _opened(self, **options: Any) -> Store: ...

    @abstractmethod
    def fields(self, key: str) -> dict[str, bytes]:
        """What is kept of an entry."""

    @abstractmethod
    def change(self, key: str, **values: Any) -> None:
        """Put other values into fields of an entry."""

    @abstractmethod
    def move(self, key: str, bucket: str) -> None:
        """Have an entry be found in another bucket."""

    @abstractmethod
    def everything(self) -> bytes:
        """All that is kept, as it lies there."""


class SqlitePlace(Place):
    def __init__(self, path: Path, seal: Seal | None = None) -> None:
        super().__init__(seal)
        self.path = path

    def _opened(self, **options: Any) -> Store:
        return SqliteStore(str(self.path), **{"max_bytes": 1 << 30, **options})

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
            yield connection

    def fields(self, key: str) -> dict[str, bytes]:
        with self.connection() as connection:
            [row] = connection.execute(
                f"SELECT {', '.join(FIELDS)} FROM agno_portkey_cache_2_contents JOIN "
                "agno_portkey_cache_2_entries USING (seq) WHERE key = ?",
                (key.encode(),),
            )
        return dict(zip(FIELDS, row, strict=True))

    def change(self, key: str, **values: Any) -> None:
        with self.connection() as connection:
            for name, value in values.items():
                changed = connection.execute(
                    f"UPDATE agno_portkey_cache_2_contents SET {name} = ? WHERE seq = "
                    "(SELECT seq FROM agno_portkey_cache_2_entries WHERE key = ?)",
                    (value, key.encode()),
                )
                assert changed.rowcount == 1

    def move(self, key: str, bucket: str) -> None:
        with self.connection() as connection:
            connection.execute(
                "UPDATE agno_portkey_cache_2_entries SET bucket = ? WHERE key = ?",
                (bucket.encode(), key.encode()),
            )

    def everything(self) -> bytes:
        return b"".join(each.read_bytes() for each in self.path.parent.glob(self.path.name + "*"))


class RedisPlace(Place):
    def __init__(self, server: RedisServer, prefix: str, seal: Seal | None = None) -> None:
        super().__init__(seal)
        self.server, self.prefix = server, prefix
        self.client = redis.Redis.from_url(server.url)

    def _opened(self, **options: Any) -> Store:
        return RedisStore(self.server.url, prefix=self.prefix, **options)

    def close(self) -> None:
        super().close()
        self.client.close()

    def name(self, rest: str) -> str:
        return f"{self.prefix}:1:{rest}"

    def fields(self, key: str) -> dict[str, bytes]:
        held: Any = self.client.hmget(self.name(f"entry:{key}"), FIELDS)
        return dict(zip(FIELDS, held, strict=True))

    def change(self, key: str, **values: Any) -> None:
        assert self.client.exists(self.name(f"entry:{key}"))
        self.client.hset(self.name(f"entry:{key}"), mapping=values)

    def move(self, key: str, bucket: str) -> None:
        self.client.zadd(self.name(f"bucket:{bucket}"), {key: 1})

    def everything(self) -> bytes:
        held = b""
        for name in self.client.scan_iter(f"{self.prefix}:*"):
            kind: Any = self.client.type(name)
            held += name
            if kind == b"hash":
                held += b"".join(self.client.hvals(name))  # type: ignore[arg-type]
        return held


def filled(place: SqlitePlace) -> None:
    store = place.open()
    for number in range(40):
        store.put(entry(f"{number}", answer="x" * 2000))
    store.put(entry())
    store.close()
