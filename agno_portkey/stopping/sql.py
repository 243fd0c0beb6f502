"""Stops in a SQL database: SQLite, Postgres, or another one that SQLAlchemy speaks to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, Text, or_, select
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from agno_portkey.errors import DatabaseGone
from agno_portkey.sql import SqlTable
from agno_portkey.stopping.record import LONGEST, Resumed, Stop, fold, parsed

__all__ = ["SqlStore"]

_TABLE = Table(
    "agno_portkey_stops",
    MetaData(),
    Column("swarm", String(LONGEST), primary_key=True),
    # In ISO 8601; none where the swarm is not stopped.
    Column("stopped_at", String(64)),
    # Of the stop, or of its end.
    Column("by", String(255)),
    Column("reason", Text),
    # When a process first asked for the swarm, if one has.
    Column("asked_at", String(64)),
)
_STOPS = select(*list(_TABLE.c)[:4]).where(_TABLE.c.stopped_at.is_not(None))
_RESUMED = select(_TABLE.c.swarm, _TABLE.c.by, _TABLE.c.reason).where(
    _TABLE.c.stopped_at.is_(None), or_(_TABLE.c.by.is_not(None), _TABLE.c.reason.is_not(None))
)
_ASKED = select(_TABLE.c.swarm).where(_TABLE.c.asked_at.is_not(None))
_GONE = f"its table {_TABLE.name} was there and is gone: `agno-portkey resume` makes it anew"
_WRITE_SECONDS = 10.0
# Names are kept to tell mistyped ones; swarms that are named anew each time can't be.
_NAMES = 1000
_TRIES = 3


class SqlStore:
    """The table `agno_portkey_stops` of one database, made by whoever first has to write to it.

    While it was never there, nothing is stopped; once it was, its absence is an error, for
    whatever took it away must not let a stopped swarm go on. The same holds for a SQLite file.
    `seconds` is how long a read waits for a lock.
    """

    def __init__(self, database: str | URL | Engine, *, seconds: float) -> None:
        self._table = SqlTable(database, _TABLE, seconds=seconds)
        self._named: set[str] = set()
        self.place = self._table.place
        # What the command line takes, but for a password.
        self.address = self._table.file or self.place

    def stops(self) -> Mapping[str, Stop]:
        return {fold(stop.swarm): stop for stop in map(parsed, self._rows(_STOPS))}

    def noted(self) -> set[str]:
        return {name for (name,) in self._rows(_ASKED)}

    def note(self, swarms: Collection[str]) -> None:
        if not {*swarms} <= self._named:
            if not self._table.seen:
                self._table.make()
            # A table that was there and is gone stays so: made anew, it would hold no stop.
            known = self.noted()
            for name in {*swarms} - known if len(known) < _NAMES else ():
                self._write(name, {"asked_at": datetime.now(UTC).isoformat()})
            self._named |= {*swarms}

    def put(self, stop: Stop) -> None:
        self._table.make()
        at = stop.at.isoformat()
        self._write(stop.swarm, {"stopped_at": at, "by": stop.by, "reason": stop.reason})

    def _write(self, swarm: str, values: dict[str, Any]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                with self._table.writing(_WRITE_SECONDS) as connection:
                    row = _TABLE.update().where(_TABLE.c.swarm == swarm)
                    if not connection.execute(row.values(values)).rowcount:
                        connection.execute(_TABLE.insert().values(swarm=swarm, **values))
                return
            except IntegrityError:
                # Another one made the row meanwhile: next time it is changed.
                if not left:
                    raise

    def lift(self, swarm: str, *, by: str | None = None, reason: str | None = None) -> list[Stop]:
        self._table.make()
        with self._table.writing(_WRITE_SECONDS) as connection:
            rows = [row for row in connection.execute(_STOPS) if _is_named(row, swarm)]
            for row in rows:
                ended = {"stopped_at": None, "by": by, "reason": reason}
                same = _TABLE.c.swarm == row.swarm
                connection.execute(_TABLE.update().where(same).values(ended))
        return [_told(row) for row in rows]

    def resumed(self) -> list[Resumed]:
        return [Resumed(*row) for row in self._rows(_RESUMED)]

    def _rows(self, wanted: Any) -> list[Any]:
        seen = self._table.seen
        try:
            rows = self._table.read(wanted)
        except SQLAlchemyError:
            if not self._table.exists():
                if seen:
                    raise DatabaseGone(_GONE) from None
                return []
            # Somebody made it just now, or the server was started anew since.
            rows = self._table.read(wanted)
        self._table.seen = True
        return rows


def _is_named(row: Any, swarm: str) -> bool:
    return isinstance(row.swarm, str) and fold(row.swarm) == fold(swarm)


def _told(row: Any) -> Stop:
    """The stop that was lifted, also where its row was none."""
    try:
        return parsed(row)
    except ValueError:
        return Stop(row.swarm, datetime.fromtimestamp(0, UTC))
