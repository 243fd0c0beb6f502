"""The OpenAI clients of a model and its copies: one for blocking calls, one for each event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, finalize

import httpx
import openai
from openai import AsyncOpenAI, OpenAI

from agno_portkey.drivers import step
from agno_portkey.routing.answered import anote_response, note_response
from agno_portkey.routing.keyed import AsyncKeyedClient, KeyedClient
from agno_portkey.settings import LOOPBACK

__all__ = ["Clients"]

Params = Callable[[], dict[str, Any]]
_C = TypeVar("_C", httpx.Client, httpx.AsyncClient)


class Clients:
    """Clients by the settings they were made with; copies of a model share them.

    A connection can't outlive its event loop, so each loop has clients of its own, which are
    closed with it. An http client that the user gave is used and never closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sync: dict[Hashable, OpenAI] = {}
        self._owned: list[OpenAI] = []
        finalize(self, _close_all, self._owned)
        self._async: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[Hashable, tuple[AsyncOpenAI, Any]]
        ] = WeakKeyDictionary()

    def __deepcopy__(self, memo: dict[int, Any]) -> Clients:
        return self

    def sync_client(self, key: Hashable, params: Params, given: Any) -> OpenAI:
        """The blocking client for `key`, made from `params()` if there is none."""
        client = self._sync.get(key)
        if client is not None and not client.is_closed():
            return client
        with self._lock:
            client = self._sync.get(key)
            if client is None or client.is_closed():
                made = params()
                http = _given(given, httpx.Client)
                own = http is None
                http = http or openai.DefaultHttpxClient(trust_env=not _is_local(made))
                _listen(http, note_response)
                client = self._sync[key] = _keyed(KeyedClient, made, http)
                if own:
                    self._owned.append(client)
        return client

    def async_client(self, key: Hashable, params: Params, given: Any) -> AsyncOpenAI:
        """The running loop's client for `key`, made from `params()` if there is none."""
        loop = asyncio.get_running_loop()
        clients = self._async.get(loop)
        if clients is None:
            with self._lock:
                clients = self._async[loop] = {}
        held = clients.get(key)
        if held is None or held[0].is_closed():
            made = params()
            http = _given(given, httpx.AsyncClient)
            own = http is None
            http = http or openai.DefaultAsyncHttpxClient(trust_env=not _is_local(made))
            _listen(http, anote_response)
            client = _keyed(AsyncKeyedClient, made, http)
            keeper = _closed_with_the_loop(client, clients, key) if own else None
            held = clients[key] = (client, keeper)
        return held[0]


def _given(given: Any, kind: type[_C]) -> _C | None:
    """The user's http client, if it is of the kind that the call needs."""
    if given is None or isinstance(given, kind):
        return given
    logging.getLogger("agno_portkey").warning(
        "http_client is a %s and this call needs a %s: a default one is used",
        type(given).__name__,
        kind.__name__,
    )
    return None


def _keyed(kind: Any, params: Mapping[str, Any], http: Any) -> Any:
    rest = {name: value for name, value in params.items() if name != "keys"}
    client = kind(**{**rest, "http_client": http})
    client.keys = params["keys"]
    return client


def _is_local(params: Mapping[str, Any]) -> bool:
    # A proxy set for the machine must not catch calls to a gateway on it.
    return httpx.URL(params["base_url"]).host in LOOPBACK


def _close_all(clients: list[OpenAI]) -> None:
    for client in clients:
        client.close()


def _closed_with_the_loop(
    client: AsyncOpenAI, clients: dict[Hashable, Any], key: Hashable
) -> AsyncGenerator[None, None]:
    """Have the running loop close `client` when it shuts down, as it does its generators."""

    async def keep() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # The generator knows its loop: kept here, it would keep the dead loop alive.
            clients.pop(key, None)
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
