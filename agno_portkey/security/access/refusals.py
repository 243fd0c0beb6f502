"""Refused requests, told to observers: whoever refuses them, the host or a route of ours."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping, Sequence
from fnmatch import fnmatch
from typing import Any

from agno_portkey.security.access.people import refused_subject
from agno_portkey.security.access.telling import refusal_of
from agno_portkey.verdict import Observer, shown, tell

__all__ = ["HEARS", "HOST", "Refusals"]

# Where a request's state holds who else is to hear of its refusal.
HEARS = "agno_portkey_hears"
# And the app that AgentOS has made, which may have mounted the one whose route is asked.
HOST = "agno_portkey_host"
_REFUSED = (401, 403)
# Of those who are not known, so many are told in a minute one by one; the others are counted.
_EACH, _SECONDS = 60, 60.0
_LONGEST = 200


class Refusals:
    """An ASGI middleware that tells `observers` of each 401 and 403, before the caller hears it.

    `scopes` are those of our routes. Whoever shows no good token could fill a log: of them 60 a
    minute are told, and the number of the others with the next one (`left_out`).
    """

    def __init__(
        self, app: Any, scopes: Mapping[str, Sequence[str]], observers: Sequence[Observer]
    ) -> None:
        self._app = app
        self._scopes = scopes
        self._observers = observers
        self._since, self._told, self._left_out = time.monotonic(), 0, 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})[HEARS] = [*self._observers]
        scope["state"][HOST] = scope.get("app")

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] in _REFUSED:
                await self._tell(scope, message["status"])
            await send(message)

        await self._app(scope, receive, watched)

    async def _tell(self, scope: MutableMapping[str, Any], status: int) -> None:
        state = scope["state"]
        if status == 401 and not self._may_tell():
            return
        target, scopes = self._asked(scope)
        left_out, self._left_out = self._left_out, 0
        event = refusal_of(status, target, scopes, by=_name(state), left_out=left_out)
        from starlette.concurrency import run_in_threadpool

        # An observer may wait for a disk.
        await run_in_threadpool(tell, state[HEARS], event)

    def _may_tell(self) -> bool:
        now = time.monotonic()
        if now - self._since >= _SECONDS:
            self._since, self._told = now, 0
        self._told += 1
        self._left_out += self._told > _EACH
        return self._told <= _EACH

    def _asked(self, scope: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
        """The route of ours by its pattern, with its scopes; of others what was asked for."""
        path = str(scope["path"]).removeprefix(scope.get("root_path") or "")
        key = f"{scope['method']} {path}"
        for pattern, scopes in self._scopes.items():
            if fnmatch(key, pattern):
                return pattern, scopes
        return shown(key)[:_LONGEST], ()


def _name(state: Mapping[str, Any]) -> str | None:
    """Who asked, where that was verified, and is the name of a person."""
    if state.get("security_key_verified") is True or state.get("authenticated") is not True:
        return None
    name = state.get("user_id")
    return name if isinstance(name, str) and refused_subject(name) is None else None
