"""The runs behind a figure, and the spans of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, and_, case, func, select

from agno_portkey.telemetry import names
from agno_portkey.telemetry.dashboard.figures import Read, count_of, sum_of
from agno_portkey.telemetry.dashboard.panels import Panel
from agno_portkey.telemetry.dashboard.points import TABLE, attributes_of, point_of
from agno_portkey.telemetry.dashboard.ranges import Asked
from agno_portkey.telemetry.told import facts_of, placed
from agno_portkey.verdict import shown

__all__ = ["runs_behind", "waterfall"]

_C = TABLE.c
# Runs of one answer, and spans of one run.
_RUNS, _SPANS = 50, 2_000


def runs_behind(
    read: Read, panel: Panel, asked: Asked, by: str, key: str | None, name: str | None
) -> dict[str, Any]:
    """The newest traces with points of `panel` under `key` (None: any), the slowest call first.

    `name` is that of a figure, which narrows them down: an outcome, or a decision.
    """
    where = [asked.where(*panel.kinds)]
    if panel.where is not None:
        where.append(panel.where)
    column = _C[by] if panel.key is None and "call" in panel.kinds else panel.key
    if key is not None and column is not None:
        where.append(func.coalesce(column, "") == key)
    if name is not None:
        where.append(func.coalesce(_C.outcome, _C.decision, "") == name)
    behind = select(_C.trace_id, func.max(_C.ms).label("slowest"), func.max(_C.at).label("newest"))
    grouped = behind.where(and_(*where)).group_by(_C.trace_id)
    slow_first = "call" in panel.kinds or "run" in panel.kinds
    order = func.max(_C.ms if slow_first else _C.at).desc()
    found = [row[0] for row in read(grouped.order_by(order, _C.trace_id).limit(_RUNS + 1))]
    told = {row.trace_id: _run(row) for row in read(_summed(found[:_RUNS]))} if found else {}
    return {"runs": [told[id] for id in found if id in told], "more": len(found) > _RUNS}


def _summed(traces: list[str]) -> Any:
    is_run = _C.kind == "run"

    def of_run(column: Any) -> Any:
        return func.max(case((is_run, column)))

    return (
        select(
            _C.trace_id,
            func.min(_C.at).label("at"),
            func.coalesce(of_run(_C.role), func.max(_C.role)).label("role"),
            func.coalesce(of_run(_C.swarm), func.max(_C.swarm)).label("swarm"),
            of_run(_C.outcome).label("outcome"),
            func.coalesce(of_run(_C.ms), func.max(_C.ms)).label("ms"),
            func.count().label("spans"),
            count_of(_C.error_type.is_not(None)).label("errors"),
            sum_of(_C.cost).label("cost"),
            (sum_of(_C.input_tokens) + sum_of(_C.output_tokens)).label("tokens"),
        )
        .where(_C.trace_id.in_(traces))
        .group_by(_C.trace_id)
    )


def _run(row: Any) -> dict[str, Any]:
    counts = ("at", "spans", "errors", "cost", "tokens")
    told = dict(row._mapping)
    return {**told, **{name: int(told[name] or 0) for name in counts}, "ms": float(told["ms"])}


@dataclass(frozen=True, slots=True)
class _Span:
    """A span of Agno's table, as it is placed and told."""

    span_id: str
    parent_span_id: str | None
    start_time: int
    ms: float
    row: Mapping[str, Any]


def waterfall(read: Read, spans: Table, trace_id: str) -> dict[str, Any] | None:
    """The spans of a trace, each behind the one it stands below; None where there is no such.

    `start` is in milliseconds since `at`, when the first of them began.
    """
    wanted = select(spans).where(spans.c.trace_id == trace_id).order_by(spans.c.start_time)
    rows = [dict(row._mapping) for row in read(wanted.limit(_SPANS + 1))]
    if not rows:
        return None
    found = [_span(row) for row in rows[:_SPANS]]
    at = min(span.start_time for span in found)
    depths: dict[str | None, int] = {None: -1}
    told: list[dict[str, Any]] = []
    for span, above in _tree_order([*placed(found)]):
        depths[span.span_id] = depths[above] + 1
        told.append(_shown(span, above, depths[span.span_id], (span.start_time - at) / 1_000))
    return {
        "trace_id": trace_id,
        "at": at // 1_000,
        "ms": max(each["start"] + each["ms"] for each in told),
        "spans": told,
        "more": len(rows) > _SPANS,
    }


def _tree_order(found: list[tuple[_Span, str | None]]) -> list[tuple[_Span, str | None]]:
    """What stands below a span right behind it."""
    below: dict[str | None, list[tuple[_Span, str | None]]] = {}
    for each in found:
        below.setdefault(each[1], []).append(each)
    told: list[tuple[_Span, str | None]] = []
    left = below.pop(None, [])[::-1]
    while left:
        told.append(left.pop())
        left.extend(below.pop(told[-1][0].span_id, [])[::-1])
    return told


def _span(row: Mapping[str, Any]) -> _Span:
    point = point_of(row)
    return _Span(
        str(row["span_id"]),
        None if row["parent_span_id"] is None else str(row["parent_span_id"]),
        # To the microsecond: what is quick begins within one millisecond.
        _micros(row["start_time"], point["at"]),
        point["ms"],
        row,
    )


def _micros(said: Any, at: int) -> int:
    try:
        began = datetime.fromisoformat(str(said))
    except ValueError:
        return at * 1_000
    began = began if began.tzinfo else began.replace(tzinfo=UTC)
    return round(began.timestamp() * 1_000_000)


def _shown(span: _Span, above: str | None, depth: int, start: float) -> dict[str, Any]:
    said = attributes_of(span.row["attributes"])
    kind = said.get(names.KIND) or said.get(names.OPERATION) or "other"
    return {
        "id": span.span_id,
        "parent": above,
        "depth": depth,
        "name": shown(str(span.row["name"])),
        "kind": shown(str(kind)),
        "start": round(start, 3),
        "ms": round(span.ms, 3),
        "failed": span.row["status_code"] == "ERROR",
        "facts": facts_of(said),
    }
