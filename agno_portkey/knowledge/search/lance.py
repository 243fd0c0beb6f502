"""`LanceChunks`: the rows of Agno's LanceDb, with their words in a SQLite file beside the table."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from hashlib import md5
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import lancedb
from agno.knowledge.document import Document
from agno.vectordb.distance import Distance
from agno.vectordb.lancedb import LanceDb

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search import words as kept
from agno_portkey.knowledge.search.chunks import Scope, Touched
from agno_portkey.knowledge.search.filters import fits
from agno_portkey.knowledge.search.lance_rows import (
    distance_of,
    document_of,
    joined,
    likeness_of,
    quoted,
    row_of,
    state_of,
)
from agno_portkey.knowledge.search.words import Broken, Row, Unfollowed, Words

__all__ = ["LanceChunks"]

T = TypeVar("T")
_METRICS = {Distance.cosine: "cosine", Distance.l2: "l2", Distance.max_inner_product: "dot"}
# So many ids are named to LanceDB; of more, what is found is tested afterwards, in wider circles.
_NAMED = 5_000
_AT_ONCE = 1_000
# The stamp of no table.
_NONE = "none"


class LanceChunks:
    """The rows of a LanceDb on a disk.

    LanceDB has no transaction that would take the words along. So each state of the table has a
    stamp, its version and the time of it, and the words know the stamp they are true of: another
    one, after a kill or a write by others, and they follow before anything is searched.
    """

    def __init__(self, db: LanceDb, path: str | os.PathLike[str] | None = None) -> None:
        if db._is_cloud():
            raise ConfigurationError(
                "vector_db: a LanceDb on a disk or bucket; LanceDB Cloud has search by words itself"
            )
        self.db = db
        if path is None:
            if "://" in str(db.uri):
                raise ConfigurationError("words: the path of a local file, as the table is not one")
            path = Path(str(db.uri), f"{db.table_name}.words.db")
        # Where it is now, whatever the working folder will be.
        self._words = Words(os.path.abspath(os.path.expanduser(path)))
        self._state: list[int] = [0]
        self._looking = Lock()
        self._mending = Lock()

    # The rows

    def _table(self) -> Any:
        """The table as it is now, whoever wrote to it last; None if there is none."""
        # One thread at a time: another would take what was written meanwhile for a new table. And
        # without a table in between, as a write would be dropped by it.
        with self._looking:
            table = self.db.table = self._latest()
            if table is not None:
                self._state = state_of(table)
            return table

    def _latest(self) -> Any:
        db, table = self.db, self.db.table
        if table is not None:
            with suppress(Exception):
                table.checkout_latest()
                state = state_of(table)
                if state[0] > self._state[0] or state == self._state:
                    return table
                # It was dropped and made anew, and what is known of its files is not so any more.
                db.connection = lancedb.connect(db.uri)
        return db.connection.open_table(db.table_name) if db.exists() else None

    def _stamp(self) -> str:
        table = self._table()
        return self._stamp_of(table)

    def _stamp_of(self, table: Any) -> str:
        return json.dumps([self.db.table_name, *state_of(table)]) if table is not None else _NONE

    def _rows(self, where: str | None = None) -> Iterator[Row]:
        table = self._table()
        if table is None:
            return
        columns = ["id", "payload", *self._owned()]
        asked = table.search().select(columns).limit(max(1, table.count_rows()))
        for batch in (asked.where(where) if where else asked).to_batches(_AT_ONCE):
            yield from filter(None, map(row_of, batch.to_pylist()))

    def _owned(self) -> list[str]:
        return [self.db.USER_ID_COL] if self.db._user_id_column_exists() else []

    def nearest(self, vector: Sequence[float], limit: int, scope: Scope) -> dict[str, float]:
        table = self._table()
        if table is None or not vector or (rows := table.count_rows()) == 0:
            return {}
        owner = self._owner(scope)
        if scope.condition is None:
            return self._asked(table, vector, limit, owner)
        named = self._mended(lambda: self._words.admitted(scope, _NAMED + 1))
        if not named:
            return {}
        if len(named) <= _NAMED:
            where = joined(owner, f"id IN ({quoted(named)})")
            return self._asked(table, vector, limit, where)
        width = limit
        while True:
            width = min(rows, 4 * width)
            found = self._asked(table, vector, width, owner)
            fits = self._words.among([*found], scope)
            if len(fits) >= limit or width >= rows:
                return dict([item for item in found.items() if item[0] in fits][:limit])

    def _owner(self, scope: Scope) -> str | None:
        # A table without owners is searched for none of them.
        self.db._require_owner_column(scope.user_id)
        return self.db._user_scope_where_clause(scope.user_id)

    def _asked(
        self, table: Any, vector: Sequence[float], limit: int, where: str | None
    ) -> dict[str, float]:
        found = dict[str, float]()
        width, rows = limit, table.count_rows()
        while True:
            asked = table.search([*vector], vector_column_name=self.db._vector_col)
            asked = asked.distance_type(_METRICS[self.db.distance]).limit(width)
            if where is not None:
                asked = asked.where(where, prefilter=True)
            if self.db.nprobes:
                asked.nprobes(self.db.nprobes)
            there = asked.select(["id", "_distance"]).to_list()
            for row in there:
                likeness = likeness_of(row["_distance"], self.db.distance)
                if likeness is not None and row["id"] is not None:
                    found.setdefault(row["id"], likeness)
            # Rows of one id, as LanceDB lets there be, take no others' place.
            if len(found) >= limit or len(there) < width or width >= rows:
                return dict([*found.items()][:limit])
            width *= 4

    def likeness(
        self, vector: Sequence[float], ids: Sequence[str], scope: Scope
    ) -> dict[str, float]:
        table = self._table()
        if table is None or not vector or not ids:
            return {}
        # What is in scope the words have said. LanceDB would measure all rows for it.
        where = joined(self._owner(scope), f"id IN ({quoted(ids)})")
        columns = ["id", self.db._vector_col]
        asked = table.search().where(where).select(columns).limit(max(1, table.count_rows()))
        rows = {row["id"]: row[self.db._vector_col] for row in asked.to_list()}
        found = {
            key: likeness_of(distance_of(vector, there, self.db.distance), self.db.distance)
            for key, there in rows.items()
            if there is not None
        }
        return {key: likeness for key, likeness in found.items() if likeness is not None}

    def documents(self, ids: Sequence[str], scope: Scope) -> dict[str, Document]:
        table = self._table()
        if table is None or not ids:
            return {}
        where = joined(self._owner(scope), f"id IN ({quoted(ids)})")
        asked = table.search().where(where).limit(max(1, table.count_rows()))
        found = (document_of(row, self.db.embedder) for row in asked.to_list())
        # As they are now: others may have changed them since the words were asked.
        there = (each for each in found if each and fits(scope.condition, each.meta_data))
        return {str(each.id): each for each in there}

    # The words

    def ready(self) -> None:
        if not self._mended(lambda: self._words.stamp() == self._stamp()):
            self._followed()

    def _mended(self, ask: Callable[[], T]) -> T:
        """What `ask` comes to; where the words file is broken, by one that is made anew, once."""
        try:
            return ask()
        except Unfollowed:
            # It was begun anew since it was looked at; who has begun is waited for.
            self._followed()
            return ask()
        except Broken:
            pass
        with self._mending:
            # Another thread may have mended it, and its file is not to be put aside.
            with suppress(Broken):
                return ask()
            self._words.set_aside()
            self._followed()
            return ask()

    def _followed(self, *, anew: bool = False) -> int:
        """Have the words follow the rows, by who is first; how many rows they did not have."""
        with self._words.writing() as connection:
            stamp = self._stamp()
            if anew or stamp == _NONE:
                kept.clear(connection)
            if kept.stamp_in(connection) == stamp:
                return 0
            changed = kept.follow(connection, self._rows())
            kept.set_stamp(connection, stamp)
            return changed

    def matching(
        self, terms: Any, limit: int, scope: Scope, also: Collection[str] = ()
    ) -> dict[str, float]:
        return self._mended(lambda: self._words.matching(terms, limit, scope, also))

    def writing(self, act: Callable[[], T], touched: Callable[[], Touched] | None) -> T:
        self.ready()
        was = self._words.stamp()
        some = touched() if touched is not None else None
        with self._words.writing() as connection:
            before = self._table()
            version = state_of(before)[0] if before is not None else 0
            # Otherwise others have written since it was said what is touched.
            known = was == kept.stamp_in(connection) == self._stamp_of(before)
            # If it raises, the words stay as they were, with their old stamp: the next search
            # has them follow whatever was written.
            result = act()
            table = self._table()
            stamp = self._stamp_of(table)
            made = state_of(table)[0] - version if table is not None else None
            if known and some is not None and made == some.commits:
                self._follow_some(connection, list(dict.fromkeys(some.ids)))
            else:
                # Others have written, too.
                kept.follow(connection, self._rows())
            # What is written from here on is not in the words yet.
            kept.set_stamp(connection, stamp)
            return result

    def _follow_some(self, connection: sqlite3.Connection, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            there = {row.id: row for row in self._rows(f"id IN ({quoted(some)})")}
            kept.put(connection, there.values())
            kept.remove(connection, [key for key in some if key not in there])

    def ids_of(self, **fields: Any) -> list[str]:
        return self._words.ids_of(fields)

    def new_id(self, document: Document, content_hash: str, user_id: str | None) -> str:
        content = document.content.replace("\x00", "\ufffd")
        base = document.id or md5(content.encode(), usedforsecurity=False).hexdigest()
        return self.db._scoped_doc_id(base, content_hash, user_id)

    def rebuild(self) -> int:
        self._mended(lambda: self._followed(anew=True))
        return len(self._words.admitted(Scope(), -1))

    def optimize(self) -> None:
        self.db.optimize()
        self.ready()
        self._words.optimize()

    def drop(self) -> None:
        self._words.remove()
