"""Where vaults are kept: rows that tell nothing but when they were used, to who has no key."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from agno_portkey.errors import ConfigurationError

__all__ = ["MemoryStore", "Row", "Store", "store_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One vault at rest: digests of its session and user, its mark, its sealed values.

    `version` counts its writes from 1, `used` is when it was last used (epoch seconds).
    """

    session: str
    user: str
    mark: str
    version: int
    used: int
    payload: str = field(repr=False)


@runtime_checkable
class Store(Protocol):
    """Where rows are kept. Each method blocks, and raises whatever its database raises.

    One of your own is given to `Vaults` in place of a database.
    """

    place: str

    def get(self, session: str, user: str) -> Row | None: ...

    def by_mark(self, mark: str) -> Row | None: ...

    def rows(
        self, *, session: str | None = None, user: str | None = None, limit: int
    ) -> Sequence[Row]:
        """The rows of a session, or of a user, the last used first."""
        ...

    def marks(self) -> Sequence[str]: ...

    def put(self, row: Row) -> bool:
        """Keep `row` in place of the version before it; False where that is not what is there.

        What is before it bears its mark: its session and user may be others.
        """
        ...

    def touch(self, mark: str, used: int) -> None: ...

    def drop(
        self,
        *,
        session: str | None = None,
        user: str | None = None,
        mark: str | None = None,
        unused_since: int | None = None,
    ) -> int:
        """Delete the rows that all of what is given is true of; how many there were."""
        ...


class MemoryStore:
    """Vaults of this process alone; past `most` the one that was used least lately is lost."""

    place = "this process"

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = most
        # By mark, the last used at the end.
        self._rows: OrderedDict[str, Row] = OrderedDict()
        self._marks: dict[tuple[str, str], str] = {}

    def get(self, session: str, user: str) -> Row | None:
        with self._lock:
            mark = self._marks.get((session, user))
            if mark is None:
                return None
            self._rows.move_to_end(mark)
            return self._rows[mark]

    def by_mark(self, mark: str) -> Row | None:
        return self._rows.get(mark)

    def rows(
        self, *, session: str | None = None, user: str | None = None, limit: int
    ) -> Sequence[Row]:
        with self._lock:
            rows = [
                row
                for row in reversed(self._rows.values())
                if session in (None, row.session) and user in (None, row.user)
            ]
        return rows[:limit]

    def marks(self) -> Sequence[str]:
        with self._lock:
            return [*self._rows]

    def put(self, row: Row) -> bool:
        with self._lock:
            there = self._rows.get(row.mark)
            holder = self._marks.get((row.session, row.user), row.mark)
            if holder != row.mark or (there.version if there else 0) != row.version - 1:
                return False
            if there is not None:
                self._remove(row.mark)
            self._rows[row.mark] = row
            self._marks[row.session, row.user] = row.mark
            while len(self._rows) > self._most:
                self._remove(next(iter(self._rows)))
            return True

    def touch(self, mark: str, used: int) -> None:
        with self._lock:
            if (row := self._rows.get(mark)) is not None:
                self._rows[mark] = replace(row, used=used)

    def drop(
        self,
        *,
        session: str | None = None,
        user: str | None = None,
        mark: str | None = None,
        unused_since: int | None = None,
    ) -> int:
        with self._lock:
            gone = [
                row.mark
                for row in self._rows.values()
                if session in (None, row.session)
                and user in (None, row.user)
                and mark in (None, row.mark)
                and (unused_since is None or row.used < unused_since)
            ]
            for each in gone:
                self._remove(each)
        return len(gone)

    def _remove(self, mark: str) -> None:
        row = self._rows.pop(mark)
        del self._marks[row.session, row.user]


def store_of(database: Any, *, seconds: float, most: int) -> Store:
    """Where vaults are kept in `database`: an address, a file, an Agno database on SQL, a Store."""
    if database is None:
        return MemoryStore(most)
    if isinstance(database, Store):
        return database
    # Only now: it takes a while to import.
    from agno_portkey.guardrails.pii.vault_sql import SqlStore
    from agno_portkey.sql import in_memory, source_of

    source = source_of(database)
    if source is None or in_memory(source):
        raise ConfigurationError(
            f"database: {type(database).__name__} can't hold vaults; give an Agno database on SQL "
            "that is not in memory, or an address"
        )
    return SqlStore(source, seconds=seconds)
