"""A gateway, a provider behind it, and one chat completion to send."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing.provider import EmbeddedProvider


@pytest.fixture
def target(portkey_provider: EmbeddedProvider) -> Callable[..., dict[str, Any]]:
    """A config's target that is the embedded provider."""

    def make(**fields: Any) -> dict[str, Any]:
        host = portkey_provider.url
        return {"provider": "openai", "api_key": "k", "custom_host": host, **fields}

    return make


@pytest.fixture
def post(portkey_gateway: LocalGateway) -> Callable[..., httpx.Response]:
    """Sends one chat completion to the gateway, routed by `config`."""

    def send(
        config: object = None, *, stream: bool = False, user: str = "hi", **headers: str
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if config is not None:
            named["x-portkey-config"] = json.dumps(config)
        message = {"role": "user", "content": user}
        return httpx.post(
            f"{portkey_gateway.url}/chat/completions",
            headers={"authorization": "Bearer k", **named},
            json={"model": "gpt-4o-mini", "messages": [message], "stream": stream},
            trust_env=False,
        )

    return send
