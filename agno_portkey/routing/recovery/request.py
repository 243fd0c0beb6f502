"""One request to the gateway: sent, read and parsed; whatever goes wrong is one typed error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from agno.models.response import ModelResponse
from openai.types import CompletionUsage
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

from agno_portkey.calls import IO, Call, Deltas
from agno_portkey.drivers import Owned
from agno_portkey.errors import BadResponse, ContentFiltered, GatewayError, UpstreamFailed
from agno_portkey.routing.answered import capture, named
from agno_portkey.routing.bounded import is_deep
from agno_portkey.routing.failures import explain, reported
from agno_portkey.routing.recovery.patience import Patience
from agno_portkey.routing.unsaid import without_keys

__all__ = ["Sending", "send"]

_FILTERED = "content_filter"
_BROKEN = "error"
# Known of an answer whose model says, in the field that is for it, that it will not answer.
_REFUSED = "refused"


@dataclass
class Sending:
    """What one request is sent with, and what was learnt from it.

    `headers` and `timeout` (an httpx one) go beside the model's own; `patience` and
    `body_timeout` (seconds, for one read) are a stream's.
    `answered` holds the gateway's headers, the model that answered and the finish reason;
    `said` whether any of the answer came.
    """

    headers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: Any = None
    body_timeout: float | None = None
    patience: Patience | None = None
    streamed: bool = False
    answered: dict[str, Any] = field(default_factory=dict)
    said: bool = False
    usage: Any = None
    request: httpx.Request | None = field(default=None, repr=False)

    def params(self, model: Any, call: Call) -> dict[str, Any]:
        """The arguments of the chat completion."""
        params: dict[str, Any] = model.chat_params(call)
        if self.headers:
            params["extra_headers"] = {**params["extra_headers"], **self.headers}
        if self.timeout is not None and "timeout" not in params:
            params["timeout"] = self.timeout
        if self.streamed:
            params["stream"] = True
            params["stream_options"] = {"include_usage": True}
        return params


async def send(model: Any, call: Call, io: IO, sending: Sending) -> Deltas:
    """The deltas of one request; raises the typed error of what went wrong with it."""
    timer: Any = call.assistant_message.metrics
    timer.start_timer()
    try:
        if not sending.streamed:
            answer = await _plain(model, call, io, sending)
            sending.usage = answer.response_usage
            yield answer
            return
        async with Owned(_stream(model, call, io, sending)) as out:
            async for delta in out:
                sending.usage = delta.response_usage or sending.usage
                yield delta
    except Exception as error:
        url, amid = model.gateway_url, sending.said
        raise explain(error, model_id=model.id, base_url=url, amid=amid) from error
    finally:
        timer.stop_timer()


async def _plain(model: Any, call: Call, io: IO, sending: Sending) -> ModelResponse:
    response = await _created(model, call, io, sending)
    _note_usage(getattr(response, "usage", None), model, sending)
    _require_completion(response, model, sending)
    reason = response.choices[0].finish_reason
    sending.answered.update(model=named(response.model), finish_reason=named(reason))
    _require_good_end(reason, model)
    said = response.choices[0].message
    if getattr(said, "refusal", None) and not said.content:
        sending.answered[_REFUSED] = True
    parsed: Any = model._parse_provider_response(response, response_format=call.response_format)
    if call.verbatim and isinstance(said.content, str):
        parsed.content = said.content
    parsed.provider_data = {**(parsed.provider_data or {}), "portkey": sending.answered}
    sending.said = True
    if call.stream and parsed.tool_calls:
        # The host puts a stream's tool calls together from deltas, and takes no others.
        parsed.tool_calls = [
            ChoiceDeltaToolCall.model_validate({**asked, "index": index})
            for index, asked in enumerate(parsed.tool_calls)
        ]
    answer: ModelResponse = parsed
    return answer


async def _stream(model: Any, call: Call, io: IO, sending: Sending) -> Deltas:
    stream = await _created(model, call, io, sending)
    reader = _Reader(model, sending)
    patience = sending.patience or Patience(None, None)
    try:
        async with Owned(io.iterate(model, stream, patience)) as chunks:
            async for chunk in chunks:
                if reader.ended_badly is not None:
                    # What it took is still to come.
                    _note_usage(getattr(chunk, "usage", None), model, sending)
                elif (delta := reader.read(chunk, patience)) is not None:
                    yield delta
        reader.require_finish()
    except Exception:
        if reader.ended_badly is not None:
            raise reader.ended_badly from None
        # Whole is whole: what is lost behind the finish reason is at most the count of tokens.
        if not reader.finished:
            raise
    finally:
        await io.close(stream)


async def _created(model: Any, call: Call, io: IO, sending: Sending) -> Any:
    """What the client made of the answer's beginning; the gateway's headers are noted."""
    heard: dict[str, Any] = {}
    headers: Mapping[str, str] = {}
    try:
        with capture(body_timeout=sending.body_timeout) as heard:
            created = await io.create(model, sending.params(model, call))
    finally:
        headers = heard.pop("headers", headers)
        sending.request = heard.pop("request", None)
        heard.pop("body_timeout", None)
        sending.answered.update(heard)
    # A look-up decodes all headers, so that it is left to those who need it.
    odd = sending.streamed or isinstance(created, str | bytes)
    kind = headers.get("content-type", "") if odd else ""
    if sending.streamed and ("text/html" in kind or "application/json" in kind):
        body = await io.read(created)
        await io.close(created)
        _require_no_error(body, model, sending)
        raise _bad_response(model, sending.answered, f"{kind} in place of a stream")
    if isinstance(created, str | bytes):
        raise _bad_response(model, sending.answered, f"{kind or 'text'} in place of JSON")
    return created


class _Reader:
    """Reads the chunks of one stream; holds tool calls back until their stream has finished.

    `Sending.answered` goes out by reference, so that what was passed on before learns how it
    ended. It gets no keys once it has gone out: whoever was given it may be reading it in another
    thread, as the consumer of a workflow's parallel steps does.
    """

    def __init__(self, model: Any, sending: Sending) -> None:
        self._model = model
        self._sending = sending
        self._tool_calls: list[Any] = []
        self._finish_reason: str | None = None
        self._refused = False
        # What is wrong with the reason that it ended for.
        self.ended_badly: GatewayError | None = None

    @property
    def finished(self) -> bool:
        """Whether the answer came to its end, and a good one."""
        return self._finish_reason not in (None, _FILTERED, _BROKEN)

    def read(self, chunk: Any, patience: Patience) -> ModelResponse | None:
        """What `chunk` says; None where it ends the answer badly."""
        answered = self._sending.answered
        self._note_who(chunk)
        choices = getattr(chunk, "choices", None) or []
        if len(choices) > 1 or (choices and choices[0].index):
            raise _bad_response(self._model, answered, "several answers at once (n > 1)")
        delta: ModelResponse = self._model._parse_provider_response_delta(chunk)
        if delta.content is not None and not isinstance(delta.content, str):
            raise _bad_response(self._model, answered, "a stream whose text is no text")
        if delta.content or delta.tool_calls or delta.reasoning_content or delta.audio:
            patience.heard()
            self._sending.said = True
        if choices and choices[0].finish_reason:
            self._finish_reason = choices[0].finish_reason
            answered["finish_reason"] = named(self._finish_reason)
            patience.heard()
            if self._has_ended_badly(chunk):
                return None
        if delta.tool_calls:
            self._tool_calls.extend(delta.tool_calls)
            delta.tool_calls = []
        if self._finish_reason is not None and self._tool_calls:
            delta.tool_calls, self._tool_calls = self._tool_calls, []
        self._refused |= bool(choices and getattr(choices[0].delta, "refusal", None))
        refused = self._refused and self._finish_reason is not None and not self._sending.said
        if refused:
            answered[_REFUSED] = True
        if delta.content or delta.tool_calls or refused:
            delta.provider_data = {**(delta.provider_data or {}), "portkey": answered}
        return delta

    def _has_ended_badly(self, chunk: Any) -> bool:
        try:
            _require_good_end(self._finish_reason or "", self._model)
        except GatewayError as error:
            self.ended_badly = error
            _note_usage(getattr(chunk, "usage", None), self._model, self._sending)
        return self.ended_badly is not None

    def _note_who(self, chunk: Any) -> None:
        answered = self._sending.answered
        answered.setdefault("model", None)
        answered.setdefault("finish_reason", None)
        if (name := named(getattr(chunk, "model", None))) is not None:
            answered["model"] = name

    def require_finish(self) -> None:
        """Refuse a stream that ended badly, or without a reason: it may lack anything."""
        if self.ended_badly is not None:
            raise self.ended_badly
        if self._finish_reason is not None:
            return
        if self._sending.said:
            raise UpstreamFailed(
                "the stream ended without a finish reason: the answer is not whole",
                model_id=self._model.id,
            )
        raise _bad_response(self._model, self._sending.answered, "a stream that holds no answer")


def _require_good_end(reason: str | None, model: Any) -> None:
    if reason == _FILTERED:
        raise ContentFiltered(
            "the provider's content filter cut the answer off: rephrase the prompt",
            model_id=model.id,
        )
    if reason == _BROKEN:
        raise UpstreamFailed(
            "the provider broke the answer off with an error (ask again, or give the route a "
            "fallback)",
            model_id=model.id,
        )


def _require_no_error(body: bytes, model: Any, sending: Sending) -> None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return
    if not isinstance(said, dict) or is_deep(said):
        return
    with suppress(ValueError):
        _note_usage(CompletionUsage.model_validate(said.get("usage")), model, sending)
    if isinstance(said.get("error"), dict):
        raise reported(without_keys(said["error"], sending.request), model_id=model.id)


def _note_usage(usage: Any, model: Any, sending: Sending) -> None:
    """Keep what an answer took, also one that is refused: it is paid for."""
    if usage is not None:
        with suppress(AttributeError, TypeError):
            sending.usage = model._get_metrics(usage)


def _require_completion(response: Any, model: Any, sending: Sending) -> None:
    if getattr(response, "choices", None):
        return
    if isinstance(error := getattr(response, "error", None), dict):
        raise reported(without_keys(error, sending.request), model_id=model.id)
    # The gateway wraps a page so.
    page = hasattr(response, "html-message")
    what = "text/html in place of JSON" if page else "no choices"
    raise _bad_response(model, sending.answered, what)


def _bad_response(model: Any, answered: dict[str, Any], what: str) -> BadResponse:
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
