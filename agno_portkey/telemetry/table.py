"""Agno's own tables of traces and spans, where AgentOS finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from agno.db.base import BaseDb
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.tracing.schemas import Span, create_trace_from_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

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

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._statements is None:
            self._statements = self._prepared()
        begun, ended, each = self._statements
        rows = [Span.from_otel_span(_bridged(span)) for span in spans]
        traces = [(_trace(of), any(span.parent_span_id is None for span in of)) for of in _by(rows)]
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
        return (
            insert.on_conflict_do_nothing(),
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


def _trace(rows: list[Span]) -> dict[str, Any]:
    # An attempt that failed does not make its run a failure.
    root = [row for row in rows if row.parent_span_id is None]
    told = _row(create_trace_from_spans(root or rows))
    return {name: value for name, value in told.items() if name not in _COUNTED}


def _row(of: Any) -> dict[str, Any]:
    """What Agno makes of it, without a deep copy of all that it holds."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in vars(of).items()
    }


def _bridged(span: ReadableSpan) -> ReadableSpan:
    told = dict(span.attributes or {})
    own = {column: told[name] for name, column in _COLUMNS.items() if name in told}
    kind = _KINDS.get(str(told.get(names.OPERATION)))
    kind = kind or _KINDS_OF_OURS.get(str(told.get(names.KIND)), "CHAIN")
    attributes = {**told, **own, "openinference.span.kind": kind}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
    )
