"""`PgChunks`: the rows of Agno's PgVector, with their words in the same schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from agno.knowledge.document import Document
from agno.vectordb.distance import Distance
from agno.vectordb.pgvector import HNSW, Ivfflat, PgVector
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search.chunks import Scope, SearchUnavailable, Touched
from agno_portkey.knowledge.search.postgres_sql import Names, condition_sql
from agno_portkey.knowledge.search.terms import heaviest

__all__ = ["PgChunks"]

T = TypeVar("T")
_OPERATORS = {Distance.cosine: "<=>", Distance.l2: "<->", Distance.max_inner_product: "<#>"}
_CLASSES = {
    Distance.cosine: "vector_cosine_ops",
    Distance.l2: "vector_l2_ops",
    Distance.max_inner_product: "vector_ip_ops",
}
# More candidates than that pgvector's index does not look at.
_MOST = 1000


class PgChunks:
    """The rows of a PgVector. Triggers keep their words: writes need no care here."""

    def __init__(self, db: PgVector) -> None:
        if db.schema is None:
            raise ConfigurationError("vector_db: a PgVector with a schema")
        if "\\" in db.schema + db.table_name:
            raise ConfigurationError("vector_db: a table and a schema without \\ in their names")
        self.db = db
        self._names = Names(db.schema, db.table_name, db.content_language)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self.db.db_engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            # Its own words would quote the values.
            kind = type(getattr(error, "orig", None) or error).__name__
            raise SearchUnavailable(
                f"{self._names.table}: the database can't search it ({kind}): {_state(error)}"
            ) from error

    def ready(self) -> None:
        with self._connected() as connection:
            self._ready(connection)

    def _ready(self, connection: Connection) -> bool:
        """Whether there is a table; its words are there if so."""
        there, kept = connection.execute(text(self._names.installed)).one()
        if there and not kept:
            self._install(connection, anew=False)
        return bool(there)

    def _install(self, connection: Connection, *, anew: bool) -> None:
        # One at a time: the others find it done.
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:owner, 0))")
        connection.execute(lock, {"owner": self._names.owner})
        if not anew and connection.execute(text(self._names.installed)).one()[1]:
            return
        self._require_ours(connection)
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise ConfigurationError(
                f"vector_db: a database with the encoding UTF8, not {encoding}: words are cut by it"
            )
        for statement in self._names.install:
            connection.execute(text(statement))

    def _require_ours(self, connection: Connection) -> None:
        """Refuse where somebody else's tables have the names of ours: they would be dropped."""
        if foreign := connection.execute(text(self._names.foreign)).scalars().all():
            raise ConfigurationError(
                f"vector_db: {', '.join(foreign)} would be the words of {self._names.table}, and "
                "is a table of somebody else; give the PgVector another table_name"
            )

    def nearest(self, vector: Sequence[float], limit: int, scope: Scope) -> dict[str, float]:
        return self._near(vector, limit, scope)

    def _near(
        self, vector: Sequence[float], limit: int, scope: Scope, ids: Sequence[str] | None = None
    ) -> dict[str, float]:
        """The nearest, or among `ids` alone."""
        if not vector or limit < 1:
            return {}
        values: dict[str, Any] = {"vector": str([*map(float, vector)]), "limit": limit}
        where = self._where(scope, values)
        if ids is not None:
            where = f"{where} AND" if where else "WHERE"
            where, values["ids"] = f"{where} id = ANY(CAST(:ids AS text[]))", [*ids]
        distance = f"embedding {_OPERATORS[self.db.distance]} CAST(:vector AS vector)"
        if where or limit > _MOST:
            # The index would look for what fits among the nearest alone, and miss the rest.
            statement = (
                f"WITH fits AS MATERIALIZED (SELECT id, embedding FROM {self._names.table} {where})"  # noqa: S608
                f" SELECT id, {distance} AS distance FROM fits ORDER BY distance, id LIMIT :limit"
            )
        else:
            statement = (
                f"SELECT id, {distance} AS distance FROM {self._names.table} "  # noqa: S608
                "ORDER BY distance LIMIT :limit"
            )
        with self._connected() as connection:
            if not self._ready(connection):
                return {}
            connection.exec_driver_sql(self._width(limit))
            rows = connection.execute(text(statement), values).all()
        scores = {key: _likeness(distance, self.db.distance) for key, distance in rows}
        least = self.db.similarity_threshold
        return {
            key: score
            for key, score in scores.items()
            if score is not None and (least is None or score >= least)
        }

    def _width(self, limit: int) -> str:
        """How far the index looks, in this transaction."""
        index: Any = self.db.vector_index
        if isinstance(index, Ivfflat):
            return f"SET LOCAL ivfflat.probes = {int(index.probes)}"
        least = index.ef_search if index is not None else 40
        return f"SET LOCAL hnsw.ef_search = {max(40, min(max(limit, least), _MOST))}"

    def _where(self, scope: Scope, values: dict[str, Any]) -> str:
        # A table without owners is searched for none of them.
        self.db._require_owner_column(scope.user_id)
        parts: list[str] = []
        if scope.user_id is not None:
            parts.append("(user_id = :user_id OR user_id IS NULL)")
            values["user_id"] = scope.user_id
        if scope.condition is not None:
            # What is no object fits nothing, nor its opposite; without any it is an empty one.
            parts.append("coalesce(jsonb_typeof(meta_data), 'null') IN ('object', 'null')")
            parts.append(f"({condition_sql(scope.condition, values)})")
        return f"WHERE {' AND '.join(parts)}" if parts else ""

    def likeness(
        self, vector: Sequence[float], ids: Sequence[str], scope: Scope
    ) -> dict[str, float]:
        return self._near(vector, len(ids), scope, ids)

    def matching(
        self, terms: Mapping[str, float], limit: int, scope: Scope, also: Collection[str] = ()
    ) -> dict[str, float]:
        if not terms or limit < 1:
            return {}
        terms = heaviest(terms)
        values: dict[str, Any] = {
            "terms": [*terms],
            "weights": [*terms.values()],
            "limit": limit,
            "also": [*also],
        }
        where = self._where(scope, values)
        if where:
            where = f"WHERE p.id IN (SELECT id FROM {self._names.table} {where})"  # noqa: S608
        with self._connected() as connection:
            if not self._ready(connection):
                return {}
            rows = connection.execute(text(self._names.best(where)), values).all()
        return {key: float(score) for key, score in rows}

    def documents(self, ids: Sequence[str], scope: Scope) -> dict[str, Document]:
        if not ids:
            return {}
        values: dict[str, Any] = {}
        where = self._where(scope, values) or "WHERE true"
        columns = self.db.table.c
        asked = text(f"{where[6:]} AND id IN :ids").bindparams(bindparam("ids", expanding=True))
        names = ("id", "name", "meta_data", "content", "embedding", "usage", "content_id")
        statement = self.db.table.select().with_only_columns(*[columns[name] for name in names])
        with self._connected() as connection:
            if not self._ready(connection):
                return {}
            rows = connection.execute(statement.where(asked), {**values, "ids": [*ids]}).all()
        return {row.id: self._document(row) for row in rows if row.content is not None}

    def _document(self, row: Any) -> Document:
        return Document(
            id=row.id,
            name=row.name,
            meta_data=row.meta_data if isinstance(row.meta_data, dict) else {},
            content=row.content,
            embedder=self.db.embedder,
            embedding=None if row.embedding is None else [*map(float, row.embedding)],
            usage=row.usage,
            content_id=row.content_id,
        )

    def writing(self, act: Callable[[], T], touched: Callable[[], Touched] | None) -> T:
        self.ready()
        return act()

    def ids_of(self, **fields: Any) -> list[str]:
        return []

    def new_id(self, document: Document, content_hash: str, user_id: str | None) -> str:
        return ""

    def rebuild(self) -> int:
        with self._connected() as connection:
            there, _ = connection.execute(text(self._names.installed)).one()
            if not there:
                return 0
            self._install(connection, anew=True)
            return int(connection.execute(text(self._names.number)).scalar_one())

    def optimize(self) -> None:
        """Make the index of vectors that the database is to have; the words need no more care.

        Agno's own way to it binds values where Postgres takes none.
        """
        db = self.db
        # May be None, whatever its type says.
        index: Any = db.vector_index
        if index is None:
            return
        with self._connected() as connection:
            if not self._ready(connection):
                return
            for name, value in index.configuration.items():
                said = {"name": name, "value": str(value)}
                connection.execute(text("SELECT set_config(:name, :value, true)"), said)
            if isinstance(index, HNSW):
                kind, options = "hnsw", f"m = {index.m}, ef_construction = {index.ef_construction}"
            else:
                rows = int(connection.execute(text(self._names.number)).scalar_one())
                dynamic = rows // 1000 if rows < 1_000_000 else math.isqrt(rows)
                lists = max(1, dynamic) if index.dynamic_lists else index.lists
                kind, options = "ivfflat", f"lists = {lists}"
            name = index.name or f"{db.table_name}_{kind}_index"
            how = f"{kind} (embedding {_CLASSES[db.distance]}) WITH ({options})"
            connection.execute(text(self._names.indexed(name, how)))

    def drop(self) -> None:
        with self._connected() as connection:
            self._require_ours(connection)
            for statement in self._names.remove:
                connection.execute(text(statement))


def _likeness(distance: float | None, metric: Distance) -> float | None:
    """The greater the more alike; None where the distance is no number, as to a vector of 0."""
    if distance is None or not math.isfinite(distance):
        return None
    if metric is Distance.max_inner_product:
        return -distance
    return 1 / (1 + distance) if metric is Distance.l2 else 1 - distance


def _state(error: SQLAlchemyError) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or "no connection"
