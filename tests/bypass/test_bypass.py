"""Every way round the gate that we know of, played on a governed team: none may lead through."""

from __future__ import annotations

import bypass_entries  # noqa: F401 - they enter their scenarios in the catalogue
import bypass_liars  # noqa: F401
import bypass_more  # noqa: F401
import bypass_odd  # noqa: F401
import bypass_resumed  # noqa: F401
import bypass_runner  # noqa: F401
import bypass_shapes  # noqa: F401
import pytest
from bypass_catalogue import CATALOGUE, Scenario
from bypass_stage import Stage

from agno_portkey import PortkeyModel
from agno_portkey.routing import Recovery
from agno_portkey.testing import EmbeddedProvider


@pytest.mark.parametrize("scenario", CATALOGUE, ids=str)
def test_nothing_leaks(
    scenario: Scenario, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.recovery = Recovery(wait=0.01)
    stage = Stage(portkey_model, portkey_provider, governed=True)
    assert scenario.play(stage, scenario.mode) == []
    assert portkey_provider.errors == []
