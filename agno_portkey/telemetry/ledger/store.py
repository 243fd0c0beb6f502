"""Where the rows of a ledger are kept: a table in Agno's own database, or in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from agno.db.in_memory import InMemoryDb
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    MetaData,
    String,
    Table,
    Text,
    and_,
    case,
    func,
    not_,
    select,
)
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from agno_portkey.errors import ConfigurationError
from agno_portkey.sql import SqlTable, in_memory, source_of
from agno_portkey.telemetry.ledger.entry import LONGEST, Entry

__all__ = ["BY", "TABLE", "MemoryStore", "Row", "SqlStore", "Store", "Sum", "Total", "store_of"]

# What sums can be told by.
BY = ("run", "role", "swarm", "cost_center", "model", "provider", "session", "day", "kind")

_NAME = String(LONGEST)
TABLE = Table(
    "agno_portkey_ledger",
    MetaData(),
    # Who wrote it, and as which of its rows: what is written again is there already.
    Column("writer", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    # Microseconds since 1970, and the day, in UTC.
    Column("at", BigInteger, nullable=False, index=True),
    Column("day", String(10), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    *(Column(name, _NAME) for name in ("run", "own_run", "session", "role", "swarm")),
    *(Column(name, _NAME) for name in ("cost_center", "model", "provider", "target")),
    *(Column(name, _NAME) for name in ("option_index", "error")),
    Column("tags", Text, nullable=False),
    Column("requests", BigInteger, nullable=False),
    *(Column(name, BigInteger) for name in ("input_tokens", "output_tokens", "tokens")),
    *(Column(name, BigInteger) for name in ("cached_tokens", "reasoning_tokens")),
    # Billionths of a dollar.
    Column("cost", BigInteger),
    Column("priced", String(16), nullable=False),
    Column("estimated", Boolean, nullable=False),
)
Index("ix_agno_portkey_ledger_run", TABLE.c.run)
Index("ix_agno_portkey_ledger_day", TABLE.c.day, TABLE.c.cost_center)

# A row as it is kept: the columns of the table by name.
Row = dict[str, Any]


def row_of(entry: Entry, writer: str, seq: int) -> Row:
    """`entry` as it is kept, as the row `seq` of `writer`."""
    names = {column.name for column in TABLE.c} - {"writer", "seq", "at", "day"}
    at = entry.at.astimezone(UTC)
    return {
        "writer": writer,
        "seq": seq,
        "at": int(at.timestamp()) * 1_000_000 + at.microsecond,
        "day": entry.day,
        **{name: getattr(entry, name) for name in names},
    }


class Total(NamedTuple):
    """What was measured under one key: `cost` in billionths of a dollar.

    `unpriced` counts rows with tokens and no known price.
    """

    cost: int = 0
    tokens: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Sum:
    """One line of a report: what is under `name`, measured, and beside it what is estimated.

    `cost` in billionths of a dollar; `unpriced` rows have tokens of an unknown price, of
    `unmeasured` ones nobody told what they took, `estimated` requests the gateway sent by itself.
    """

    name: str | None
    requests: int
    failed: int
    input_tokens: int
    output_tokens: int
    tokens: int
    cost: int
    unpriced: int
    unmeasured: int
    estimated: int
    lost: int


class Store(Protocol):
    """What keeps rows; each method blocks, and raises whatever keeps it from answering."""

    place: str

    def put(self, rows: Sequence[Row]) -> list[Row]:
        """Keep `rows`, each once however often it is put; returns those that can't be kept."""
        ...

    def total(self, same: Mapping[str, str | None], *, writer: str, after: int) -> Total:
        """What rows come to whose columns are the `same`; not those of `writer` from `after` on."""
        ...

    def sums(self, by: str, since: datetime | None = None) -> list[Sum]:
        """Sums by one of `BY`, the dearest first."""
        ...


class SqlStore:
    """The table `agno_portkey_ledger` of one database, made by whoever first needs it.

    Once it was there its absence is an error, as is that of a SQLite file: made anew, it would say
    that nothing was spent. `seconds` is how long a lock is waited for.
    """

    def __init__(self, database: str | URL | Engine, *, seconds: float) -> None:
        self._table = SqlTable(database, TABLE, seconds=seconds)
        self._seconds = seconds
        self.place = self._table.place

    def put(self, rows: Sequence[Row]) -> list[Row]:
        self._make()
        try:
            self._insert(rows)
        except (IntegrityError, DataError):
            # One is there already, or is none that can be kept: the others are.
            return [row for row in rows if not self._is_put(row)]
        return []

    def total(self, same: Mapping[str, str | None], *, writer: str, after: int) -> Total:
        self._make()
        c = TABLE.c
        own = and_(c.writer == writer, c.seq > after)
        unpriced = func.sum(case((c.priced == "unknown", 1), else_=0))
        wanted = select(func.sum(c.cost), func.sum(c.tokens), unpriced).where(
            c.estimated.is_(False), not_(own), *(c[name] == value for name, value in same.items())
        )
        with self._table.missed():
            [row] = self._table.read(wanted)
        return Total(*map(_figure, row))

    def sums(self, by: str, since: datetime | None = None) -> list[Sum]:
        if not self._table.is_there():
            return []
        column = TABLE.c[by]
        wanted = select(column, *_figures()).group_by(column)
        if since is not None:
            wanted = wanted.where(TABLE.c.at >= int(since.timestamp() * 1_000_000))
        with self._table.missed():
            rows = self._table.read(wanted)
        return _sorted(Sum(row[0], *map(_figure, row[1:])) for row in rows)

    def _make(self) -> None:
        if not self._table.is_there():
            self._table.make()
            self._table.seen = True

    def _insert(self, rows: Sequence[Row]) -> None:
        with self._table.missed(), self._table.writing(self._seconds) as connection:
            for row in rows:
                if row["kind"] == "batch":
                    same = (TABLE.c.writer == row["writer"], TABLE.c.seq == row["seq"])
                    connection.execute(TABLE.delete().where(*same))
            connection.execute(TABLE.insert(), list(rows))

    def _is_put(self, row: Row) -> bool:
        try:
            self._insert([row])
        except IntegrityError:
            # Its writer has no other row of this number: an answer to us was lost. Else the table
            # holds rows to something that this one is not.
            return self._is_there(row)
        except DataError:
            return False
        return True

    def _is_there(self, row: Row) -> bool:
        c = TABLE.c
        same = select(c.seq).where(c.writer == row["writer"], c.seq == row["seq"])
        return bool(self._table.read(same))


class MemoryStore:
    """The same in this process, for databases in memory."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Row] = {}
        self._lock = threading.Lock()
        self.place = "memory"

    def put(self, rows: Sequence[Row]) -> list[Row]:
        with self._lock:
            self._rows.update({(row["writer"], row["seq"]): row for row in rows})
        return []

    def total(self, same: Mapping[str, str | None], *, writer: str, after: int) -> Total:
        found = [
            row
            for row in self._all()
            if not row["estimated"]
            and not (row["writer"] == writer and row["seq"] > after)
            and all(row[name] == value for name, value in same.items())
        ]
        return Total(
            sum(row["cost"] or 0 for row in found),
            sum(row["tokens"] or 0 for row in found),
            sum(row["priced"] == "unknown" for row in found),
        )

    def sums(self, by: str, since: datetime | None = None) -> list[Sum]:
        from_ = -1 if since is None else int(since.timestamp() * 1_000_000)
        groups: dict[str | None, list[Row]] = {}
        for row in self._all():
            if row["at"] >= from_:
                groups.setdefault(row[by], []).append(row)
        return _sorted(_summed(name, rows) for name, rows in groups.items())

    def _all(self) -> list[Row]:
        with self._lock:
            return list(self._rows.values())


def _figures() -> list[Any]:
    """The columns of a `Sum`, behind its name."""
    c = TABLE.c
    told = and_(c.estimated.is_(False), c.kind != "lost")

    def count(of: Any, value: Any = 1) -> Any:
        return func.sum(case((of, value), else_=0))

    return [
        count(told, c.requests),
        count(and_(told, c.status != "ok")),
        *(count(told, func.coalesce(c[name], 0)) for name in _SUMMED),
        count(and_(told, c.priced == "unknown")),
        count(and_(told, c.priced == "unmeasured")),
        count(c.estimated.is_(True), c.requests),
        count(c.kind == "lost", c.requests),
    ]


_SUMMED = ("input_tokens", "output_tokens", "tokens", "cost")


def _summed(name: str | None, rows: Sequence[Row]) -> Sum:
    told = [row for row in rows if not row["estimated"] and row["kind"] != "lost"]
    return Sum(
        name,
        sum(row["requests"] for row in told),
        sum(row["status"] != "ok" for row in told),
        sum(row["input_tokens"] or 0 for row in told),
        sum(row["output_tokens"] or 0 for row in told),
        sum(row["tokens"] or 0 for row in told),
        sum(row["cost"] or 0 for row in told),
        sum(row["priced"] == "unknown" for row in told),
        sum(row["priced"] == "unmeasured" for row in told),
        sum(row["requests"] for row in rows if row["estimated"]),
        sum(row["requests"] for row in rows if row["kind"] == "lost"),
    )


def _sorted(sums: Iterator[Sum]) -> list[Sum]:
    return sorted(sums, key=lambda each: (-each.cost, -each.tokens, each.name or ""))


def _figure(said: Any) -> int:
    """A sum of a database's; one that is no whole number, or less than nothing, is refused."""
    number = 0 if said is None else int(said)
    if number < 0 or (said is not None and number != said):
        raise SQLAlchemyError(f"a sum of its table {TABLE.name} is {said!r}")
    return number


def store_of(database: Any, seconds: float) -> Store:
    """Where the rows of `database` are kept; what can't hold any is refused."""
    if isinstance(database, InMemoryDb):
        return MemoryStore()
    source = source_of(database)
    if source is None:
        raise ConfigurationError(
            f"database: {type(database).__name__} can't hold a ledger; give an Agno database on "
            "SQL or an address"
        )
    return MemoryStore() if in_memory(source) else SqlStore(source, seconds=seconds)
