"""Keeps pages of other sites from deciding: of an app that asks nobody who they are.

A browser sends what a page asks for to any address, also to this machine; it says whose page it is.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from agno_portkey.security.access.routes import ROUTE_SCOPES

__all__ = ["OwnPages"]

# The first part of each path of ours.
_OURS = frozenset(pattern.partition(" /")[2].partition("/")[0] for pattern in ROUTE_SCOPES)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class OwnPages:
    """An ASGI middleware that refuses what a page of another origin asks our routes to do."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        answer = self._app
        if scope["type"] == "http" and scope["method"] not in _READS and self._is_ours(scope):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                said = "a page of another site asks: open the one of this server"
                answer = JSONResponse({"detail": {"error": "origin", "message": said}}, 403)
        await answer(scope, receive, send)

    def _is_ours(self, scope: MutableMapping[str, Any]) -> bool:
        path = str(scope["path"]).removeprefix(scope.get("root_path") or "")
        return path.removeprefix("/").partition("/")[0] in _OURS
