"""What the gateway answered beside the answer: its `x-portkey-*` headers, as plain data."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import httpx

from agno_portkey.routing.bounded import bound

__all__ = ["anote_response", "capture", "named", "note_response", "read_headers"]

# One slot per call, filled by the client's response hook on the same thread or task. It never
# outlives the `create` call, so no run state hangs on it.
_slot: ContextVar[dict[str, Any] | None] = ContextVar("agno_portkey_answered", default=None)

_FIELDS = {
    b"x-portkey-provider": "provider",
    b"x-portkey-last-used-option-index": "option_index",
    b"x-portkey-retry-attempt-count": "retry_attempt_count",
    b"x-portkey-cache-status": "cache_status",
    b"x-portkey-trace-id": "trace_id",
    b"x-portkey-gateway-exception": "gateway_exception",
}


# Characters: longer is nobody's name.
_LONGEST = 200


def named(said: object) -> str | None:
    """What is said, if it can be a name: it goes to records and errors that no guard looks at."""
    if not isinstance(said, str) or len(said) > _LONGEST:
        return None
    return said if " " not in said and said.isprintable() else None


def read_headers(headers: httpx.Headers) -> dict[str, Any]:
    """The gateway's own headers by their short names; what is absent, or no name, is left out.

    `retry_attempt_count` is a number (-1: retries exhausted), the others are text.
    """
    found: dict[str, Any] = {}
    # Looked through once as they came: a lookup by name decodes them all, each time.
    for header, value in headers.raw:
        name = _FIELDS.get(header.lower())
        if name is not None and (said := named(value.decode("latin-1"))) is not None:
            found[name] = said
    if (count := found.get("retry_attempt_count")) is not None:
        try:
            found["retry_attempt_count"] = int(count)
        except ValueError:
            del found["retry_attempt_count"]
    return found


class capture:
    """A block in which what `read_headers` finds lands in the yielded dict, all `headers` and the
    `request`.

    `body_timeout` (seconds) is what a read of its body may take, where that is not what was
    allowed for the headers: a gateway may send them with the first token, or long before it.
    """

    def __init__(self, *, body_timeout: float | None = None) -> None:
        self._body_timeout = body_timeout

    def __enter__(self) -> dict[str, Any]:
        answered: dict[str, Any] = {}
        if self._body_timeout is not None:
            answered["body_timeout"] = self._body_timeout
        self._token = _slot.set(answered)
        return answered

    def __exit__(self, *exc_info: object) -> None:
        _slot.reset(self._token)


def note_response(response: httpx.Response) -> None:
    """Response hook of the sync client."""
    bound(response)
    if (slot := _slot.get()) is not None:
        if "headers" in slot:  # of an answer that refused a key, which was sent again
            for name in _FIELDS.values():
                slot.pop(name, None)
        slot.update(read_headers(response.headers))
        limits = response.request.extensions.get("timeout")
        if (
            response.is_success
            and (seconds := slot.pop("body_timeout", None))
            and limits is not None
        ):
            # Read by the transport when it begins with the body.
            limits["read"] = seconds
        slot["headers"], slot["request"] = response.headers, response.request


async def anote_response(response: httpx.Response) -> None:
    """Response hook of the async client."""
    note_response(response)
