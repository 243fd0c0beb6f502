"""Rows on their way into the database: off the run's thread, and kept until they are there.

A thread writes what there is and ends; where the database fails, it tries again, ever less often.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from agno_portkey.errors import LedgerUnavailable
from agno_portkey.telemetry.ledger.entry import Entry
from agno_portkey.telemetry.ledger.store import Row, Store, row_of
from agno_portkey.verdict import failure_told

__all__ = ["Writer"]

_log = logging.getLogger("agno_portkey")
_ONE_GO = 200
# Seconds between two tries while the database fails, at first and at most.
_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
# Seconds that a process which ends waits for its rows.
_AT_THE_END = 5.0


class Writer:
    """Writes rows to `store`; holds at most `limit` of them while it can't.

    `posted` is called with each row under the lock that numbers them. What finds no room is lost:
    it is counted in `lost`, said in the log, and kept as a row that says how many. A process that
    is killed loses what was not written yet.
    """

    def __init__(self, store: Store, *, limit: int, posted: Callable[[Row], None]) -> None:
        self._store, self._limit, self._posted = store, limit, posted
        self.lost = 0
        self._begin()
        _writers.add(self)

    def _begin(self) -> None:
        self.id, self.seq = uuid.uuid4().hex, 0
        self._lock = threading.RLock()
        self._written = threading.Condition(self._lock)
        self._rows: deque[Row] = deque()
        self._untold_loss = 0
        self._problem: str | None = None
        self._running, self._hurry = False, threading.Event()
        self._pid = os.getpid()

    @property
    def lock(self) -> threading.RLock:
        """What numbers rows; never held while the database is asked."""
        if self._pid != os.getpid():
            # After a fork: what waits is the parent's to write, and so may be the lock.
            self._begin()
        return self._lock

    def post(self, entry: Entry) -> None:
        """Have `entry` written; returns at once."""
        with self.lock:
            if len(self._rows) >= self._limit:
                self._lose(1)
                return
            self._append(entry)
            self._start()

    def flush(self, timeout: float) -> None:
        """Wait until all that was posted is written; LedgerUnavailable after `timeout` seconds."""
        until = time.monotonic() + timeout
        with self.lock:
            mark = self.seq
            self._hurry.set()
            while self._rows and self._rows[0]["seq"] <= mark:
                self._start()
                if (left := until - time.monotonic()) <= 0 or not self._written.wait(left):
                    why = self._problem or "the database does not answer"
                    raise LedgerUnavailable(
                        f"{len(self._rows)} rows of the ledger are not written after {timeout:g} s:"
                        f" {why} ({self._store.place}); they are kept and tried again"
                    )

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._rows)

    def _append(self, entry: Entry) -> None:
        self.seq += 1
        row = row_of(entry, self.id, self.seq)
        if entry.key is not None:
            row |= {"writer": entry.key, "seq": 0}
        self._posted({**row, "seq": self.seq})
        # Waited for by the number that it has here.
        self._rows.append({**row, "seq": self.seq, "_key": entry.key} if entry.key else row)

    def _lose(self, count: int) -> None:
        if not self._untold_loss:
            _log.error(
                "the ledger is full (%d rows wait for %s): what is spent from here on is not in it",
                len(self._rows),
                self._store.place,
            )
        self.lost += count
        self._untold_loss += count

    def _start(self) -> None:
        if self._running or not self._rows:
            return
        self._running = True
        try:
            threading.Thread(target=self._work, daemon=True, name="agno-portkey-ledger").start()
        except RuntimeError as error:  # the system has none now
            self._running = False
            self._problem = str(error)

    def _work(self) -> None:
        pause = _PAUSE
        while (rows := self._next()) is not None:
            if self.write(rows):
                pause = _PAUSE
                continue
            self._hurry.clear()
            self._hurry.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _next(self) -> list[Row] | None:
        with self.lock:
            if self._untold_loss and len(self._rows) < self._limit:
                at = datetime.now(UTC)
                self._append(Entry(at=at, kind="lost", status="failed", requests=self._untold_loss))
                self._untold_loss = 0
            if not self._rows:
                self._running = False
                return None
            return [self._rows[place] for place in range(min(_ONE_GO, len(self._rows)))]

    def write(self, rows: list[Row]) -> bool:
        """Write `rows`, the first of those that wait; whether they are written."""
        try:
            refused = self._store.put([_as_kept(row) for row in rows])
        except Exception as error:
            said = failure_told(error)
            if said != self._problem:
                _log.error("the ledger can't be written (%s): %s", self._store.place, said)
            with self.lock:
                self._problem = said
                self._written.notify_all()
            return False
        with self.lock:
            for _ in rows:
                self._rows.popleft()
            self._problem = None
            if refused:
                _log.error("%d rows of the ledger can't be kept: %s", len(refused), refused[0])
                self.lost += len(refused)
            self._written.notify_all()
        return True

    def end(self, seconds: float) -> None:
        """Write what waits before the process ends; what is lost then is said in the log."""
        if self._pid != os.getpid() or not self._rows:
            return
        try:
            self.flush(seconds)
        except LedgerUnavailable as error:
            _log.error("%d rows of the ledger are lost: %s", len(self._rows), error)


def _as_kept(row: Row) -> Row:
    if "_key" not in row:
        return row
    kept = {**row, "seq": 0}
    del kept["_key"]
    return kept


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _end_all() -> None:
    for writer in list(_writers):
        writer.end(_AT_THE_END)


atexit.register(_end_all)
