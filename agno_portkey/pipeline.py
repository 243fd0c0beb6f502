"""The order of the layers, and the innermost one, which talks to the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import fields
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts import contract_layer, schema_of
from agno_portkey.errors import BadResponse
from agno_portkey.gates import interlock
from agno_portkey.guardrails import guard_layer
from agno_portkey.routing.answered import capture, read_headers
from agno_portkey.routing.failures import explain, explain_mid_stream, truncated
from agno_portkey.verdict import Event, tell

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["deltas", "merge"]


def deltas(model: PortkeyModel, call: Call, io: IO) -> Deltas:
    """The response to `call` as deltas, through just the layers that it needs, outer to inner."""
    layers: list[Layer] = []
    if model.seat is not None and (lock := interlock(model.seat)) is not None:
        layers.append(lock)
    if schema_of(call.response_format) is not None:
        layers.append(contract_layer)
    if model.guards:
        layers.append(guard_layer(model.guards))
    return _compose(layers, io, lambda innermost: _gateway(model, innermost, io))(call)


def merge(items: Iterable[ModelResponse]) -> ModelResponse:
    """One response from the deltas of a plain call: text joined, of all else the last."""
    merged: ModelResponse | None = None
    for item in items:
        if merged is None:
            merged = item
            continue
        for field in fields(item):
            value = getattr(item, field.name)
            if field.name == "content" and isinstance(value, str):
                merged.content = (merged.content or "") + value
            elif value and field.name not in ("content", "event", "created_at"):
                setattr(merged, field.name, value)
    return merged or ModelResponse()


def _compose(layers: list[Layer], io: IO, innermost: Next) -> Next:
    composed = innermost
    for layer in reversed(layers):
        composed = _around(layer, io, composed)
    return composed


def _around(layer: Layer, io: IO, inner: Next) -> Next:
    async def closed_with_me(call: Call) -> Deltas:
        # An inner layer must end with this one, not when the garbage collector finds it.
        opened: list[AsyncGenerator[ModelResponse, None]] = []

        def enter(onward: Call) -> Deltas:
            generator = cast("AsyncGenerator[ModelResponse, None]", inner(onward))
            opened.append(generator)
            return generator

        try:
            async with aclosing(
                cast("AsyncGenerator[ModelResponse, None]", layer(call, io, enter))
            ) as out:
                async for delta in out:
                    yield delta
        finally:
            for generator in opened:
                await generator.aclose()

    return closed_with_me


async def _gateway(model: PortkeyModel, call: Call, io: IO) -> Deltas:
    """Send the call, pass its deltas on, and tell the observers how it went."""
    started = perf_counter()
    told: dict[str, Any] = {"model": model.id, "stream": call.stream}
    send = _stream if call.stream else _plain
    try:
        async with aclosing(
            cast("AsyncGenerator[ModelResponse, None]", send(model, call, io, told))
        ) as out:
            async for delta in out:
                yield delta
    except Exception as error:
        told["error"] = type(error).__name__
        raise
    finally:
        told["seconds"] = perf_counter() - started
        _tell(model, call, told)


async def _plain(model: PortkeyModel, call: Call, io: IO, told: dict[str, Any]) -> Deltas:
    params = model.chat_params(call)
    told["tags"] = model.tags_of(call.run_response)
    call.assistant_message.metrics.start_timer()
    try:
        with capture() as answered:
            response = await io.create(model, params)
        _require_completion(response, model, answered.get("content_type", ""))
        parsed = model._parse_provider_response(response, response_format=call.response_format)
    except Exception as error:
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    finally:
        call.assistant_message.metrics.stop_timer()
    answered.pop("content_type", None)
    answered["model"] = response.model
    answered["finish_reason"] = response.choices[0].finish_reason
    told.update(answered)
    _note_usage(told, parsed)
    parsed.provider_data = {**(parsed.provider_data or {}), "portkey": answered}
    yield parsed


async def _stream(model: PortkeyModel, call: Call, io: IO, told: dict[str, Any]) -> Deltas:
    params = model.chat_params(call)
    told["tags"] = model.tags_of(call.run_response)
    call.assistant_message.metrics.start_timer()
    shown = False
    try:
        stream = await io.create(
            model, {**params, "stream": True, "stream_options": {"include_usage": True}}
        )
        _require_stream(stream, model)
    except Exception as error:
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    answered = read_headers(stream.response.headers)
    told.update(answered)
    reader = _Reader(model, answered)
    try:
        async with aclosing(cast("AsyncGenerator[Any, None]", io.iterate(stream))) as chunks:
            async for chunk in chunks:
                for delta in reader.read(chunk):
                    _note_usage(told, delta)
                    shown = True
                    yield delta
        reader.require_finish()
    except Exception as error:
        if shown:
            raise explain_mid_stream(error, model_id=model.id) from error
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    finally:
        told.update(answered)
        call.assistant_message.metrics.stop_timer()
        await io.close(stream)


class _Reader:
    """Reads the chunks of one stream; holds tool calls back until their stream has finished."""

    def __init__(self, model: PortkeyModel, answered: dict[str, Any]) -> None:
        self._model = model
        self._answered = answered
        self._tool_calls: list[Any] = []
        self._finish_reason: str | None = None

    def read(self, chunk: Any) -> Iterable[ModelResponse]:
        if getattr(chunk, "model", None):
            self._answered["model"] = chunk.model
        delta = self._model._parse_provider_response_delta(chunk)
        choices = getattr(chunk, "choices", None) or []
        if choices and choices[0].finish_reason:
            self._finish_reason = choices[0].finish_reason
        if delta.tool_calls:
            self._tool_calls.extend(delta.tool_calls)
            delta.tool_calls = []
        if self._finish_reason is not None and self._tool_calls:
            delta.tool_calls, self._tool_calls = self._tool_calls, []
        if self._finish_reason is not None:
            # By reference: what was passed on before learns of it too.
            self._answered["finish_reason"] = self._finish_reason
        if delta.content or delta.tool_calls:
            delta.provider_data = {**(delta.provider_data or {}), "portkey": self._answered}
        return (delta,)

    def require_finish(self) -> None:
        if self._finish_reason is None:
            raise truncated(self._model.id, "the stream ended without a finish reason")


def _require_completion(response: Any, model: PortkeyModel, content_type: str) -> None:
    if getattr(response, "choices", None):
        return
    if getattr(response, "error", None):
        what = f"an error in place of an answer: {response.error}"
    elif isinstance(response, str | bytes):
        what = f"{content_type or 'text'} in place of JSON"
    else:
        what = "no choices"
    raise BadResponse(
        f"{model.gateway_url} answered 200 with {what}: check that it is the address of a "
        "Portkey gateway's API (it ends in /v1)",
        model_id=model.id,
    )


def _require_stream(stream: Any, model: PortkeyModel) -> None:
    response = getattr(stream, "response", None)
    kind = response.headers.get("content-type", "") if response is not None else type(stream)
    if response is None or "text/html" in kind:
        raise BadResponse(
            f"{model.gateway_url} answered a streamed call with {kind}: check that it is the "
            "address of a Portkey gateway's API (it ends in /v1)",
            model_id=model.id,
        )


def _note_usage(told: dict[str, Any], delta: ModelResponse) -> None:
    usage = delta.response_usage
    if usage is not None:
        told["input_tokens"] = usage.input_tokens
        told["output_tokens"] = usage.output_tokens


def _tell(model: PortkeyModel, call: Call, told: dict[str, Any]) -> None:
    if not model.observers:
        return
    tags = told.get("tags") or {}
    tell(
        model.observers,
        Event(
            "call",
            role=tags.get("role"),
            swarm=tags.get("swarm"),
            run_id=call.run_id,
            data=told,
        ),
    )
