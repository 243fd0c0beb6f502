"""The pages, their files, and who asks them.

Pages hold no data, so that anybody may have them; what they ask for takes a token where the app
has an authorization.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from agno_portkey import environments
from agno_portkey.security.access.scopes import DASHBOARD, KEYS, ROTATE, SCOPES, STOP
from agno_portkey.serving.callers import ANYONE, caller_of

__all__ = ["Pages", "me_router"]

STATIC = Path(__file__).with_name("static")
# What a page says in place of the version that its files have.
_PLACE = b"__VERSION__"
_PAGES = {"/portkey/": "dashboard.html", "/portkey/chat": "chat.html"}
_MEANT = {"/portkey": "/portkey/", "/portkey/chat/": "/portkey/chat"}
_FILES = "/portkey/static/"
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_YEAR = "public, max-age=31536000, immutable"
# AgentOS' own, which chats take.
_RUNS = ("teams:run", "agents:run", "workflows:run", "sessions:read")
# Of these nothing is of one tenant alone.
_OF_ALL = frozenset({DASHBOARD, STOP, KEYS, ROTATE})

Ask = Callable[[], Awaitable[MutableMapping[str, Any]]]
Say = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Pages:
    """An ASGI middleware that answers for the pages and their files; all else goes to `app`.

    It is outside of the authorization: a page that asks for a token has to be there first.
    """

    def __init__(self, app: Any, folder: Path = STATIC) -> None:
        self._app, self._folder = app, folder

    async def __call__(self, scope: MutableMapping[str, Any], receive: Ask, send: Say) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = str(scope["path"]).removeprefix(scope.get("root_path") or "")
            if path == "/portkey" or path.startswith("/portkey/"):
                answer = await run_in_threadpool(self._answer, path, scope)
        await (self._app if answer is None else answer)(scope, receive, send)

    def _answer(self, path: str, scope: MutableMapping[str, Any]) -> Response | None:
        if path in _MEANT:
            return RedirectResponse(f"{scope.get('root_path') or ''}{_MEANT[path]}")
        if path in _PAGES:
            return self._page(_PAGES[path])
        if path.startswith(_FILES):
            version, _, name = path.removeprefix(_FILES).partition("/")
            return self._file(version, name)
        return None

    def _page(self, name: str) -> Response:
        held = self._read(name)
        if held is None:
            return PlainTextResponse("not here", 404)
        text = held.replace(_PLACE, self.version.encode())
        headers = {**_HEADERS, "cache-control": "no-cache"}
        return Response(text, media_type="text/html; charset=utf-8", headers=headers)

    def _file(self, version: str, name: str) -> Response:
        held = self._read(name)
        if held is None:
            return PlainTextResponse("not here", 404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        # Another version is of a server that is not this one any more: it is not to be kept.
        kept = _YEAR if version == self.version else "no-cache"
        return Response(held, media_type=kind, headers={**_HEADERS, "cache-control": kept})

    def _read(self, name: str) -> bytes | None:
        """What a file holds; None for one that is not of the folder itself."""
        if name not in self._names:
            return None
        return (self._folder / name).read_bytes()

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(each.name for each in self._folder.iterdir() if each.is_file())

    @cached_property
    def version(self) -> str:
        """A digest of all files, so that what a browser has kept is never another's."""
        whole = hashlib.sha256()
        for name in sorted(self._names):
            whole.update(f"{name}\n".encode())
            whole.update((self._folder / name).read_bytes())
        return whole.hexdigest()[:16]


def me_router(*, authorization: bool, tenant_claim: str = "tenant") -> APIRouter:
    """`GET /portkey/api/me`: who asks, and which scopes they have; in JSON.

    Without an `authorization` it is anybody, who may do all.
    """
    router = APIRouter(tags=["Playground"])

    @router.get("/portkey/api/me", name="read_me")
    async def read_me(request: Request) -> dict[str, Any]:
        may = {
            scope: await _may(request, scope, authorization, tenant_claim)
            for scope in (*SCOPES, *_RUNS)
        }
        known = getattr(request.state, "authenticated", None) is True
        name = getattr(request.state, "user_id", None) if known else ANYONE
        return {
            "name": name if isinstance(name, str) else None,
            "known": known,
            "authorization": authorization,
            "environment": environments.current(),
            "may": may,
        }

    return router


async def _may(request: Request, scope: str, authorization: bool, tenant_claim: str) -> bool:
    try:
        caller = await caller_of(
            request, [scope], open_to_all=not authorization, tenant_claim=tenant_claim
        )
    except HTTPException:
        return False
    return caller.all or caller.tenant is None or scope not in _OF_ALL
