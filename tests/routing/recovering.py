"""Routes of several targets, and who of them was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.routes import Fallback, Target
from agno_portkey.testing import EmbeddedProvider, Request

TEXT = "one two three four five six seven eight nine ten"
Make = Callable[..., PortkeyModel]
Place = Callable[..., Target]


def models_asked(provider: EmbeddedProvider) -> list[str | None]:
    return [request.model for request in provider.calls]


def two(target: Place, **more: Any) -> Fallback:
    return Fallback(targets=[target("first"), target("second")], **more)


def continued(request: Request) -> str:
    """The rest of the text after what the request ends with, as a provider with prefill does."""
    last = request.messages[-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    assert TEXT.startswith(begun)
    return TEXT[len(begun) :]
