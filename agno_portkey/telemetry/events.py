"""What observers hear of, as spans: guards, contracts, gates, the cache and the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Status, StatusCode, Tracer

from agno_portkey.telemetry import names
from agno_portkey.verdict import Event

__all__ = ["SPANS_OF_THEIR_OWN", "EventSpans"]

# Calls and attempts have spans that are open while they last.
SPANS_OF_THEIR_OWN = ("call", "attempt")
# The field of an event's data that tells it from others of its kind, where no verdict names who
# decided. All of them are names.
_CALLED = {
    "contract": "rung",
    "cache": "outcome",
    "embedding": "model",
    "batch": "what",
    "circuit": "target",
    "tool": "tool",
}
# The texts in an event's data that are names, states or digests; any other may be someone's words.
_NAMES = (
    *("before", "cache_status", "decision", "error", "finish_reason", "mode", "model", "outcome"),
    *("plan_digest", "provider", "rescued_by", "rung", "scope", "side", "stage", "state"),
    *("target", "tool", "what", "would"),
)
# A refusal of these is an outcome like any other, and theirs to say.
_DECISIONS = ("gate", "critique", "judgement", "approval", "adjustment")


class EventSpans:
    """An observer that makes a span of each event, in the span that is current then."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, event: Event, /) -> None:
        ended = time.time_ns()
        seconds = event.data.get("seconds")
        lasted = int(seconds * 1e9) if isinstance(seconds, int | float) else 0
        span = self._tracer.start_span(
            _name(event), start_time=ended - lasted, attributes=_attributes(event)
        )
        if _refused(event) and event.kind not in _DECISIONS and event.data.get("mode") != "observe":
            span.set_attribute(names.ERROR_TYPE, "refused")
            span.set_status(Status(StatusCode.ERROR))
        elif error := event.data.get("error"):
            span.set_attribute(names.ERROR_TYPE, str(error))
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)


def _name(event: Event) -> str:
    called = event.data.get(_CALLED.get(event.kind, ""))
    if called is None and event.verdict is not None:
        called = event.verdict.source
    if called is None:
        return event.kind
    # The source of a contract's verdict begins with that word.
    return str(called) if str(called).startswith(f"{event.kind} ") else f"{event.kind} {called}"


def _refused(event: Event) -> bool:
    return event.verdict is not None and not event.verdict.passed


def _attributes(event: Event) -> dict[str, Any]:
    told: dict[str, Any] = {names.KIND: event.kind}
    told |= {f"{names.OURS}{name}": v for name, v in event.data.items() if _is_fact(name, v)}
    tags = event.data.get("tags")
    of = {**(tags if isinstance(tags, Mapping) else {})}
    of |= {k: v for k, v in (("role", event.role), ("swarm", event.swarm)) if v}
    told |= {on: of[name] for name, on in names.BAGGAGE.items() if name in of}
    if event.run_id is not None:
        told[names.RUN_ID] = event.run_id
    if (verdict := event.verdict) is not None:
        prefix = "gate." if event.kind in ("gate", "declined") else names.OURS
        told[f"{prefix}decision"] = "passed" if verdict.passed else "refused"
        told[f"{names.OURS}source"] = verdict.source
        if verdict.score is not None:
            told[f"{prefix}score"] = float(verdict.score)
    return told


def _is_fact(name: str, value: Any) -> bool:
    return isinstance(value, bool | int | float) or (name in _NAMES and isinstance(value, str))
