"""What leaves the process of a span: names, figures and identities that are on a list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from agno_portkey.telemetry import names

__all__ = ["Allowed"]

# Texts in which there may be spaces: what users of this package call their own things.
_TITLES = frozenset(
    {
        "gen_ai.agent.name",
        "gen_ai.tool.name",
        "gen_ai.workflow.name",
        "gen_ai.data_source.id",
        *(f"{names.OURS}{name}" for name in ("role", "swarm", "cost_center", "source", "stage")),
    }
)
_ALLOWED = _TITLES | {
    names.OPERATION,
    names.REQUEST_MODEL,
    names.RESPONSE_MODEL,
    names.PROVIDER,
    names.INPUT_TOKENS,
    names.OUTPUT_TOKENS,
    names.COST,
    names.FIRST_TOKEN,
    names.SESSION_ID,
    names.AGENT_ID,
    names.ERROR_TYPE,
    "gate.decision",
    "gate.score",
    "gen_ai.request.max_tokens",
    "gen_ai.request.stream",
    "gen_ai.request.temperature",
    "gen_ai.request.top_p",
    "gen_ai.response.id",
    "gen_ai.server.time_per_output_token",
    "gen_ai.tool.call.id",
    "gen_ai.tool.type",
    "server.address",
    "server.port",
}
# Those that are whatever a provider says.
_SAID = (names.RESPONSE_MODEL, "gen_ai.response.id", "gen_ai.tool.call.id")
# Only their spans count tokens: what others say of them was counted before, or is of a member.
_COUNTED = ("call",)
_USAGE = "gen_ai.usage."
# Characters: longer is nobody's name.
_LONGEST = 200
# Of figures: what a collector and a database can have.
_MOST = 2**63 - 1


class Allowed(SpanExporter):
    """Hands spans on to `exporter` without what is not on the list; a failure is logged.

    Events and descriptions of errors, which quote what they are about, are left out.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return self._exporter.export([_allowed(span) for span in spans])
        except Exception as error:
            # Its words may quote a span.
            kind = type(error).__name__
            logging.getLogger("agno_portkey").warning(
                "telemetry: %d spans were not exported (%s)", len(spans), kind
            )
            return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    counted = attributes.get(names.KIND) in _COUNTED
    kept = {
        name: value
        for name, value in attributes.items()
        if _is_allowed(name, value) and (counted or not name.startswith(_USAGE))
    }
    return ReadableSpan(
        name=_named(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _named(name: str) -> str:
    """The name of a span, or of its kind where the rest of it can be nobody's name."""
    kind = name.split(" ")[0]
    return next((each for each in (name, kind) if _is_name(each, spaces=True)), "span")


def _is_allowed(name: str, value: Any) -> bool:
    if name not in _ALLOWED and not name.startswith(names.OURS):
        return False
    if isinstance(value, bool | int | float):
        # Others can't be written, and the spans beside them would be lost with them.
        return abs(value) <= _MOST
    if name in _SAID and not names.is_code(str(value)):
        return False
    return isinstance(value, str) and _is_name(value, spaces=name in _TITLES)


def _is_name(text: str, *, spaces: bool) -> bool:
    return len(text) <= _LONGEST and text.isprintable() and (spaces or " " not in text)
