"""Agno's own tables of traces and spans, where AgentOS finds them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from agno.db.base import BaseDb
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.tracing.schemas import Span, create_trace_from_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sqlalchemy import Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry import names

__all__ = ["SpanTable"]

# What AgentOS's columns are filled from, and what OpenInference calls each kind of span.
_COLUMNS = {
    names.RUN_ID: "agno.run.id",
    names.SESSION_ID: "session.id",
    names.AGENT_ID: "agno.agent.id",
    names.TEAM_ID: "agno.team.id",
    names.WORKFLOW_ID: "agno.workflow.id",
    names.REQUEST_MODEL: "llm.model_name",
    names.INPUT_TOKENS: "llm.token_count.prompt",
    names.OUTPUT_TOKENS: "llm.token_count.completion",
    "gen_ai.tool.name": "tool.name",
}
_KINDS = {
    "chat": "LLM",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "retrieval": "RETRIEVER",
    "embeddings": "EMBEDDING",
}
_KINDS_OF_OURS = {"guard": "GUARDRAIL", "gate": "EVALUATOR", "embedding": "EMBEDDING"}
# Whose a trace is, in its columns: its outermost run's, where a request stands above that.
_WHOSE = {
    "run_id": "agno.run.id",
    "session_id": "session.id",
    "agent_id": "agno.agent.id",
    "team_id": "agno.team.id",
    "workflow_id": "agno.workflow.id",
}
# Agno counts them when it reads.
_COUNTED = ("total_spans", "error_count")


class SpanTable(SpanExporter):
    """Writes spans, and a row for each trace, into an Agno `SqliteDb` or `PostgresDb`.

    A batch is one transaction: Agno's own calls make one of each trace and compile each statement
    anew, which takes several times what the run did. A trace is what its first span says: while
    that lasts there is a row with the name of another. Any other database is refused with a
    ConfigurationError.
    """

    def __init__(self, db: BaseDb) -> None:
        if not isinstance(db, SqliteDb | PostgresDb):
            raise ConfigurationError(f"db: Agno's SqliteDb or PostgresDb, not {type(db).__name__}")
        self._db: Any = db
        self._insert: Any = sqlite.insert if isinstance(db, SqliteDb) else postgresql.insert
        self._statements: tuple[Any, Any, Any] | None = None
        self._process = os.getpid()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._process != os.getpid():
            # A fork has its parent's connections, on which the parent goes on to talk.
            self._db.db_engine.dispose(close=False)
            self._process = os.getpid()
        if self._statements is None:
            try:
                self._statements = self._prepared()
            except SQLAlchemyError:
                # Another process may have made the tables at the same time: they are there now.
                self._statements = self._prepared()
        begun, ended, each = self._statements
        written = datetime.now(UTC)
        rows = [_bridged(span, written) for span in spans]
        first = {row.span_id for row, span in zip(rows, spans, strict=True) if _is_first(span)}
        traces = [(_trace(of, first), any(row.span_id in first for row in of)) for of in _by(rows)]
        with self._db.Session() as session, session.begin():
            for statement, whole in ((begun, False), (ended, True)):
                if told := [trace for trace, has_root in traces if has_root is whole]:
                    session.execute(statement, told)
            session.execute(each, [_row(row) for row in rows])
        return SpanExportResult.SUCCESS

    def _prepared(self) -> tuple[Any, Any, Any]:
        # A span's row refers to its trace's: that table is made first.
        traces, spans = (self._table(name) for name in ("traces", "spans"))
        insert = self._insert(traces)
        told = {
            column.name: insert.excluded[column.name]
            for column in traces.columns
            if column.name not in ("trace_id", "created_at")
        }
        found = {name: func.coalesce(traces.c[name], insert.excluded[name]) for name in _WHOSE}
        told |= {name: func.coalesce(insert.excluded[name], traces.c[name]) for name in _WHOSE}
        return (
            insert.on_conflict_do_update(index_elements=["trace_id"], set_=found),
            insert.on_conflict_do_update(index_elements=["trace_id"], set_=told),
            self._insert(spans).on_conflict_do_nothing(),
        )

    def _table(self, name: str) -> Table:
        table: Table = self._db._get_table(name, create_table_if_not_found=True)
        return table

    def shutdown(self) -> None:
        """The database is its owner's."""


def _by(rows: Iterable[Span]) -> list[list[Span]]:
    """The rows of each trace."""
    found: dict[str, list[Span]] = {}
    for row in rows:
        found.setdefault(row.trace_id, []).append(row)
    return [*found.values()]


def _is_first(span: ReadableSpan) -> bool:
    """Whether nothing in this process stands above `span`: the caller of a service has its own."""
    return span.parent is None or span.parent.is_remote


def _trace(rows: list[Span], first: set[str]) -> dict[str, Any]:
    # An attempt that failed does not make its run a failure.
    root = [row for row in rows if row.span_id in first]
    root.sort(key=lambda row: (row.parent_span_id is not None, row.start_time))
    told = _row(create_trace_from_spans(root[:1] or rows))
    for run in [row.attributes for row in rows if row.attributes.get(names.OUTERMOST)][:1]:
        told |= {name: told[name] or run.get(on) for name, on in _WHOSE.items()}
    return {name: value for name, value in told.items() if name not in _COUNTED}


def _row(of: Any) -> dict[str, Any]:
    """What Agno makes of it, without a deep copy of all that it holds."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(of).items()
    }


def _bridged(span: ReadableSpan, written: datetime) -> Span:
    """Agno's row of `span`, which its own making of takes several times as long."""
    told: dict[str, Any] = dict(span.attributes or {})
    kind = _KINDS.get(str(told.get(names.OPERATION)))
    kind = kind or _KINDS_OF_OURS.get(str(told.get(names.KIND)), "CHAIN")
    told |= {column: told[name] for name, column in _COLUMNS.items() if name in told}
    told["openinference.span.kind"] = kind
    its: Any = span.context
    began = span.start_time or 0
    ended = span.end_time or began
    return Span(
        span_id=f"{its.span_id:016x}",
        trace_id=f"{its.trace_id:032x}",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        span_kind=span.kind.name,
        status_code=span.status.status_code.name,
        status_message=span.status.description,
        start_time=datetime.fromtimestamp(began / 1e9, UTC),
        end_time=datetime.fromtimestamp(ended / 1e9, UTC),
        duration_ms=int((ended - began) / 1e6),
        attributes=told,
        created_at=written,
    )
