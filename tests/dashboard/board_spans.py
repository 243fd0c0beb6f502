"""Spans in Agno's own tables, as they are written there or as nobody would write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from sqlalchemy.dialects import postgresql, sqlite

from agno_portkey.telemetry.dashboard import Asked

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
_ids = count(1)


@contextmanager
def agno_db(url: str) -> Iterator[Any]:
    """Agno's database at `url`."""
    kind = SqliteDb if url.startswith("sqlite") else PostgresDb
    db: Any = kind(db_url=url)
    try:
        yield db
    finally:
        db.db_engine.dispose()


def span(
    kind: str | None,
    at: datetime = NOON,
    ms: float = 10.0,
    *,
    trace: str = "a" * 32,
    id: str | None = None,
    parent: str | None = None,
    written: datetime | None = None,
    said: dict[str, Any] | None = None,
    **ours: Any,
) -> dict[str, Any]:
    """The row of a span of `kind`, with attributes of ours; `said` are others."""
    ended = at + timedelta(milliseconds=ms)
    told = {f"agno_portkey.{name}": value for name, value in ours.items()} | (said or {})
    if kind is not None:
        told["agno_portkey.kind"] = kind
    return {
        "span_id": id or f"{next(_ids):016x}",
        "trace_id": trace,
        "parent_span_id": parent,
        "name": kind or "other",
        "span_kind": "INTERNAL",
        "status_code": "ERROR" if "error.type" in told else "UNSET",
        "status_message": None,
        "start_time": at.isoformat(),
        "end_time": ended.isoformat(),
        "duration_ms": int(ms),
        "attributes": told,
        "created_at": (written or ended).isoformat(),
    }


def run(at: datetime = NOON, ms: float = 10.0, **how: Any) -> dict[str, Any]:
    """The row of an outermost run."""
    said = {"agno_portkey.outermost": True, **how.pop("said", {})}
    return span(None, at, ms, said=said, **how)


def call(at: datetime = NOON, ms: float = 10.0, model: str = "m", **how: Any) -> dict[str, Any]:
    """The row of a call that one attempt has answered."""
    said = {"gen_ai.request.model": model, "agno_portkey.attempts": 1, **how.pop("said", {})}
    return span("call", at, ms, said=said, **how)


def put(db: Any, *rows: dict[str, Any]) -> None:
    """Write rows, and those of their traces, into Agno's tables."""
    tables = [db._get_table(name, create_table_if_not_found=True) for name in ("traces", "spans")]
    insert: Any = (sqlite if isinstance(db, SqliteDb) else postgresql).insert
    traces = [
        {
            "trace_id": id,
            "name": "t",
            "status": "OK",
            "start_time": NOON.isoformat(),
            "end_time": NOON.isoformat(),
            "duration_ms": 1,
            "created_at": NOON.isoformat(),
        }
        for id in {row["trace_id"] for row in rows}
    ]
    with db.Session() as session, session.begin():
        session.execute(insert(tables[0]).on_conflict_do_nothing(), traces)
        session.execute(insert(tables[1]), [*rows])


def around(at: datetime = NOON, hours: float = 1.0, **of: Any) -> Asked:
    """So many hours before and behind."""
    width = timedelta(hours=hours)
    return Asked(_millis(at - width), _millis(at + width), **of)


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


def totals(panel: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """The figures of the whole range, by key."""
    return {group["key"]: group["totals"] for group in panel["groups"]}


def added_up(panel: dict[str, Any], name: str) -> dict[Any, float]:
    """What the steps of a series come to, by key."""
    return {
        group["key"]: sum(value or 0 for value in group["series"][name])
        for group in panel["groups"]
    }
