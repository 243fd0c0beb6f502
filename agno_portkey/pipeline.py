"""The order of the layers, and the innermost one, which talks to the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from time import perf_counter
from typing import TYPE_CHECKING, Any

from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts.check import asks_for_json, contract_layer
from agno_portkey.drivers import Owned
from agno_portkey.errors import BadResponse
from agno_portkey.gates import interlock
from agno_portkey.guardrails import guard_layer
from agno_portkey.routing.answered import capture
from agno_portkey.routing.failures import explain, explain_mid_stream, truncated
from agno_portkey.verdict import Event, tell

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel

__all__ = ["compose", "deltas", "merge"]


def deltas(model: PortkeyModel, call: Call, io: IO) -> Owned[ModelResponse]:
    """The response to `call` as deltas, through just the layers that it needs, outer to inner."""
    layers: list[Layer] = []
    if model.seat is not None and (lock := interlock(model.seat)) is not None:
        layers.append(lock)
    if asks_for_json(call.response_format):
        layers.append(contract_layer)
    if model.guards:
        layers.append(guard_layer(model.guards))
    return Owned(compose(layers, io, lambda innermost: _gateway(model, innermost, io))(call))


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


def compose(layers: list[Layer], io: IO, innermost: Next) -> Next:
    """`layers`, from the outermost to the innermost, round `innermost`."""
    composed = innermost
    for layer in reversed(layers):
        composed = _around(layer, io, composed)
    return composed


def _around(layer: Layer, io: IO, inner: Next) -> Next:
    async def closed_with_me(call: Call) -> Deltas:
        # An inner layer must end with this one, not when the garbage collector finds it.
        opened: list[Owned[ModelResponse]] = []

        def enter(onward: Call) -> Deltas:
            opened.append(Owned(inner(onward)))
            return opened[-1]

        try:
            async with Owned(layer(call, io, enter)) as out:
                async for delta in out:
                    yield delta
        finally:
            for entered in opened:
                await entered.aclose()

    return closed_with_me


async def _gateway(model: PortkeyModel, call: Call, io: IO) -> Deltas:
    """Send the call, pass its deltas on, and tell the observers how it went."""
    started = perf_counter()
    told: dict[str, Any] = {"model": model.id, "stream": call.stream}
    send = _stream if call.stream else _plain
    try:
        async with Owned(send(model, call, io, told)) as out:
            async for delta in out:
                yield delta
    except Exception as error:
        told["error"] = type(error).__name__
        raise
    finally:
        if model.observers:
            _tell(model, call, {**told, "seconds": perf_counter() - started})


async def _plain(model: PortkeyModel, call: Call, io: IO, told: dict[str, Any]) -> Deltas:
    params = model.chat_params(call)
    timer: Any = call.assistant_message.metrics
    timer.start_timer()
    answered: dict[str, Any] = {}
    try:
        with capture() as answered:
            response = await io.create(model, params)
        _require_completion(response, model, answered)
        parsed = model._parse_provider_response(response, response_format=call.response_format)
    except Exception as error:
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    finally:
        timer.stop_timer()
        answered.pop("content_type", None)
        told.update(answered)
    answered["model"] = response.model
    answered["finish_reason"] = response.choices[0].finish_reason
    told.update(answered)
    _note_usage(told, parsed)
    parsed.provider_data = {**(parsed.provider_data or {}), "portkey": answered}
    yield parsed


async def _stream(model: PortkeyModel, call: Call, io: IO, told: dict[str, Any]) -> Deltas:
    params = model.chat_params(call)
    timer: Any = call.assistant_message.metrics
    timer.start_timer()
    stream, answered = await _opened(model, params, io, told)
    reader = _Reader(model, answered)
    try:
        async with Owned(io.iterate(stream)) as chunks:
            async for chunk in chunks:
                delta = reader.read(chunk)
                _note_usage(told, delta)
                yield delta
        reader.require_finish()
    except Exception as error:
        if reader.shown:
            raise explain_mid_stream(error, model_id=model.id) from error
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    finally:
        told.update(reader.answered)
        timer.stop_timer()
        await io.close(stream)


async def _opened(
    model: PortkeyModel, params: dict[str, Any], io: IO, told: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The stream of a call and the gateway's headers, once it has answered that there is one."""
    answered: dict[str, Any] = {}
    try:
        with capture() as answered:
            stream = await io.create(
                model, {**params, "stream": True, "stream_options": {"include_usage": True}}
            )
        kind = answered.get("content_type", "")
        if "text/html" in kind or "application/json" in kind:
            await io.close(stream)
            raise _bad_response(model, answered, f"{kind} in place of a stream")
    except Exception as error:
        raise explain(error, model_id=model.id, base_url=model.gateway_url) from error
    finally:
        answered.pop("content_type", None)
        told.update(answered)
    return stream, answered


class _Reader:
    """Reads the chunks of one stream; holds tool calls back until their stream has finished.

    `answered` goes out by reference, so that what was passed on before learns how it ended;
    `shown` says whether anything of the answer was passed on.
    """

    def __init__(self, model: PortkeyModel, answered: dict[str, Any]) -> None:
        self.answered = answered
        self.shown = False
        self._model = model
        self._tool_calls: list[Any] = []
        self._finish_reason: str | None = None

    def read(self, chunk: Any) -> ModelResponse:
        if getattr(chunk, "model", None):
            self.answered["model"] = chunk.model
        delta = self._model._parse_provider_response_delta(chunk)
        choices = getattr(chunk, "choices", None) or []
        if choices and choices[0].finish_reason:
            self.answered["finish_reason"] = self._finish_reason = choices[0].finish_reason
        if delta.tool_calls:
            self._tool_calls.extend(delta.tool_calls)
            delta.tool_calls = []
        if self._finish_reason is not None and self._tool_calls:
            delta.tool_calls, self._tool_calls = self._tool_calls, []
        if delta.content or delta.tool_calls:
            delta.provider_data = {**(delta.provider_data or {}), "portkey": self.answered}
        if delta.content or delta.tool_calls or delta.reasoning_content or delta.audio:
            self.shown = True
        return delta

    def require_finish(self) -> None:
        if self._finish_reason is not None:
            return
        if self.shown:
            raise truncated(self._model.id, "the stream ended without a finish reason")
        raise _bad_response(self._model, self.answered, "a stream that holds no answer")


def _require_completion(response: Any, model: PortkeyModel, answered: dict[str, Any]) -> None:
    if getattr(response, "choices", None):
        return
    if getattr(response, "error", None):
        what = f"an error in place of an answer: {response.error}"
    elif isinstance(response, str | bytes):
        what = f"{answered.get('content_type') or 'text'} in place of JSON"
    elif hasattr(response, "html-message"):
        # The gateway's wrapping of a page.
        what = "text/html in place of JSON"
    else:
        what = "no choices"
    raise _bad_response(model, answered, what)


def _bad_response(model: PortkeyModel, answered: dict[str, Any], what: str) -> BadResponse:
    if answered.get("provider"):
        told = (
            f"the provider ({answered['provider']}) answered with {what}: check its address and "
            "model, or give the route a fallback"
        )
    else:
        told = (
            f"{model.gateway_url} answered with {what}: check that it is the address of a "
            "Portkey gateway's API (it ends in /v1)"
        )
    return BadResponse(told, model_id=model.id)


def _note_usage(told: dict[str, Any], delta: ModelResponse) -> None:
    usage = delta.response_usage
    if usage is not None:
        told["input_tokens"] = usage.input_tokens
        told["output_tokens"] = usage.output_tokens


def _tell(model: PortkeyModel, call: Call, told: dict[str, Any]) -> None:
    tags = model.tags_of(call.run_response)
    event = Event(
        "call",
        role=tags.get("role"),
        swarm=tags.get("swarm"),
        run_id=call.run_id,
        data={**told, "tags": tags},
    )
    tell(model.observers, event)
