"""The order of the layers round a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

from agno.models.response import ModelResponse

from agno_portkey.cache.layer import cache_layer, keep_layer
from agno_portkey.caching import caching_of
from agno_portkey.calls import IO, Call, Layer, Next, Opens
from agno_portkey.contracts import Known
from agno_portkey.contracts.layer import contract_layer
from agno_portkey.drivers import Owned
from agno_portkey.gates import interlock
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.routing.limits import limit_layer, limited
from agno_portkey.routing.recovery.allowance import allowed
from agno_portkey.routing.recovery.rescue import recovered
from agno_portkey.spans import trace_layer, tracing
from agno_portkey.stopping import stop_layer

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["compose", "deltas", "merge"]


def deltas(model: PortkeyModel, call: Call, io: IO) -> Owned[ModelResponse]:
    """The response to `call` as deltas, through just the layers that it needs, outer to inner."""
    layers: list[Layer] = []
    if (traced := tracing()) is not None:
        layers.append(trace_layer(traced, model))
    io = allowed(io, model.budgets, call)
    brake = model.seat.brake if model.seat is not None else None
    if brake is not None and brake.holds:
        layers.append(stop_layer(brake))
        io = brake.over(io, call.run_id)
    limits = model.seat.limits if model.seat is not None else None
    if limits is not None:
        layers.append(limit_layer(limits, model))
        io = limited(io, limits, call.run_id)
    if model.seat is not None and (lock := interlock(model.seat)) is not None:
        layers.append(lock)
    caching = caching_of(model, call)
    if caching is not None:
        layers.append(keep_layer(caching))
    if (contract := _contract(model, call)) is not None:
        layers.append(contract)
    if model.guards:
        layers.append(_guards(model))
    if caching is not None:
        layers.append(cache_layer(caching))
    return compose(layers, io, lambda innermost: recovered(model, innermost, io))(call)


def _contract(model: PortkeyModel, call: Call) -> Layer | None:
    if call.response_format is None and not model.contracts:
        return None
    noted = model.outputs.of(call.run_id)
    return contract_layer(
        call,
        model.keeping,
        noted=noted.schema if noted else None,
        held=noted is not None,
        known=lambda: _known(model, call),
    )


def _known(model: PortkeyModel, call: Call) -> Known:
    """What the author of an answer was shown."""
    charter = model.seat.charter if model.seat is not None else None
    station = charter.runs.find(call.run_id) if charter is not None else None
    return station.run.known() if station is not None else Known()


def _guards(model: PortkeyModel) -> Layer:
    seat = model.seat
    return guard_layer(
        model.checked_guards,
        observers=model.observers,
        role=seat.role if seat else None,
        swarm=seat.swarm if seat else None,
        kept=model.kept,
        fields=model.fields_of,
    )


def merge(items: Iterable[ModelResponse]) -> ModelResponse:
    """One response from the deltas of a plain call: text joined, usage added, else the last."""
    merged: ModelResponse | None = None
    for item in items:
        if merged is None:
            merged = item
            continue
        for field in fields(item):
            value = getattr(item, field.name)
            if field.name == "content" and isinstance(value, str):
                merged.content = (merged.content or "") + value
            elif field.name == "response_usage" and value and merged.response_usage:
                # An answer that was asked for again took what both took.
                merged.response_usage = merged.response_usage + value
            elif value and field.name not in ("content", "event", "created_at"):
                setattr(merged, field.name, value)
    return merged or ModelResponse()


def compose(layers: list[Layer], io: IO, innermost: Opens) -> Next:
    """`layers`, from the outermost to the innermost, round `innermost`."""

    def sent(call: Call) -> Owned[ModelResponse]:
        return Owned(innermost(call))

    composed: Next = sent
    for layer in reversed(layers):
        composed = _around(layer, io, composed)
    return composed


def _around(layer: Layer, io: IO, inner: Next) -> Next:
    return lambda call: Owned(layer(call, io, inner))
