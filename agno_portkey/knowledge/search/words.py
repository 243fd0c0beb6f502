"""The words of a collection in SQLite: BM25 by FTS5, beside what rows are filtered by."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from agno_portkey.cache.sqlite_file import Link, is_busy, is_full
from agno_portkey.knowledge.search.chunks import Scope, SearchUnavailable
from agno_portkey.knowledge.search.filters import canonical, is_plain
from agno_portkey.knowledge.search.terms import heaviest, without_accents, words_of
from agno_portkey.knowledge.search.words_sql import condition_sql, scope_sql

__all__ = ["Row", "Words"]

_SCHEMA = (
    "CREATE TABLE search_rows (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, "
    "name TEXT, content_id TEXT, content_hash TEXT, meta TEXT, digest BLOB NOT NULL)",
    "CREATE INDEX search_rows_owner ON search_rows (owner)",
    "CREATE INDEX search_rows_content ON search_rows (content_id)",
    "CREATE INDEX search_rows_hash ON search_rows (content_hash)",
    "CREATE INDEX search_rows_name ON search_rows (name)",
    "CREATE TABLE search_rows_stamp (only INTEGER PRIMARY KEY CHECK (only = 1), "
    "stamp TEXT NOT NULL)",
    # It is given words that are cut already, and takes whatever is not ASCII for a letter.
    "CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter ascii')",
    # Older ones drop what was deleted as they merge, and at `optimize`.
    *(
        ["INSERT INTO words (words, rank) VALUES ('secure-delete', 1)"]
        if sqlite3.sqlite_version_info >= (3, 42)
        else []
    ),
)
# Not the tables that FTS5 makes for itself.
_NAMES = "search_rows*"
_AT_ONCE = 500
_OR_ED = 64


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the collection, but for its vector."""

    id: str
    text: str
    owner: str | None
    name: str | None
    content_id: str | None
    content_hash: str | None
    meta: Any

    @property
    def digest(self) -> bytes:
        told = [self.text, self.owner, self.name, self.content_id, self.content_hash, self.meta]
        return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).digest()

    @property
    def kept_meta(self) -> str | None:
        """The metadata as they are filtered by; None where they can't be."""
        meta = self.meta if self.meta is not None else {}
        return canonical(meta) if isinstance(meta, dict) and is_plain(meta) else None


class Words:
    """The words file of one collection, for all threads and processes.

    A write holds SQLite's own lock from before the collection is changed until the words are: who
    dies between leaves an old stamp, and who comes next sees it.
    """

    def __init__(self, path: str, seconds: float = 30.0) -> None:
        self.path = path
        self._link = Link(path, schema=_SCHEMA, names=_NAMES, seconds=seconds)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._told(), self._link.reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        with self._told(), self._link.writing() as connection:
            yield connection

    def stamp(self) -> str | None:
        """What the collection was when the words last followed it; None before that."""
        with self.reading() as connection:
            return stamp_in(connection)

    def set_aside(self) -> None:
        """Put a file that can't be read out of the way; nothing is deleted."""
        self._link.close()
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(self.path + end, f"{self.path}.broken{end}")

    def optimize(self) -> None:
        """Merge what FTS5 keeps apart, and leave nothing of what was deleted."""
        with self.writing() as connection:
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def remove(self) -> None:
        """Delete the file, and one that was put out of the way."""
        self._link.close()
        for path in (self.path, f"{self.path}.broken"):
            for end in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.remove(path + end)

    def close(self) -> None:
        self._link.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, TimeoutError) as error:
            if isinstance(error, TimeoutError) or is_busy(error):
                raise SearchUnavailable(
                    f"{self.path}: another process or thread holds it; try again"
                ) from error
            if not _is_broken(error):
                raise SearchUnavailable(f"{self.path}: {error}") from error
            raise Broken(f"{self.path}: can't be read as an index of words: {error}") from error

    # What is in it

    @contextmanager
    def _searching(self) -> Iterator[sqlite3.Connection]:
        with self.reading() as connection:
            if stamp_in(connection) is None:
                raise Unfollowed(f"{self.path}: it is made anew just now; try again")
            add_functions(connection)
            yield connection

    def matching(
        self, terms: Mapping[str, float], limit: int, scope: Scope, also: Collection[str] = ()
    ) -> dict[str, float]:
        """The best ids by BM25, and those of `also` that match; each term counts by its weight."""
        if not terms or limit < 1:
            return {}
        fits, where, values = "", "", list[Any]()
        if scope.narrow:
            fits, values = scope_sql(scope)
            fits = f"fits AS MATERIALIZED (SELECT number FROM search_rows WHERE {fits}), "  # noqa: S608
            # Of what is rated: FTS5 would look for each of them by itself.
            where = " WHERE number IN (SELECT number FROM fits)"
        groups = [*_alike(terms)]
        part = "SELECT rowid AS number, ? * -bm25(words) AS score FROM words WHERE words MATCH ?"
        asked = [each for group in groups for each in group]
        # In the order of the statement.
        asked = [*values, *asked]
        parts = " UNION ALL ".join([part] * len(groups))
        if len(groups) > 1:
            parts = f"SELECT number, SUM(score) AS score FROM ({parts}) GROUP BY number"  # noqa: S608
        best = "SELECT number, score FROM seen ORDER BY score DESC, number LIMIT ?"
        asked.append(limit)
        if also:
            marks = ",".join("?" * len(also))
            best = (
                f"SELECT * FROM ({best}) UNION SELECT number, score FROM seen WHERE number IN "  # noqa: S608
                f"(SELECT number FROM search_rows WHERE id IN ({marks}))"
            )
            asked += also
        # FTS5 rates a row where it finds it alone, so that is done by itself.
        statement = (
            f"WITH {fits}rated AS MATERIALIZED ({parts}), "  # noqa: S608
            f"seen AS MATERIALIZED (SELECT * FROM rated{where}), found AS MATERIALIZED ({best}) "
            "SELECT id, score FROM found JOIN search_rows USING (number) "
            "ORDER BY score DESC, number"
        )
        with self._searching() as connection:
            return dict(connection.execute(statement, asked).fetchall())

    def admitted(self, scope: Scope, limit: int) -> list[str]:
        """Up to `limit` ids in scope."""
        where, values = scope_sql(scope)
        statement = f"SELECT id FROM search_rows WHERE {where} LIMIT ?"  # noqa: S608
        with self._searching() as connection:
            return [key for (key,) in connection.execute(statement, [*values, limit])]

    def among(self, ids: Sequence[str], scope: Scope) -> set[str]:
        """Those of `ids` that are in scope."""
        where, values = scope_sql(scope)
        kept: set[str] = set()
        with self._searching() as connection:
            for some in _some(ids):
                marks = ",".join("?" * len(some))
                statement = f"SELECT id FROM search_rows WHERE id IN ({marks}) AND {where}"  # noqa: S608
                kept.update(key for (key,) in connection.execute(statement, [*some, *values]))
        return kept

    def ids_of(self, fields: Mapping[str, Any]) -> list[str]:
        where, values = condition_sql(fields)
        with self.reading() as connection:
            add_functions(connection)
            found = connection.execute(f"SELECT id FROM search_rows WHERE {where}", values)  # noqa: S608
            return [key for (key,) in found]


class Broken(SearchUnavailable):
    """The words file is no database, or not ours."""


class Unfollowed(SearchUnavailable):
    """The words file is a new one, which does not hold what the collection does yet."""


def _is_broken(error: BaseException) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    # A page that ends too early is of a file that was cut; other errors of a disk may pass.
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")):
        return True
    if is_full(error):
        return False
    # Tables that are not ours, or are gone.
    return isinstance(error, sqlite3.DatabaseError) and (
        not name or "no such table" in str(error) or "no such column" in str(error)
    )


def add_functions(connection: sqlite3.Connection) -> None:
    # SQLite's own lower() knows ASCII alone.
    connection.create_function("folded", 1, _folded, deterministic=True)


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else None


def stamp_in(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT stamp FROM search_rows_stamp").fetchone()
    return row[0] if row else None


def set_stamp(connection: sqlite3.Connection, stamp: str) -> None:
    connection.execute("INSERT OR REPLACE INTO search_rows_stamp VALUES (1, ?)", [stamp])


def put(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Have `rows` in the words as they are now."""
    for row in rows:
        remove(connection, [row.id])
        fields = (row.id, row.owner, row.name, row.content_id, row.content_hash)
        number = connection.execute(
            "INSERT INTO search_rows (id, owner, name, content_id, content_hash, meta, digest) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*map(whole, fields), row.kept_meta, row.digest],
        ).lastrowid
        connection.execute(
            "INSERT INTO words (rowid, text) VALUES (?, ?)",
            [number, without_accents(" ".join(words_of(row.text)))],
        )


def remove(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    for key in ids:
        found = connection.execute("SELECT number FROM search_rows WHERE id = ?", [key]).fetchone()
        if found:
            connection.execute("DELETE FROM words WHERE rowid = ?", found)
            connection.execute("DELETE FROM search_rows WHERE number = ?", found)


def follow(connection: sqlite3.Connection, rows: Iterable[Row]) -> int:
    """Make the words those of `rows`, all there are; how many were not as they should be."""
    known = dict(connection.execute("SELECT id, digest FROM search_rows"))
    kept, changed = dict[str, bytes](), 0
    for row in rows:
        digest = row.digest
        if (kept.get(row.id) or known.get(row.id)) != digest:
            put(connection, [row])
            changed += 1
        kept[row.id] = digest
    gone = known.keys() - kept.keys()
    remove(connection, gone)
    return changed + len(gone)


def whole(text: str | None) -> str | None:
    """`text` as SQLite takes it: without halves of characters."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def clear(connection: sqlite3.Connection) -> None:
    for table in ("words", "search_rows", "search_rows_stamp"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608


def _alike(terms: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """The terms in groups of one weight, each as a query of FTS5 that nothing in it can break."""
    groups: dict[float, list[str]] = {}
    # SQLite takes no statement of any length.
    for term, weight in heaviest(terms).items():
        groups.setdefault(weight, []).append('"' + without_accents(term).replace('"', '""') + '"')
    for weight, quoted in groups.items():
        for some in _some(quoted, _OR_ED):
            yield weight, " OR ".join(some)


def _some(several: Sequence[str], most: int = _AT_ONCE) -> Iterator[Sequence[str]]:
    for start in range(0, len(several), most):
        yield several[start : start + most]
