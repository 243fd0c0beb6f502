"""A cache in a Redis that several machines share."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.packing import (
    Packed,
    described,
    embedding_of,
    learnt,
    legible,
    named,
    names,
    noted,
    pack,
    raw,
    text_of,
    unpack,
    unread,
)
from agno_portkey.cache.redis_client import Patience, connected
from agno_portkey.cache.redis_scripts import DELETE, LEARN, LEASE, PUT, RELEASE
from agno_portkey.cache.sealing import Plain, Seal, Sealing, Unreadable
from agno_portkey.cache.store import KEPT, totals
from agno_portkey.errors import ConfigurationError

__all__ = ["RedisStore"]

# Another form of these keys gets another number, so that no version reads those of another.
_FORM = ":1:"
# What one command asks for, so that Redis is not kept from others.
_AT_ONCE = 500
# Of what was learnt, which is small, so that all of it is a few questions.
_LEARNT_AT_ONCE = 5_000
# Above that, a number of Redis's is not exact, and none of ours.
_HIGHEST = 2**53
# What is good for centuries, in milliseconds: Redis refuses what is beyond its numbers.
_LONGEST = 10**13
_FIELDS = ("about", "embedding", "body")


class RedisStore:
    """Answers in the Redis at `url`, under `prefix`, for all who use the same two.

    It keeps up to `max_entries`, each until it expires. Redis is waited for up to `seconds`, where
    much is read for so long with each part of it; then a call raises. `seal` is how values are
    sealed. Raises MissingExtraError without the extra `redis`, and ConfigurationError for what is
    no address.
    """

    def __init__(
        self,
        url: str,
        *,
        max_entries: int,
        seconds: float = 0.25,
        seal: Seal | None = None,
        prefix: str = "agno_portkey:cache",
    ) -> None:
        if max_entries < 1:
            raise ConfigurationError(f"max_entries: 1 or more, not {max_entries!r}")
        self._patience = Patience(seconds)
        self._connect = partial(connected, url, self._patience)
        self._connected, self._pid = self._connect(), os.getpid()
        self.place = _place(self._client)
        self._max_entries = max_entries
        self._sealing: Sealing = seal or Plain()
        self._base = raw(prefix + _FORM)
        self._scripts = {
            name: self._client.register_script(text)
            for name, text in (
                ("put", PUT),
                ("delete", DELETE),
                ("lease", LEASE),
                ("release", RELEASE),
                ("learn", LEARN),
            )
        }

    def __repr__(self) -> str:
        return f"RedisStore({self.place!r})"

    # Entries

    def get(self, key: str, now: float) -> Entry | None:
        with self._patience.once(), self._client.pipeline(transaction=False) as asked:
            asked.hmget(self._name(b"entry:", raw(key)), _FIELDS)
            asked.zadd(self._name(b"used"), {raw(key): now}, xx=True, gt=True)
            held, _ = asked.execute()
        if held == [None, None, None]:
            return None
        try:
            entry = unpack(key, Packed(*held), self._sealing)
        except Unreadable:
            self.delete([key])
            return None
        return entry if entry.expires_at > now else None

    def put(self, entry: Entry) -> None:
        packed = pack(entry, self._sealing)
        # Redis counts from now by its own clock, which may be another machine's.
        lasts = min(math.ceil((entry.expires_at - entry.created_at) * 1000), _LONGEST)
        place = (raw(entry.key), raw(entry.bucket))
        self._run("put", *place, entry.created_at, lasts, self._max_entries, packed.size, *packed)

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        found = []
        place, ends = raw(bucket), time.monotonic() + self._patience.seconds
        for some in self._numbered(self._name(b"bucket:", place), seq, _AT_ONCE):
            with self._patience.once(), self._client.pipeline(transaction=False) as asked:
                for key, _ in some:
                    asked.hget(self._name(b"entry:", key), "embedding")
                vectors = asked.execute(raise_on_error=False)
            for (key, number), held in zip(some, vectors, strict=True):
                # One that has expired, or that is of another type, is not there.
                if isinstance(held, bytes):
                    with suppress(Unreadable):
                        embedding = embedding_of(key, place, held, self._sealing)
                        found.append((number, text_of(key), embedding))
            if found and time.monotonic() > ends:
                break
        return found

    def delete(self, keys: Iterable[str]) -> int:
        gone, left = 0, (name for key in keys for name in names(key))
        while some := [*islice(left, _AT_ONCE)]:
            gone += self._run("delete", *some)
        return gone

    def select(self, selection: Selection, now: float) -> list[Entry]:
        return [entry for entry, _ in self._all() if selection.takes(entry, now)]

    def _all(self) -> Iterator[tuple[Entry, int]]:
        """All entries and their sizes, in no order."""
        seen: set[bytes] = set()
        for some in self._named():
            some = {key: bucket for key, bucket in some.items() if key not in seen}
            seen.update(some)
            with self._patience.once(), self._client.pipeline(transaction=False) as asked:
                for key in some:
                    asked.hmget(self._name(b"entry:", key), "about", "size")
                rows = asked.execute(raise_on_error=False)
            for (key, bucket), row in zip(some.items(), rows, strict=True):
                if row != [None, None]:
                    yield _told(key, bucket, row)

    def _named(self) -> Iterator[dict[bytes, bytes]]:
        """Keys of entries, and their buckets, some at a time."""
        held = iter(self._client.hscan_iter(self._name(b"buckets"), count=_AT_ONCE))
        while True:
            with self._patience.once():
                some = dict(islice(held, _AT_ONCE))
            if not some:
                return
            yield some

    # What was learnt, who asks what, and what was done

    def learn(self, evidence: Evidence) -> None:
        values = [evidence.stratum, evidence.entry, evidence.likeness, evidence.same, evidence.at]
        self._run("learn", KEPT, _written([*values, evidence.max_error]))

    def evidence(self, seq: int) -> list[tuple[int, Evidence]]:
        found = []
        for some in self._numbered(self._name(b"evidence"), seq, _LEARNT_AT_ONCE):
            for held, number in some:
                # Its number is in front of it, for what is equal would be there only once.
                with suppress(Unreadable):
                    found.append((number, learnt(_read(held.partition(b" ")[2]))))
        return found

    def lease(self, key: str, owner: str, seconds: float, now: float) -> bool:
        return self._run("lease", raw(key), raw(owner), max(1, math.ceil(seconds * 1000))) == 1

    def release(self, key: str, owner: str) -> None:
        self._run("release", raw(key), raw(owner))

    def note(self, at: float, by: str, what: str, count: int) -> None:
        with self._patience.once(), self._client.pipeline() as asked:
            asked.rpush(self._name(b"notes"), _written([at, by, what, count]))
            asked.ltrim(self._name(b"notes"), -KEPT, -1)
            asked.execute()

    def notes(self, *, last: int | None = None) -> list[tuple[float, str, str, int]]:
        name = self._name(b"notes")
        if last is not None:
            with self._patience.once():
                held = self._client.lrange(name, -last, -1)
        else:
            held = [*self._listed(name)]
        found = []
        for each in held:
            with suppress(Unreadable):
                found.append(noted(_read(each)))
        return found

    def figures(self, now: float) -> list[tuple[str, str, int, int]]:
        there = ((entry, size) for entry, size in self._all() if entry.expires_at > now)
        return totals((entry.scope, entry.role, 1, size) for entry, size in there)

    def close(self) -> None:
        self._client.close()

    @property
    def _client(self) -> Any:
        if os.getpid() != self._pid:
            # After a fork a lock of the client may be held, for good, by a thread of the parent.
            self._connected, self._pid = self._connect(), os.getpid()
        return self._connected

    def _numbered(self, name: bytes, seq: int, most: int) -> Iterator[list[tuple[bytes, int]]]:
        """Members of a sorted set with numbers after `seq`, up to `most` at a time."""
        while True:
            with self._patience.once():
                some = self._client.zrange(
                    name, f"({seq}", _HIGHEST, byscore=True, offset=0, num=most, withscores=True
                )
            if not some:
                return
            yield [(member, int(score)) for member, score in some]
            seq = int(some[-1][1])

    def _listed(self, name: bytes) -> Iterator[bytes]:
        """What is in a list, asked for some at a time."""
        at = 0
        while True:
            with self._patience.once():
                some = self._client.lrange(name, at, at + _AT_ONCE - 1)
            if not some:
                return
            yield from some
            at += _AT_ONCE

    def _name(self, kind: bytes, key: bytes = b"") -> bytes:
        return self._base + kind + key

    def _run(self, script: str, *values: Any) -> int:
        with self._patience.once():
            return int(self._scripts[script](keys=[self._base], args=values, client=self._client))


def _written(values: list[Any]) -> bytes:
    return raw(json.dumps(values, ensure_ascii=False))


def _read(held: bytes) -> Any:
    try:
        return json.loads(text_of(held))
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None


def _told(key: bytes, bucket: bytes, row: Any) -> tuple[Entry, int]:
    """What is kept as the entry of `key`; of one that can't be read, only that it is there."""
    try:
        about, size = row
        entry = described(about)
        if raw(entry.key) == key:
            return entry, int(size)
    except (ValueError, TypeError):
        pass
    return unread(named(key), legible(bucket)), 0


def _place(client: Any) -> str:
    """Where it is, without user and password."""
    known = client.connection_pool.connection_kwargs
    where = known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}"
    return f"redis://{where}/{known.get('db') or 0}"
