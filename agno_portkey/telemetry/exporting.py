"""What leaves the process of a span: names, figures and identities that are on a list."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status, StatusCode

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
# Without their descriptions.
_STATUS = {code: Status(code) for code in StatusCode}


class Allowed(SpanExporter):
    """Hands spans on to `exporter` without what is not on the list; a failure is logged.

    Events and descriptions of errors, which quote what they are about, are left out.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export([_allowed(span) for span in spans])
            self._tell(len(spans), failing=result is not SpanExportResult.SUCCESS)
            return result
        except Exception as error:
            self._tell(len(spans), failing=True, error=error)
            return SpanExportResult.FAILURE

    def _tell(self, count: int, *, failing: bool, error: Exception | None = None) -> None:
        """Say once that what is exported is not taken, and once that it is again."""
        if failing is self._failing:
            return
        self._failing = failing
        log, kind = logging.getLogger("agno_portkey"), type(self._exporter).__name__
        if not failing:
            log.warning("telemetry: %s takes spans again", kind)
            return
        if error is not None:
            # Its words may quote a span.
            log.warning(
                "telemetry: %d spans were not exported (%s): until %s takes them they are lost",
                count,
                type(error).__name__,
                kind,
            )
            return
        log.warning(
            "telemetry: %d spans were not exported: nobody takes what %s sends. Check that its "
            "collector runs, at the address that setup was given; until it does spans are lost",
            count,
            kind,
        )

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    # A copy: what the property gives looks each of them up anew.
    attributes: dict[str, Any] = cast("Any", span.attributes).copy()
    counted = attributes.get(names.KIND) in _COUNTED
    kept = {
        name: value
        for name, value in attributes.items()
        if (rule := _rule(name)) is not None
        and (counted or not rule.counts)
        and (_is_text(value, rule) if isinstance(value, str) else _is_figure(value))
    }
    return ReadableSpan(
        name=_named(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        kind=span.kind,
        status=_STATUS[span.status.status_code],
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _named(name: str) -> str:
    """The name of a span, or of its kind where the rest of it can be nobody's name."""
    if _is_name(name):
        return name
    kind = name.split(" ")[0]
    return kind if _is_name(kind) else "span"


class _Rule(NamedTuple):
    """What is asked of the value that goes by a name."""

    counts: bool
    spaces: bool
    said: bool


# There may be any number of names; those of a process are few.
@lru_cache(maxsize=1_024)
def _rule(name: str) -> _Rule | None:
    """None for a name that is not on the list."""
    if name not in _ALLOWED and not name.startswith(names.OURS):
        return None
    return _Rule(counts=name.startswith(_USAGE), spaces=name in _TITLES, said=name in _SAID)


def _is_figure(value: Any) -> bool:
    # Others can't be written, and the spans beside them would be lost with them.
    return isinstance(value, bool | int | float) and abs(value) <= _MOST


def _is_text(text: str, rule: _Rule) -> bool:
    if rule.said and not names.is_code(text):
        return False
    return _is_name(text) and (rule.spaces or " " not in text)


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable()
