"""An embedder at the embedded provider, asked in both forms."""

from __future__ import annotations

from typing import Any

import pytest
from embedding import LENGTH, QUICK, Makes

from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture
def embedder(portkey_provider: EmbeddedProvider) -> Makes:
    def made(**options: Any) -> PortkeyEmbedder:
        usual = {
            "base_url": portkey_provider.url,
            "api_key": "k",
            "dimensions": LENGTH,
            "recovery": QUICK,
        }
        return PortkeyEmbedder(**{**usual, **options})

    return made


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)
