"""Where circuits are kept: the interface of a store, and the one in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from agno_portkey.routing.breaker.rules import UNKNOWN, Record, Rule

__all__ = ["CircuitStore", "MemoryStore"]


class CircuitStore(Protocol):
    """Holds records by key and changes them atomically; safe to use from many threads.

    `blocking` says that a method may wait on the network. None raises for want of it.
    """

    @property
    def blocking(self) -> bool: ...

    def now(self) -> float:
        """The time that this store's records are in, as epoch seconds."""
        ...

    def read(self, keys: Collection[str]) -> Mapping[str, Record]:
        """The records of those `keys` that have one; they may be a little old."""
        ...

    def change(self, key: str, rule: Rule, *, keep: float) -> tuple[Record, Record]:
        """Apply `rule` to the record of `key`; returns it before and after.

        The record may be forgotten `keep` seconds later.
        """
        ...

    def records(self) -> Mapping[str, Record]:
        """Every record."""
        ...


class MemoryStore:
    """Circuits of this process; beyond `limit` targets the oldest closed ones are forgotten."""

    blocking = False

    def __init__(self, *, clock: Callable[[], float] = time.time, limit: int = 4096) -> None:
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        # In the order of their last change.
        self._records: dict[str, Record] = {}

    def now(self) -> float:
        return self._clock()

    def read(self, keys: Collection[str]) -> Mapping[str, Record]:
        with self._lock:
            known = self._records
            return {key: known[key] for key in keys if key in known} if known else {}

    def change(self, key: str, rule: Rule, *, keep: float) -> tuple[Record, Record]:
        with self._lock:
            before = self._records.get(key, UNKNOWN)
            after = rule(before, self._clock())
            if after is not before:
                self._put(key, after)
        return before, after

    def put(self, key: str, record: Record) -> None:
        """Replace the record of `key`."""
        with self._lock:
            self._put(key, record)

    def records(self) -> Mapping[str, Record]:
        with self._lock:
            return dict(self._records)

    def _put(self, key: str, record: Record) -> None:
        self._records.pop(key, None)
        if record == UNKNOWN:
            return
        if len(self._records) >= self._limit:
            closed = (old for old, kept in self._records.items() if kept.state == "closed")
            # A store full of open circuits must not grow either.
            del self._records[next(closed, next(iter(self._records)))]
        self._records[key] = record
