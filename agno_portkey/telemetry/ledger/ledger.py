"""`Ledger`: an observer that books what each request took, in Agno's own database."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

from agno_portkey.errors import ConfigurationError, LedgerUnavailable
from agno_portkey.telemetry.ledger.budget import Budget, BudgetAllowance, Key
from agno_portkey.telemetry.ledger.entry import Entry, entries_of
from agno_portkey.telemetry.ledger.prices import Prices
from agno_portkey.telemetry.ledger.store import BY, Row, SqlStore, Sum, Total, store_of
from agno_portkey.telemetry.ledger.writer import Writer
from agno_portkey.verdict import Event, failure_told

__all__ = ["Ledger"]

_log = logging.getLogger("agno_portkey")
# How many keys of budgets, and batches under way, are remembered.
_KEPT = 1000
_SECONDS_KEPT = 60.0
_NOTHING = Total()
# What a thread was told of last, and by which ledgers that was heard.
_lately = threading.local()
_LATELY = 8


class Ledger:
    """Books each attempt, embedding and batch that it hears of; an `Observer`.

    `database` is an Agno database on SQL, an `InMemoryDb` (this process alone), an address or a
    SQLite file. Rows are written in the background; `limit` is how many may wait. `prices` say what
    tokens cost where the provider does not; by default those that come with the package. What
    budgets read counts for `max_age` seconds, a read takes at most `timeout`.
    """

    # Has members told which run they are for.
    books_runs = True

    def __init__(
        self,
        database: Any,
        *,
        prices: Prices | None = None,
        limit: int = 10_000,
        max_age: float = 1.0,
        timeout: float = 2.0,
    ) -> None:
        for name, value in (("max_age", max_age), ("timeout", timeout)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 60:
                raise ConfigurationError(f"{name}: seconds, over 0 and under 60, not {value!r}")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"limit: how many rows may wait, at least 1, not {limit!r}")
        if not isinstance(prices, Prices | None):
            raise ConfigurationError("prices: a Prices; Prices.from_file reads a file")
        self.prices = prices or Prices.shipped()
        self.timeout = timeout
        self._store = store_of(database, timeout)
        self._max_age = max_age
        self._clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._writer = Writer(self._store, limit=limit, posted=self._add)
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._reading: list[_Known] = []
        self._batches: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()
        # Ledgers of the same database that book what this one hears, and how often they did.
        self._others: WeakSet[Ledger] = WeakSet()
        self._elsewhere = 0

    def __repr__(self) -> str:
        return f"Ledger({self._store.place!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Ledger:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Ledger stays in its process: make one from the database there")

    # What is booked

    def __call__(self, event: Event) -> None:
        if event.kind not in ("attempt", "embedding", "batch") or self._is_told_twice(event):
            return
        try:
            for entry in self._entries(event):
                self._writer.post(entry)
        except Exception:
            # What can't be read is not in the sums, which are not to be trusted then.
            self._writer.lost += 1
            _log.exception("the ledger can't book an event %r", event.kind)

    def _entries(self, event: Event) -> list[Entry]:
        if event.kind == "batch":
            return self._batch(event)
        if (job := event.data.get("batch")) is not None:
            self._heard_of(str(job), event.data)
            return []
        return [*entries_of(event, self.prices, self._clock())]

    def _is_told_twice(self, event: Event) -> bool:
        """Whether it comes a second time: a model and its team may both have the ledger.

        Or each one of its own of one database, where it would be counted twice.
        """
        heard: deque[tuple[Event, Ledger]] = vars(_lately).setdefault(
            "heard", deque(maxlen=_LATELY)
        )
        for told, ledger in heard:
            if told is event and ledger._is_one_with(self):
                if ledger is not self:
                    self._is_booked_by(ledger)
                return True
        heard.append((event, self))
        return False

    def _is_one_with(self, other: Ledger) -> bool:
        mine, its = self._store, other._store
        return mine is its or (mine.place == its.place and isinstance(mine, SqlStore))

    def _is_booked_by(self, other: Ledger) -> None:
        """Another one of this database has the row: what is known here is to be read again."""
        with self._writer.lock:
            self._others.add(other)
            self._elsewhere += 1
            for known in self._known.values():
                known.until = min(known.until, time.monotonic())

    def _heard_of(self, job: str, data: Mapping[str, Any]) -> None:
        """An answer of a batch, which is heard again with each fetch."""
        taken = (data.get("input_tokens") or 0, data.get("output_tokens") or 0)
        with self._writer.lock:
            self._batches.setdefault(job, []).append(taken)
            while len(self._batches) > _KEPT:
                self._batches.popitem(last=False)

    def _batch(self, event: Event) -> list[Entry]:
        """A job as it was fetched: one row, in the place of what was known of it before."""
        data = event.data
        job = str(data.get("job"))
        with self._writer.lock:
            heard = self._batches.pop(job, [])
        if data.get("what") != "fetched":
            return []
        prompt, completion = (sum(part) for part in zip(*heard, strict=True)) if heard else (0, 0)
        tokens = data.get("tokens") or 0
        # Of answers that could not be read nobody knows which part was which.
        whole = tokens == prompt + completion
        split = {"input_tokens": prompt, "output_tokens": completion} if whole else {}
        told = replace(event, data={**data, **split, "asked": data.get("model")})
        [entry, *_] = entries_of(told, self.prices, self._clock())
        # Providers take half for what may wait.
        half = None if entry.cost is None else -(-entry.cost // 2)
        return [
            replace(
                entry,
                kind="batch",
                requests=int(data.get("inputs") or 0),
                tokens=tokens,
                cost=half,
                priced=entry.priced if whole else "unknown",
                key=f"batch:{hashlib.sha256(job.encode()).hexdigest()[:48]}",
            )
        ]

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until all that was heard is in the database; LedgerUnavailable where it is not."""
        self._writer.flush(timeout)

    @property
    def waiting(self) -> int:
        """How many rows are not in the database yet."""
        return self._writer.waiting

    @property
    def lost(self) -> int:
        """How many rows this process could not keep: what budgets and reports do not know of."""
        return self._writer.lost

    # What is known of it

    def sums(self, by: str, since: datetime | None = None) -> list[Sum]:
        """What was spent, by one of run, role, swarm, cost_center, model, provider, session, day.

        Money in billionths of a dollar. Blocks; raises LedgerUnavailable where it can't be read.
        """
        if by not in BY:
            raise ConfigurationError(f"by: one of {', '.join(BY)}, not {by!r}")
        try:
            return self._store.sums(by, since)
        except Exception as error:
            raise self._unreadable(error) from error

    def budgets(self, *budgets: Budget) -> tuple[BudgetAllowance, ...]:
        """What a `PortkeyModel(observers=[ledger], budgets=...)` asks before each request."""
        for each in budgets:
            if not isinstance(each, Budget):
                raise ConfigurationError(f"budgets: a Budget, not {type(each).__name__}")
        return tuple(BudgetAllowance(self, each) for each in budgets)

    def known(self, key: Key) -> Total | None:
        """What was spent under `key`, where that was read lately; this process's rows included."""
        with self._writer.lock:
            known = self._known.get(key)
            if known is None or time.monotonic() >= known.until:
                return None
            if known.problem is not None:
                raise LedgerUnavailable(known.problem)
            return known.total

    def read(self, key: Key) -> Total:
        """The same from the database; blocks, and raises LedgerUnavailable where it can't be."""
        known = _Known(key)
        with self._writer.lock:
            writer, mark = self._writer.id, self._writer.seq
            elsewhere, others = self._elsewhere, [*self._others]
            self._reading.append(known)
        try:
            for each in (self, *others):
                each._writer.flush(self.timeout)
            base = self._store.total(dict(key), writer=writer, after=mark)
        except Exception as error:
            unreadable = self._unreadable(error)
            self.give_up(key, str(unreadable))
            with self._writer.lock:
                self._reading = [each for each in self._reading if each is not known]
            raise unreadable from error
        with self._writer.lock:
            self._reading = [each for each in self._reading if each is not known]
            known.base = base
            if (before := self._known.get(key)) is not None:
                # What was spent is never less: a database that says so is behind, or was altered.
                known.base = _larger(base, _less(before.total, known.added))
            fresh = elsewhere == self._elsewhere
            known.until = time.monotonic() + (self._max_age if fresh else 0)
            self._keep(key, known)
            return known.total

    def give_up(self, key: Key, problem: str) -> None:
        """Have nobody ask the database for `key` again for a moment."""
        with self._writer.lock:
            known = self._known.get(key) or _Known(key)
            kept = replace(known, problem=problem, until=time.monotonic() + self._max_age)
            self._keep(key, kept)

    def now(self) -> datetime:
        return self._clock()

    def _keep(self, key: Key, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        old = time.monotonic() - _SECONDS_KEPT
        while len(self._known) > _KEPT or next(iter(self._known.values())).until < old:
            self._known.popitem(last=False)

    def _add(self, row: Row) -> None:
        """Count a row of this process under all keys that are known or being read."""
        if row["estimated"] or row["kind"] == "batch":
            # A batch's row stands in the place of another one: it is read, and not added.
            return
        for known in (*self._known.values(), *self._reading):
            if all(row[name] == value for name, value in known.key):
                known.add(row)

    def _unreadable(self, error: Exception) -> LedgerUnavailable:
        if isinstance(error, LedgerUnavailable):
            return error
        said = failure_told(error)
        return LedgerUnavailable(f"the ledger can't be read: {said} ({self._store.place})")


@dataclass
class _Known:
    """What was spent under one key: as the database said it, and what was added here since."""

    key: Key
    base: Total = _NOTHING
    added: Total = _NOTHING
    until: float = 0.0
    problem: str | None = None

    @property
    def total(self) -> Total:
        return Total(*(one + other for one, other in zip(self.base, self.added, strict=True)))

    def add(self, row: Row) -> None:
        more = (row["cost"] or 0, row["tokens"] or 0, int(row["priced"] == "unknown"))
        self.added = Total(*(one + other for one, other in zip(self.added, more, strict=True)))


def _larger(one: Total, other: Total) -> Total:
    return Total(*map(max, zip(one, other, strict=True)))


def _less(one: Total, other: Total) -> Total:
    return Total(*(a - b for a, b in zip(one, other, strict=True)))
