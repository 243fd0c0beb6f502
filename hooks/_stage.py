"""What the files here share: a model behind a real gateway, and a provider that plays along."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("AGNO_TELEMETRY", "false")

from agno_portkey import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider


@contextmanager
def stage() -> Iterator[tuple[PortkeyModel, EmbeddedProvider]]:
    with LocalGateway() as gateway, EmbeddedProvider() as provider:
        model = PortkeyModel(
            base_url=gateway.url,
            portkey_provider="openai",
            api_key="none",
            custom_host=provider.url,
        )
        yield model, provider
