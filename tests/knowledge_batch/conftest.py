"""A job at the embedded provider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from batch_forms import INPUTS, QUICK, Forms, Jobs

from agno_portkey import PortkeyModel
from agno_portkey.knowledge import BatchJob
from agno_portkey.testing import EmbeddedProvider


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(portkey_provider: EmbeddedProvider) -> Callable[..., PortkeyModel]:
    portkey_provider.when(lambda request: True, lambda request: f"to {request.last_user}")

    def made(**options: Any) -> PortkeyModel:
        usual = {"base_url": portkey_provider.url, "api_key": "k", "recovery": QUICK}
        return PortkeyModel(**{**usual, **options})

    return made


@pytest.fixture
def job(model: Callable[..., PortkeyModel], tmp_path: Path, form: str) -> Jobs:
    def made(agent: Any = None, inputs: Sequence[Any] = INPUTS, **options: Any) -> Forms:
        agent = agent or Agent(name="Writer", model=model(), telemetry=False)
        options.setdefault("journal", tmp_path / "job.journal")
        return Forms(BatchJob(agent, inputs, **options), form)

    return made
