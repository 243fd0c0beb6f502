"""No mode comes from outside, and a scene to play in."""

from __future__ import annotations

import pytest
from modes_scene import Scene

from agno_portkey import PortkeyModel
from agno_portkey.modes import PARTS, variable_of
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture(autouse=True)
def _no_modes_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in PARTS:
        monkeypatch.delenv(variable_of(part), raising=False)


@pytest.fixture
def scene(
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    return Scene(portkey_model, portkey_provider, monkeypatch)
