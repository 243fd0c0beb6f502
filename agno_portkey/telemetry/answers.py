"""What an attempt takes over of an answer, without all that OpenLIT would make of it.

OpenLIT copies each answer and each chunk of a stream, puts messages and tools into its own forms,
hashes them, and sets forty attributes, of which an attempt has ten. Its functions are changed for
attempts alone: what it sees outside of calls is all its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from openai import NotGiven, Omit

from agno_portkey.telemetry import names

__all__ = ["take_over"]

# What OpenLIT says of a request that leaves it to the provider.
_ASKED = {"temperature": 1.0, "top_p": 1.0, "max_tokens": None}
_EACH_TOKEN = "gen_ai.server.time_per_output_token"  # noqa: S105 - no password


def take_over(kind: type[Any], *modules: Any) -> None:
    """Have OpenLIT's `modules` hand answers on to spans of `kind`, by its `take`."""
    for module in modules:
        for name, changed in _CHANGED.items():
            setattr(module, name, changed(getattr(module, name), kind))


def _begun(process: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    def processed(span: Any, operation: Any, address: Any, port: Any, model: Any, *of: Any) -> None:
        if not isinstance(span, kind):
            process(span, operation, address, port, model, *of)
            return
        *_, streamed, _version = of
        said = {names.REQUEST_MODEL: model or None, "gen_ai.request.stream": streamed}
        span.take({**said, "server.address": address, "server.port": port})

    return processed


def _plain(process: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    def processed(*, response: Any, span: Any, **of: Any) -> Any:
        if not isinstance(span, kind):
            return process(response=response, span=span, **of)
        said = {"gen_ai.response.id": getattr(response, "id", None), _EACH_TOKEN: 0}
        span.take({**_asked(of), **said, **_used(getattr(response, "usage", None))})
        return response

    return processed


def _chunk(process: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    def processed(scope: Any, chunk: Any) -> None:
        if not isinstance(scope._span, kind):
            process(scope, chunk)
            return
        scope._timestamps.append(time.time())
        scope._response_id = getattr(chunk, "id", None) or scope._response_id
        if (usage := getattr(chunk, "usage", None)) is not None:
            scope._usage = usage

    return processed


def _streamed(process: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    def processed(scope: Any, **of: Any) -> None:
        if not isinstance(scope._span, kind):
            process(scope, **of)
            return
        times = scope._timestamps
        between = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0
        said = {"gen_ai.response.id": scope._response_id or None, _EACH_TOKEN: between}
        # What a stream has not is looked for in what it wraps.
        used = _used(vars(scope).get("_usage"))
        scope._span.take({**_asked(scope._kwargs), **said, **used})

    return processed


def _asked(params: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: params.get(name) for name in _ASKED}
    return {
        f"gen_ai.request.{name}": _ASKED[name]
        if value is None or isinstance(value, NotGiven | Omit)
        else value
        for name, value in given.items()
    }


def _used(usage: Any) -> dict[str, Any]:
    """Tokens, as the provider counts them; nothing is guessed where it does not."""
    if usage is None:
        return {}
    details = getattr(usage, "prompt_tokens_details", None)
    return {
        f"{names.OURS}input_tokens": getattr(usage, "prompt_tokens", None),
        f"{names.OURS}output_tokens": getattr(usage, "completion_tokens", None),
        f"{names.OURS}cache_read.input_tokens": getattr(details, "cached_tokens", None) or 0,
        f"{names.OURS}cache_creation.input_tokens": getattr(details, "cache_write_tokens", None)
        or 0,
    }


_CHANGED = {
    "set_openai_request_span_attributes": _begun,
    "process_chat_response": _plain,
    "process_chat_chunk": _chunk,
    "process_streaming_chat_response": _streamed,
}
