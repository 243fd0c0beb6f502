"""What the doctor is asked in: an environment with nothing of ours, and one with a gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from agno_portkey.routing.local import LocalGateway


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("AGNO_PORTKEY_") and name != "AGNO_PORTKEY_CACHE_DIR":
            monkeypatch.delenv(name)


@pytest.fixture
def at(portkey_gateway: LocalGateway) -> Mapping[str, str]:
    """The environment of a set-up with the open-source gateway."""
    return {"PORTKEY_BASE_URL": portkey_gateway.url}
