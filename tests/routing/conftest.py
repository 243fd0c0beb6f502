"""Targets at the embedded provider, and models that reach a route through the real gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Recovery, Route, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

QUICK = Recovery(
    wait=0.01, first_token_timeout=0.4, stream_idle_timeout=0.4, answer_timeout=0.4
)  # fmt: skip


@pytest.fixture
def target(portkey_provider: EmbeddedProvider) -> Callable[..., Target]:
    """Makes targets at the embedded provider, told apart by their model."""

    def make(model: str, **more: Any) -> Target:
        here = {"provider": "openai", "api_key": "k", "custom_host": portkey_provider.url}
        return Target(model=model, **{**here, **more})

    return make


@pytest.fixture
def through(portkey_gateway: LocalGateway) -> Callable[..., PortkeyModel]:
    """Makes models that reach a route through the real gateway."""

    def make(route: Route | None, **more: Any) -> PortkeyModel:
        return PortkeyModel(
            base_url=portkey_gateway.url, config=route, **{"recovery": QUICK, **more}
        )

    return make
