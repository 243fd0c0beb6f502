"""Spans that bear the tags of the run they are made in."""

from __future__ import annotations

from opentelemetry.baggage import get_all
from opentelemetry.context import Context
from opentelemetry.processor.baggage import BaggageSpanProcessor
from opentelemetry.trace import Span

from agno_portkey.telemetry import names

__all__ = ["Bearing"]

_BORNE = frozenset(names.BAGGAGE.values())


class Bearing(BaggageSpanProcessor):
    """Gives each span what its context's baggage says of role, swarm and cost center."""

    def __init__(self) -> None:
        super().__init__(_BORNE.__contains__)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        # All at once: each attribute that is set alone takes a lock of its own.
        if borne := {k: str(v) for k, v in get_all(parent_context).items() if k in _BORNE}:
            span.set_attributes(borne)
