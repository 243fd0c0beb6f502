"""The OpenAI clients of a model and its copies: one for blocking calls, one for each event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary, finalize

import httpx
import openai
from openai import AsyncOpenAI, OpenAI

from agno_portkey.drivers import step
from agno_portkey.routing.answered import anote_response, note_response

__all__ = ["Clients"]

Params = Callable[[], dict[str, Any]]


class Clients:
    """Clients by the settings they were made with; copies of a model share them.

    A connection can't outlive its event loop, so each loop has clients of its own, which are
    closed with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: dict[Hashable, OpenAI] = {}
        finalize(self, _close_all, self._sync)
        self._async: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[Hashable, tuple[AsyncOpenAI, Any]]
        ] = WeakKeyDictionary()

    def __deepcopy__(self, memo: dict[int, Any]) -> Clients:
        return self

    def sync_client(self, key: Hashable, params: Params, own: Any, *, local: bool) -> OpenAI:
        """The blocking client for `key`, made from `params()` if there is none."""
        client = self._sync.get(key)
        if client is None or client.is_closed():
            with self._lock:
                http = own if isinstance(own, httpx.Client) else None
                http = http or openai.DefaultHttpxClient(trust_env=not local)
                _listen(http, note_response)
                client = self._sync[key] = OpenAI(**params(), http_client=http)
        return client

    def async_client(self, key: Hashable, params: Params, own: Any, *, local: bool) -> AsyncOpenAI:
        """The running loop's client for `key`, made from `params()` if there is none."""
        loop = asyncio.get_running_loop()
        clients = self._async.get(loop)
        if clients is None:
            clients = self._async[loop] = {}
        held = clients.get(key)
        if held is None or held[0].is_closed():
            http = own if isinstance(own, httpx.AsyncClient) else None
            http = http or openai.DefaultAsyncHttpxClient(trust_env=not local)
            _listen(http, anote_response)
            client = AsyncOpenAI(**params(), http_client=http)
            held = clients[key] = (client, _closed_with_the_loop(client))
        return held[0]


def _close_all(clients: dict[Hashable, OpenAI]) -> None:
    for client in clients.values():
        client.close()


def _closed_with_the_loop(client: AsyncOpenAI) -> AsyncGenerator[None, None]:
    """Have the running loop close `client` when it shuts down, as it does its generators."""

    async def keep() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await client.close()

    async def begin() -> None:
        await anext(kept)

    kept = keep()
    step(begin())
    return kept


def _listen(client: Any, hook: Any) -> None:
    hooks = client.event_hooks
    if hook not in hooks["response"]:
        client.event_hooks = {**hooks, "response": [*hooks["response"], hook]}
