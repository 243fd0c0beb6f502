"""Circuits that several processes share through Redis.

```python
circuits = Circuits(store=RedisStore("redis://localhost:6379/0"))
```
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.routing.breaker.rules import UNKNOWN, Record, Rule
from agno_portkey.routing.breaker.store import MemoryStore

__all__ = ["RedisStore"]

# Both scripts answer with the time of the one clock that counts, the server's. MGET, because GET
# fails on a key that holds something other than text.
_READ = """
local time = redis.call('TIME')
local held = redis.call('MGET', unpack(KEYS))
return {time[1], time[2], held}
"""
# Writes only over what its caller has seen; whoever was slower gets what is there now.
_SWAP = """
local time = redis.call('TIME')
local held = redis.call('MGET', KEYS[1])
if (held[1] or '') == ARGV[1] then
  if ARGV[2] == '' then redis.call('DEL', KEYS[1])
  else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
  return {time[1], time[2], held, 1}
end
return {time[1], time[2], held, 0}
"""
_SECONDS = 0.25
_TRIES = 20
_LIMIT = 4096
# Lua hands a function only so many arguments.
_AT_ONCE = 500
_T = TypeVar("_T")
_log = logging.getLogger("agno_portkey")


class RedisStore:
    """Circuits shared by all processes that use the same Redis and `prefix`.

    What is known here is at most `refresh` seconds old when it is asked for; a change is made in
    Redis at once. While Redis is away, each process goes on by itself with what it knew, and
    asks again after `pause` seconds; what Redis then says counts. The settings of the circuits
    should be the same in all of them. Raises MissingExtraError without the extra `redis`.
    """

    blocking = True

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "agno-portkey:circuit:",
        refresh: float = 1.0,
        pause: float = 5.0,
    ) -> None:
        for name, value in (("refresh", refresh), ("pause", pause)):
            if not 0 <= value < float("inf"):
                raise ConfigurationError(f"{name}: seconds, 0 or more, not {value!r}")
        self._client = _client(url)
        self._read = self._client.register_script(_READ)
        self._swap = self._client.register_script(_SWAP)
        self._prefix = prefix
        self._refresh = refresh
        self._pause = pause
        self._form = TypeAdapter(Record)
        self._lock = threading.Lock()
        self._offset = time.time() - time.monotonic()
        self._known = MemoryStore(clock=self.now, limit=_LIMIT)
        # When Redis was last asked for a key, also for those that it has nothing about.
        self._asked: dict[str, float] = {}
        self._away_until = 0.0
        self._away = False

    def __repr__(self) -> str:
        # The address may hold a password.
        return f"RedisStore(prefix={self._prefix!r})"

    def now(self) -> float:
        """The server's time as epoch seconds, reckoned from its last answer."""
        return time.monotonic() + self._offset

    def read(self, keys: Collection[str]) -> Mapping[str, Record]:
        fresh = time.monotonic() - self._refresh
        if stale := [key for key in keys if self._asked.get(key, fresh) <= fresh]:
            self._fetch(stale)
        return self._known.read(keys)

    def change(self, key: str, rule: Rule, *, keep: float) -> tuple[Record, Record]:
        changed = self._changed(key, rule, keep)
        if changed is None:
            return self._known.change(key, rule, keep=keep)
        self._note(key, changed[1])
        return changed

    def records(self) -> Mapping[str, Record]:
        names = self._guarded(self._names)
        if names is not None:
            for gone in self._known.records().keys() - set(names):
                self._note(gone, UNKNOWN)
            self._fetch(names)
        return self._known.records()

    def close(self) -> None:
        """Close the connections; they are opened again when needed."""
        self._client.close()

    def _names(self) -> list[str]:
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._prefix) + "*"
        found = islice(self._client.scan_iter(match=pattern, count=_AT_ONCE), _LIMIT)
        return [name.decode(errors="replace").removeprefix(self._prefix) for name in found]

    def _fetch(self, keys: Sequence[str]) -> None:
        for at in range(0, len(keys), _AT_ONCE):
            some = keys[at : at + _AT_ONCE]
            if (answer := self._run(self._read, some)) is not None:
                for key, raw in zip(some, answer[0], strict=True):
                    self._note(key, self._parsed(raw))

    def _changed(self, key: str, rule: Rule, keep: float) -> tuple[Record, Record] | None:
        """The record before and after the change in Redis; None while it is away."""
        answer = self._run(self._read, [key])
        for _ in range(_TRIES):
            if answer is None:
                return None
            raw, before = answer[0][0], self._parsed(answer[0][0])
            after = rule(before, self.now())
            if after is before:
                return before, after
            new = b"" if after == UNKNOWN else self._form.dump_json(after)
            answer = self._run(self._swap, [key], raw or b"", new, max(1, int(keep * 1000)))
            if answer is not None and answer[1]:
                return before, after
        return None

    def _run(self, script: Any, keys: Sequence[str], *args: Any) -> tuple[list[Any], bool] | None:
        """What `keys` hold and whether a swap was made; None while Redis is away."""

        def call() -> tuple[list[Any], bool]:
            names = [self._prefix + key for key in keys]
            seconds, micros, held, *swapped = script(keys=names, args=args)
            if len(held) != len(keys) or not all(isinstance(raw, bytes | None) for raw in held):
                raise ValueError("not what a Redis answers")
            self._offset = int(seconds) + int(micros) / 1_000_000 - time.monotonic()
            return held, bool(swapped and swapped[0])

        return self._guarded(call)

    def _guarded(self, call: Callable[[], _T]) -> _T | None:
        """What `call` returns; None if Redis is away, or found to be."""
        with self._lock:
            now = time.monotonic()
            if now < self._away_until:
                return None
            if self._away:
                # One caller tries for all; the others don't wait with it.
                self._away_until = now + self._pause
        try:
            answer = call()
        except Exception as error:
            # Also what is not a RedisError: there may be no Redis at that address.
            self._lose(error)
            return None
        self._away, self._away_until = False, 0.0
        return answer

    def _lose(self, error: Exception) -> None:
        with self._lock:
            known, self._away = self._away, True
            self._away_until = time.monotonic() + self._pause
        if not known:
            _log.warning(
                "Redis gives no answer (%s): each process keeps circuits of its own until it "
                "does; check that it runs and that its address is right",
                type(error).__name__,
            )

    def _note(self, key: str, record: Record) -> None:
        self._known.put(key, record)
        with self._lock:
            self._asked.pop(key, None)
            self._asked[key] = time.monotonic()
            if len(self._asked) > 2 * _LIMIT:
                del self._asked[next(iter(self._asked))]

    def _parsed(self, raw: bytes | None) -> Record:
        """The record of a key; what can't be read counts as none, and the next change ends it."""
        if not raw:
            return UNKNOWN
        try:
            return self._form.validate_json(raw)
        except ValidationError:
            return UNKNOWN


def _client(url: str) -> Any:
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtraError(
            'sharing circuits needs the package redis: pip install "agno-portkey[redis]"'
        ) from error
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
            # It would wait longer than a call of a model may.
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError, AttributeError):
        # The reason may quote the address, and with it a password.
        raise ConfigurationError(
            "url: an address of the form redis://[user:password@]host:port/database is needed"
        ) from None
