"""Takes the keys of a request out of what is told of its failure: words, and variables of frames.

A traceback that shows the variables of its frames would show what the HTTP libraries were about to
send, and a provider may quote the key that it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar, cast

import httpx
import openai

from agno_portkey.routing.bounded import is_deep
from agno_portkey.routing.unkeyed import texts_of_secrets
from agno_portkey.secrets.hidden import Hidden

__all__ = ["SENT", "forget_variables", "hush", "without_keys"]

_T = TypeVar("_T")

_HTTP = frozenset({"anyio", "h11", "httpcore", "httpx", "openai"})
_HEADERS = ("authorization", "x-portkey-api-key", "x-portkey-virtual-key")
_CONFIG = "x-portkey-config"
# Of a request: the values of the secrets that it was sent with.
SENT = "agno_portkey.sent"
_SHORTEST = 8
_HERE = "[key]"


def forget_variables(error: BaseException) -> None:
    """Drop the variables of the frames of HTTP libraries that `error` has come through."""
    seen: set[int] = set()
    told: BaseException | None = error
    while told is not None and id(told) not in seen:
        seen.add(id(told))
        trace: TracebackType | None = told.__traceback__
        while trace is not None:
            frame, trace = trace.tb_frame, trace.tb_next
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _HTTP:
                with suppress(RuntimeError):  # it still runs
                    frame.clear()
        told = told.__cause__ or told.__context__


def hush(error: openai.APIError) -> None:
    """Take the keys that went out out of what a client's error says."""
    message = without_keys(error.message, error.request)
    if message != error.message:
        error.message, error.args = message, (message,)
    error.body = without_keys(error.body, error.request) if not is_deep(error.body) else None


def without_keys(said: _T, request: httpx.Request | None) -> _T:
    """`said`, text or plain JSON, without the keys that `request` was sent with."""
    if request is None:
        return said
    keys = sorted(set(_keys_of(request)), key=len, reverse=True)
    return cast("_T", _cleaned(said, keys))


def _cleaned(said: Any, keys: Sequence[str]) -> Any:
    if isinstance(said, str):
        for key in keys:
            said = said.replace(key, _HERE)
        return said
    if isinstance(said, Mapping):
        return {_cleaned(name, keys): _cleaned(value, keys) for name, value in said.items()}
    return [_cleaned(each, keys) for each in said] if isinstance(said, list) else said


def _keys_of(request: httpx.Request) -> Iterator[Hidden]:
    yield from (value for value in request.extensions.get(SENT, ()) if len(value) >= _SHORTEST)
    for name in _HEADERS:
        value = request.headers.get(name, "").removeprefix("Bearer ")
        if len(value) >= _SHORTEST:
            yield Hidden(value)
    with suppress(ValueError, RecursionError):
        for text in texts_of_secrets(json.loads(request.headers.get(_CONFIG, "null"))):
            if len(text) >= _SHORTEST:
                yield Hidden(text)
