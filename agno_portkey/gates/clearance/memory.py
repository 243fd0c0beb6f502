"""What keeps clearances; and the twin of a database for a team that has none."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy.engine import URL

from agno_portkey.gates.clearance.row import Row

__all__ = ["MemoryStore", "Store"]


class Store(Protocol):
    """Where rows are kept. Each method blocks, and raises whatever its database raises."""

    place: str
    # None where no other process can reach them.
    url: URL | None

    def get(self, id: str) -> Row | None: ...

    def by_run(self, runner_run_id: str) -> Row | None:
        """The row that the Runner's run has claimed, whatever its state is now."""
        ...

    def rows(self, **same: str) -> list[Row]:
        """The rows whose columns hold what `same` says."""
        ...

    def insert(self, row: Row) -> bool:
        """Keep a new row; False where its id, or its run, has one already."""
        ...

    def swap(self, old: Row, new: Row) -> bool:
        """Keep `new` in place of `old`, atomically.

        False where another row is there by now, or where its run has one already.
        """
        ...


class MemoryStore:
    """Clearances of this process alone; kept on the database object, where there is one.

    Past `most` rows those that ran out a day before the newest was issued are forgotten: nothing
    is cleared by them any more, nor by a token that is as old.
    """

    place = "this process"
    url: URL | None = None

    def __init__(self, database: Any = None, *, most: int = 10_000) -> None:
        kept: tuple[dict[str, Row], dict[str, str], threading.Lock] = ({}, {}, threading.Lock())
        if database is not None:
            kept = vars(database).setdefault("_agno_portkey_clearances", kept)
        # Rows by their ids, and ids by the runs that have claimed them.
        self._rows, self._runs, self._lock = kept
        self._most = most

    def get(self, id: str) -> Row | None:
        with self._lock:
            return self._rows.get(id)

    def by_run(self, runner_run_id: str) -> Row | None:
        with self._lock:
            return self._rows.get(self._runs.get(runner_run_id, ""))

    def rows(self, **same: str) -> list[Row]:
        with self._lock:
            return [row for row in self._rows.values() if same.items() <= row.items()]

    def insert(self, row: Row) -> bool:
        with self._lock:
            if row["id"] in self._rows:
                return False
            self._make_room(row)
            return self._kept(row)

    def swap(self, old: Row, new: Row) -> bool:
        with self._lock:
            return self._rows.get(str(old["id"])) == old and self._kept(new)

    def _kept(self, row: Row) -> bool:
        """Keep `row`, unless its run has another one."""
        id, run = str(row["id"]), row["claimed_by"]
        if run is not None and self._runs.setdefault(run, id) != id:
            return False
        self._rows[id] = dict(row)
        return True

    def _make_room(self, newest: Row) -> None:
        if len(self._rows) < self._most:
            return
        issued = datetime.fromisoformat(str(newest["issued_at"]))
        for id, row in [*self._rows.items()]:
            if issued - datetime.fromisoformat(str(row["expires_at"])) > timedelta(days=1):
                del self._rows[id]
                self._runs.pop(str(row["claimed_by"]), None)
