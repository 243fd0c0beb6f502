"""Agno's table of evaluations in SQLite and Postgres, by connections of our own."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from agno.db.base import BaseDb
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    case,
    cast,
    func,
    inspect,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.errors import DatabaseGone
from agno_portkey.gates.history.rows import KEY, Row, Wanted, clean, second
from agno_portkey.sql import SqlTable

__all__ = ["SqlRuns"]

_TRIES = 3
# How many more are read than are asked for, at first.
_SPARE = 16
# In SQLite a text may be no text to Python.
_HELD = Text().with_variant(LargeBinary(), "sqlite")


class SqlRuns:
    """The table `name` of SQLite or Postgres, made and written by Agno's own database class.

    An index of our own on (name, created_at) is added to it, so that a gate's decisions are read
    in the order of time without reading the others'. `schema` is that of Postgres;
    `owner` the database of Agno's whose table it is.
    """

    def __init__(
        self,
        source: URL | Engine,
        *,
        name: str,
        schema: str | None,
        seconds: float,
        owner: BaseDb | None = None,
    ) -> None:
        self._rows = _table(name, schema)
        self._table = SqlTable(source, self._rows, seconds=seconds)
        self._owner = owner
        self._agno: BaseDb | None = None
        self._indexed = False
        self._gone = f"its table {self._rows} was there and is gone"

    def put(self, row: Row) -> None:
        # Looks for the file, and leaves a parent's connections after a fork.
        with self._table.connection() as connection:
            engine = connection.engine
        left = _TRIES
        while True:
            left -= 1
            if self._agno is None:
                self._agno = _agno_database(engine, self._rows)
            try:
                with self._making():
                    self._agno.create_eval_run(row)
                break
            except SQLAlchemyError:
                # It goes on as if it had the table that it could not make.
                self._agno = None
                if self._table.seen and not self._exists():
                    raise DatabaseGone(self._gone) from None
                # Another process may have made the table at the same time.
                if self._table.seen or not left:
                    raise
        if not self._indexed:
            self._index()

    def _making(self) -> AbstractContextManager[Any]:
        """While there is no table: one after another with those that the owner makes.

        Of two that make their first tables at once, as where a run is stored meanwhile, one fails.
        """
        lock: AbstractContextManager[Any] | None = getattr(self._owner, "_resolve_lock", None)
        if lock is None or self._table.seen or self._exists():
            return nullcontext()
        return lock

    def kept(self, run_id: str) -> Any:
        wanted = select(self._rows.c.eval_data).where(self._rows.c.run_id == run_id)
        found = self._table.read(wanted)
        self._table.seen = True
        return found[0][0] if found else None

    def find(self, wanted: Wanted) -> list[Any]:
        size = None if wanted.limit is None else wanted.limit + _SPARE
        while True:
            rows = self._read(wanted, size)
            newest = [row for row in rows if wanted.takes(row)]
            # Those of one second come in any order.
            newest.sort(key=lambda row: str(row["eval_data"][KEY]["at"]), reverse=True)
            newest = newest[: wanted.limit]
            if size is None or len(rows) < size:
                break
            if len(newest) == wanted.limit and newest[-1]["created_at"] > rows[-1]["created_at"]:
                break
            # Some are others', or more than were read are of the last second.
            size *= 4
        return [row["eval_data"][KEY] for row in newest]

    def _read(self, wanted: Wanted, size: int | None) -> list[dict[str, Any]]:
        seen = self._table.seen
        try:
            found = self._table.read(self._select(wanted).limit(size))
        except SQLAlchemyError:
            if self._exists():
                raise
            if seen:
                raise DatabaseGone(self._gone) from None
            return []
        self._table.seen = True
        return [{**row._mapping, "eval_data": _data_of(row.eval_data)} for row in found]

    def _select(self, wanted: Wanted) -> Select[*tuple[Any, ...]]:
        """What holds all that is wanted; `Wanted.takes` says which of them are."""
        rows = self._rows.c
        chosen = select(rows.name, rows.evaluated_component_name, rows.created_at, rows.eval_data)
        if wanted.name is None:
            chosen = chosen.where(rows.name.startswith(wanted.prefix, autoescape=True))
        else:
            chosen = chosen.where(rows.name == clean(wanted.name))
        if wanted.component is not None:
            chosen = chosen.where(rows.evaluated_component_name == clean(wanted.component))
        if wanted.since is not None:
            chosen = chosen.where(rows.created_at >= second(wanted.since))
        if wanted.until is not None:
            chosen = chosen.where(rows.created_at <= second(wanted.until))
        chosen = chosen.order_by(rows.created_at.desc())
        data: Any = rows.eval_data
        if wanted.fields and self._rows.schema is not None:
            # Postgres takes any value of a field for rare, and would look into all rows for it;
            # behind an OFFSET it takes them in order. SQLite does so of itself.
            ordered = chosen.offset(0).subquery()
            chosen = select(ordered).order_by(ordered.c.created_at.desc())
            data = ordered.c.eval_data
        for field, text in wanted.fields.items():
            same = data[(KEY, field)].as_string() == text
            if self._rows.schema is None:
                # SQLite refuses the whole question where one row is no JSON to it.
                same = case((func.json_valid(data) == 1, same), else_=False)
            chosen = chosen.where(same)
        # As it is held: one row that is no JSON, or is too deep, must not hold up all others.
        *others, _data = chosen.selected_columns
        return chosen.with_only_columns(*others, cast(data, _HELD).label("eval_data"))

    def _exists(self) -> bool:
        with self._table.connection() as connection:
            return inspect(connection).has_table(self._rows.name, schema=self._rows.schema)

    def _index(self) -> None:
        """Add our index; without it, for want of leave or room, the history is only slower."""
        name, schema = self._rows.name, self._rows.schema
        index = Index(f"ix_agno_portkey_{name}"[:63], self._rows.c.name, self._rows.c.created_at)
        try:
            with self._table.connection() as connection:
                there = inspect(connection).get_indexes(name, schema=schema)
            if all(each["name"] != index.name for each in there):
                with self._table.writing() as connection:
                    index.create(connection, checkfirst=True)
        except SQLAlchemyError as error:
            kind = type(error).__name__
            logging.getLogger("agno_portkey").warning("no index for %s (%s)", name, kind)
        self._indexed = True


def _data_of(held: bytes | str | None) -> Any:
    """What a row holds as JSON; None where that can't be read."""
    try:
        return None if held is None else json.loads(held)
    except (ValueError, RecursionError):
        return None


def _table(name: str, schema: str | None) -> Table:
    return Table(
        name,
        MetaData(schema=schema),
        Column("run_id", String, primary_key=True),
        Column("name", String),
        Column("evaluated_component_name", String),
        Column("created_at", BigInteger),
        Column("eval_data", JSON().with_variant(JSONB(), "postgresql")),
    )


def _agno_database(engine: Engine, rows: Table) -> BaseDb:
    if engine.dialect.name == "sqlite":
        from agno.db.sqlite import SqliteDb

        return SqliteDb(db_engine=engine, eval_table=rows.name)
    from agno.db.postgres import PostgresDb

    return PostgresDb(db_engine=engine, eval_table=rows.name, db_schema=rows.schema)
