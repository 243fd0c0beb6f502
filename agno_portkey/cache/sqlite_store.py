"""A cache in a SQLite file that several processes share, or in the memory of one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.packing import (
    Packed,
    embedding_of,
    learnt,
    legible,
    names,
    noted,
    pack,
    raw,
    text_of,
    unpack,
)
from agno_portkey.cache.sealing import Plain, Seal, Sealing, Unreadable
from agno_portkey.cache.sqlite_file import MEMORY, Link, is_busy, is_full, place_of
from agno_portkey.cache.sqlite_rows import COLUMNS, condition, entry_row, told
from agno_portkey.cache.sqlite_tables import NAMES, SCHEMA, sql
from agno_portkey.cache.store import KEPT, totals
from agno_portkey.errors import ConfigurationError

__all__ = ["SqliteStore"]

_GET = sql(
    "SELECT about, embedding, body FROM @entries JOIN @contents USING (seq) "
    "WHERE key = ? AND expires_at > ?"
)
_SINCE = sql(
    "SELECT seq, key, embedding FROM @entries JOIN @contents USING (seq) "
    "WHERE bucket = ? AND embedded AND seq > ? ORDER BY seq"
)
_PUT = sql("INSERT INTO @entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
_EXPIRED = sql(
    "DELETE FROM @entries WHERE seq IN (SELECT seq FROM @entries WHERE expires_at <= ? LIMIT ?)"
)
_LEASE = sql(
    "INSERT INTO @leases VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET until = excluded.until WHERE owner = excluded.owner"
)
# Entries that one call drops, or marks as used, at the most; and deletes in one transaction.
_AT_ONCE = 64


class SqliteStore:
    """Answers in the SQLite file at `path`, or with `:memory:` in this process alone.

    It keeps up to `max_entries`, of up to `max_bytes`; one larger than that is not kept. A call
    waits about `seconds` for others, then raises. `seal` is how values are sealed. Raises
    ConfigurationError where there can be no such file.
    """

    def __init__(
        self,
        path: str,
        *,
        max_entries: int,
        max_bytes: int,
        seconds: float = 0.05,
        seal: Seal | None = None,
    ) -> None:
        for name, value in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if value < 1:
                raise ConfigurationError(f"{name}: 1 or more, not {value!r}")
        self.place = place_of(path)
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._sealing: Sealing = seal or Plain()
        self._writer = Link(self.place, schema=SCHEMA, names=NAMES, seconds=seconds)
        # One that reads need not wait for one that writes; in memory there is only one.
        self._reader = (
            self._writer
            if self.place == MEMORY
            else Link(self.place, schema=SCHEMA, names=NAMES, seconds=seconds)
        )
        # When entries were used, until that is written.
        self._used: dict[bytes, float] = {}
        self._look()

    def __repr__(self) -> str:
        return f"SqliteStore({self.place!r})"

    # Entries

    def get(self, key: str, now: float) -> Entry | None:
        with self._reader.reading() as connection:
            row = connection.execute(_GET, (raw(key), now)).fetchone()
        if row is None:
            return None
        try:
            entry = unpack(key, Packed(*row), self._sealing)
        except Unreadable:
            self.delete([key])
            return None
        self._used[raw(key)] = now
        if len(self._used) >= _AT_ONCE:
            # Somebody else has it, then, or the file can't be written.
            with suppress(sqlite3.Error, TimeoutError), self._writer.writing() as connection:
                self._mark(connection)
        return entry

    def put(self, entry: Entry) -> None:
        packed = pack(entry, self._sealing)
        key = raw(entry.key)
        self._used.pop(key, None)
        with self._writer.writing() as connection:
            run = connection.execute
            self._mark(connection)
            run(sql("DELETE FROM @entries WHERE key = ?"), (key,))
            if packed.size > self._max_bytes:
                return
            number = run(_PUT, entry_row(entry, packed)).lastrowid
            run(sql("INSERT INTO @contents VALUES (?, ?, ?, ?)"), (number, *packed))
            run(_EXPIRED, (entry.created_at, _AT_ONCE))
            self._make_room(connection, number)

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        place = raw(bucket)
        with self._reader.reading() as connection:
            rows = connection.execute(_SINCE, (place, seq)).fetchall()
        found = []
        for number, key, held in rows:
            with suppress(Unreadable):
                found.append((number, text_of(key), embedding_of(key, place, held, self._sealing)))
        return found

    def delete(self, keys: Iterable[str]) -> int:
        gone, left = 0, (name for key in keys for name in names(key))
        while some := [*islice(left, _AT_ONCE)]:
            with self._writer.writing() as connection:
                deleted = connection.executemany(
                    sql("DELETE FROM @entries WHERE key = ?"), [(key,) for key in some]
                )
                gone += deleted.rowcount
        if gone:
            # Else what is gone can be read in the log until the last one closes the file.
            with suppress(sqlite3.Error, TimeoutError), self._writer.reading() as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def select(self, selection: Selection, now: float) -> list[Entry]:
        selected, values = condition(selection, now)
        tables = sql("FROM @entries LEFT JOIN @contents USING (seq)")
        wanted = f"SELECT about, {COLUMNS} {tables} WHERE {selected}"
        with self._reader.reading() as connection:
            rows = connection.execute(wanted, values).fetchall()
        return [told(*row) for row in rows]

    def _mark(self, connection: sqlite3.Connection) -> None:
        """Write when entries were used."""
        marks = []
        with suppress(KeyError):
            while True:
                key, at = self._used.popitem()
                marks.append((at, key, at))
        connection.executemany(
            sql("UPDATE @entries SET used = ? WHERE key = ? AND used < ?"), marks
        )

    def _make_room(self, connection: sqlite3.Connection, newest: int | None) -> None:
        """Drop what was used least lately; of far too much, some with each entry that is put."""
        [(entries, size)] = connection.execute(sql("SELECT entries, bytes FROM @totals"))
        entries, size = entries - self._max_entries, size - self._max_bytes
        if entries <= 0 and size <= 0:
            return
        oldest = sql("SELECT seq, size FROM @entries WHERE seq != ? ORDER BY used, seq LIMIT ?")
        gone = []
        for number, held in connection.execute(oldest, (newest, _AT_ONCE)):
            if entries <= 0 and size <= 0:
                break
            gone.append((number,))
            entries, size = entries - 1, size - held
        connection.executemany(sql("DELETE FROM @entries WHERE seq = ?"), gone)

    # What was learnt, who asks what, and what was done

    def learn(self, evidence: Evidence) -> None:
        texts = (raw(evidence.stratum), raw(evidence.entry))
        values = (*texts, evidence.likeness, evidence.same, evidence.at, evidence.max_error)
        with self._writer.writing() as connection:
            added = connection.execute(
                sql("INSERT INTO @evidence VALUES (NULL, ?, ?, ?, ?, ?, ?)"), values
            )
            oldest = (added.lastrowid or 0) - KEPT
            connection.execute(sql("DELETE FROM @evidence WHERE seq <= ?"), (oldest,))

    def evidence(self, seq: int) -> list[tuple[int, Evidence]]:
        wanted = sql("SELECT * FROM @evidence WHERE seq > ? ORDER BY seq")
        with self._reader.reading() as connection:
            rows = connection.execute(wanted, (seq,)).fetchall()
        found = []
        for number, stratum, entry, *rest in rows:
            with suppress(Unreadable):
                found.append((number, learnt([text_of(stratum), text_of(entry), *rest])))
        return found

    def lease(self, key: str, owner: str, seconds: float, now: float) -> bool:
        with self._writer.writing() as connection:
            connection.execute(sql("DELETE FROM @leases WHERE until <= ?"), (now,))
            taken = connection.execute(_LEASE, (raw(key), raw(owner), now + seconds))
            return taken.rowcount == 1

    def release(self, key: str, owner: str) -> None:
        ended = sql("DELETE FROM @leases WHERE key = ? AND owner = ?")
        with self._writer.writing() as connection:
            connection.execute(ended, (raw(key), raw(owner)))

    def note(self, at: float, by: str, what: str, count: int) -> None:
        values = (at, raw(by), raw(what), count)
        with self._writer.writing() as connection:
            added = connection.execute(sql("INSERT INTO @notes VALUES (NULL, ?, ?, ?, ?)"), values)
            oldest = (added.lastrowid or 0) - KEPT
            connection.execute(sql("DELETE FROM @notes WHERE seq <= ?"), (oldest,))

    def notes(self, *, last: int | None = None) -> list[tuple[float, str, str, int]]:
        wanted = sql("SELECT * FROM @notes ORDER BY seq DESC LIMIT ?")
        with self._reader.reading() as connection:
            rows = connection.execute(wanted, (-1 if last is None else last,)).fetchall()
        found = []
        for _, at, by, what, count in rows[::-1]:
            with suppress(Unreadable):
                found.append(noted([at, legible(by), legible(what), count]))
        return found

    def figures(self, now: float) -> list[tuple[str, str, int, int]]:
        wanted = sql(
            "SELECT scope, role, count(*), sum(size) FROM @entries WHERE expires_at > ? "
            "GROUP BY scope, role"
        )
        with self._reader.reading() as connection:
            rows = connection.execute(wanted, (now,)).fetchall()
        return totals((legible(scope), legible(role), *sums) for scope, role, *sums in rows)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _look(self) -> None:
        """Refuse a file that can't be used; one that is held, or on a full disk, may be later."""
        try:
            with self._reader.reading():
                pass
        except (sqlite3.Error, OSError) as error:
            if not is_busy(error) and not is_full(error):
                raise ConfigurationError(
                    f"cache: no answers can be kept in {self.place} ({error}); give a file in a "
                    "folder that exists and may be written to, or delete it if it is an old cache"
                ) from error
