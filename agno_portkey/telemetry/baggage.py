"""Spans that bear the tags of the run they are made in."""

from __future__ import annotations

from opentelemetry.processor.baggage import BaggageSpanProcessor

from agno_portkey.telemetry import names

__all__ = ["Bearing"]

_BORNE = frozenset(names.BAGGAGE.values())


class Bearing(BaggageSpanProcessor):
    """Gives each span what its context's baggage says of role, swarm and cost center."""

    def __init__(self) -> None:
        super().__init__(_BORNE.__contains__)
