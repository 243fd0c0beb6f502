"""Keeps other sites out of an app that asks nobody who they are.

A browser sends what a page asks for to any address, also to this machine; it says whose page it is.
Of a site whose name leads here it takes the answers too: the name that was asked for says that.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketClose

from agno_portkey.security.access.routes import ROUTE_SCOPES

__all__ = ["OwnPages"]

# The first part of each path of ours.
_OURS = frozenset(pattern.partition(" /")[2].partition("/")[0] for pattern in ROUTE_SCOPES)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY_VIOLATION = 1008
# An address of IPv6, or anything else, and maybe a port.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d*)?")


class OwnPages:
    """An ASGI middleware that refuses what pages of other origins ask for, but reading.

    A page of an origin that AgentOS allows may ask for what is AgentOS' own. What is asked of the
    app under a name on the Internet is refused altogether, unless it is that of such an origin.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        answer = self._app
        if scope["type"] in ("http", "websocket") and (why := self._refused(scope)) is not None:
            answer = _refusal(scope, *why)
        await answer(scope, receive, send)

    def _refused(self, scope: MutableMapping[str, Any]) -> tuple[str, str] | None:
        headers = Headers(scope=scope)
        host, policy = headers.get("host"), _policy(scope)
        if host is not None and not _is_near(host) and not _allows(policy, host):
            return "host", (
                f"this app asks nobody who they are, and {_shown(host)} may be a name of anybody's:"
                " give it an authorization, or name the address in cors_allowed_origins"
            )
        origin = headers.get("origin")
        if (
            origin is None
            or scope.get("method") in _READS
            or _netloc(origin) == (host or "").lower()
        ):
            return None
        if policy is not None and policy.allows(origin) and not self._is_ours(scope):
            return None
        return "origin", "a page of another site asks: open the one of this server"

    def _is_ours(self, scope: MutableMapping[str, Any]) -> bool:
        path = str(scope["path"]).removeprefix(scope.get("root_path") or "")
        return path.removeprefix("/").partition("/")[0] in _OURS


def _policy(scope: MutableMapping[str, Any]) -> Any:
    """The origins that AgentOS allows; they are known once it has made the app."""
    return getattr(getattr(scope.get("app"), "state", None), "cors_origin_policy", None)


def _allows(policy: Any, host: str) -> bool:
    origins = (f"{scheme}://{host.lower()}" for scheme in ("https", "http"))
    return policy is not None and any(policy.allows(origin) for origin in origins)


def _is_near(host: str) -> bool:
    """Whether nobody elsewhere can have a name lead here: an address, or a name without a dot."""
    if (found := _HOST.fullmatch(host)) is None:
        return False
    name = (found[1] or found[2]).lower()
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(".localhost")
    return True


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _shown(host: str) -> str:
    return host[:100] if host.isprintable() else "this"


def _refusal(scope: MutableMapping[str, Any], error: str, said: str) -> Any:
    if scope["type"] == "websocket":
        return WebSocketClose(code=_POLICY_VIOLATION, reason=error)
    return JSONResponse({"detail": {"error": error, "message": said}}, 403)
