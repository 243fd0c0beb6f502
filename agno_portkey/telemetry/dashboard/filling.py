"""Fills the table of points from Agno's table of spans, which whoever shows them does.

Runs don't pay for it: nothing is added to what they write.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, Text, delete, func, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from agno_portkey.sql import SqlTable
from agno_portkey.telemetry.dashboard.points import FLOOR, TABLE, millis, point_of

__all__ = ["Filling", "spans_table"]

# Spans of a transaction: a run that writes meanwhile waits for one of these.
_BATCH = 2_000
# How long after it says that it was written a span may come to be seen: transactions take a while,
# and clocks differ. What comes later still is found by who starts.
_LATE = timedelta(seconds=120)
# How often all spans are gone through, and not only what is new.
_EVERY = 600.0


def spans_table(name: str, schema: str | None) -> Table:
    """Agno's table of spans, as it is read here: its attributes are whatever stands there."""
    texts = ("trace_id", "parent_span_id", "name", "status_code", "start_time", "end_time")
    return Table(
        name,
        MetaData(schema=schema),
        Column("span_id", String, primary_key=True),
        *(Column(each, String) for each in texts),
        Column("duration_ms", String),
        Column("attributes", Text),
        Column("created_at", String),
    )


class Filling:
    """The points of one database; each method blocks, and raises what the database does.

    Several processes may fill one table at once: a span is one point, whoever adds it.
    """

    def __init__(self, points: SqlTable, spans: Table, *, dialect: str) -> None:
        self._points, self._spans = points, spans
        self._insert: Any = (sqlite if dialect == "sqlite" else postgresql).insert(TABLE)
        self._lock = threading.Lock()
        # When the last filling began that came to its end, and when one last went through all.
        self._filled = self._swept = float("-inf")

    def catch_up(self, seconds: float = 1.0) -> int:
        """Take over what is new, for about `seconds`; how many spans are left then.

        Whoever comes while another is at it waits, and takes what that one has found.
        """
        asked = time.monotonic()
        with self._points.missed():
            if not self._lock.acquire(timeout=seconds):
                return self._left(None)
            try:
                if self._filled >= asked:
                    return 0
                return self._fill(asked, asked + seconds)
            finally:
                self._lock.release()

    def forget(self, before: datetime) -> int:
        """Take away the points of what began before then, also where its spans are still there.

        How many there were.
        """
        self._make()
        at = millis(before)
        with self._lock, self._points.writing(5) as connection:
            connection.execute(self._raised(at))
            # The floor is none of them now.
            gone = connection.execute(delete(TABLE).where(TABLE.c.at < at)).rowcount
        return int(gone)

    def has_spans(self) -> bool:
        """Whether Agno's table is there."""
        with self._points.connection() as connection:
            return inspect(connection).has_table(self._spans.name, schema=self._spans.schema)

    def _fill(self, began: float, until: float) -> int:
        if not self.has_spans():
            self._make()
            return 0
        self._make()
        # Only as of what was there when it began.
        since = None if began - self._swept > _EVERY else self._since()
        sweeps, last = since is None, since
        while True:
            count, last = self._take(last)
            if count < _BATCH:
                self._filled = began
                self._swept = began if sweeps else self._swept
                return 0
            if time.monotonic() >= until:
                return self._left(last)

    def _take(self, since: str | None) -> tuple[int, str | None]:
        """Take over a batch, in the order in which they were written; how many, and the last's."""
        with self._points.connection() as connection:
            floor = self._floor(connection)
            wanted = self._missing(since, floor)
            rows = connection.execute(wanted.order_by(self._spans.c.created_at).limit(_BATCH)).all()
        # Two that fill at once go the same way, so that neither waits for the other.
        found = [point_of(dict(row._mapping)) for row in sorted(rows, key=lambda row: row.span_id)]
        # One transaction: killed in the middle, all of it is new to the next.
        if found:
            with self._points.writing(5) as connection:
                connection.execute(self._insert.on_conflict_do_nothing(), found)
                # Meanwhile others may have had some of them forgotten.
                if (now := self._floor(connection, held=True)) > floor:
                    old = [point["span_id"] for point in found if point["at"] < now]
                    connection.execute(delete(TABLE).where(TABLE.c.span_id.in_(old)))
        return len(found), rows[-1].created_at if rows else since

    def _missing(self, since: str | None, floor: int) -> Any:
        """The spans that have no point."""
        spans = self._spans.c
        known = select(TABLE.c.span_id).where(TABLE.c.span_id == spans.span_id).exists()
        wanted = select(*_read(self._spans)).where(~known, func.length(spans.span_id) <= 64)
        if since is not None:
            wanted = wanted.where(spans.created_at >= since)
        if floor:
            wanted = wanted.where(spans.start_time >= _iso(floor))
        return wanted

    def _since(self) -> str | None:
        with self._points.connection() as connection:
            last = connection.execute(select(func.max(TABLE.c.written))).scalar()
        try:
            # Who is ahead of time is not believed: all that others write would be passed over.
            return (min(datetime.fromisoformat(str(last)), datetime.now(UTC)) - _LATE).isoformat()
        except ValueError:
            return None

    def _left(self, since: str | None) -> int:
        if not self.has_spans():
            return 0
        with self._points.connection() as connection:
            missing = self._missing(since, self._floor(connection)).subquery()
            return int(connection.execute(select(func.count()).select_from(missing)).scalar() or 0)

    def _floor(self, connection: Connection, *, held: bool = False) -> int:
        """Up to when points are forgotten; if `held`, nobody says otherwise in this transaction."""
        wanted = select(TABLE.c.at).where(TABLE.c.span_id == FLOOR)
        # Who writes into SQLite has all of it.
        wanted = wanted.with_for_update(read=True) if held else wanted
        return int(connection.execute(wanted).scalar() or 0)

    def _raised(self, floor: int) -> Any:
        """What has the floor be `floor`, unless it is higher already."""
        row = self._insert.values(_floor_row(floor))
        return row.on_conflict_do_update(
            index_elements=[TABLE.c.span_id],
            set_={"at": row.excluded.at},
            where=row.excluded.at > TABLE.c.at,
        )

    def _make(self) -> None:
        if not self._points.is_there():
            self._points.make()
            self._points.seen = True


def _read(spans: Table) -> list[Any]:
    names = ("span_id", "trace_id", "status_code", "start_time", "end_time", "duration_ms")
    return [spans.c[name] for name in (*names, "attributes", "created_at")]


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1_000, UTC).isoformat()


def _floor_row(at: int) -> dict[str, Any]:
    names = dict.fromkeys(("span_id", "trace_id", "kind"), FLOOR)
    return {**names, "at": at, "ms": 0.0, "bin": 0, "written": ""}
