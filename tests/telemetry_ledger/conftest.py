"""Ledgers in real databases, and models whose attempts are booked in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from budgeted import A_CENT_EACH, HUNDRED
from ledger_rows import Reported

from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.telemetry.ledger import Budget, Ledger
from agno_portkey.testing import EmbeddedProvider

QUICK = Recovery(
    wait=0.01, max_wait=0.05, first_token_timeout=5, stream_idle_timeout=5, answer_timeout=5
)

Models = Callable[..., PortkeyModel]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    kept = Ledger(str(tmp_path / "ledger.db"), timeout=30)
    yield kept
    kept.flush()


@pytest.fixture
def reported() -> Reported:
    return Reported()


@pytest.fixture
def booked(
    ledger: Ledger, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> Models:
    """Makes models behind the real gateway whose attempts are booked."""

    def made(**options: Any) -> PortkeyModel:
        usual: dict[str, Any] = {
            "base_url": portkey_gateway.url,
            "portkey_provider": "openai",
            "api_key": "k",
            "custom_host": portkey_provider.url,
            "recovery": QUICK,
            "observers": [ledger],
        }
        if "config" in options:
            del usual["portkey_provider"], usual["api_key"], usual["custom_host"]
        return PortkeyModel(**{**usual, **options})

    return made


# Of budgets


@pytest.fixture
def a_dollar_each(portkey_provider: EmbeddedProvider) -> None:
    """Each answer takes a hundred tokens; `dear` has the price."""
    portkey_provider.when(lambda request: not request.tools, HUNDRED)


@pytest.fixture
def dear(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path / "ledger.db"), prices=A_CENT_EACH, timeout=20)


@pytest.fixture
def limited(booked: Models, ledger: Ledger) -> Models:
    """Makes models with one budget of the ledger."""

    def made(**budget: Any) -> PortkeyModel:
        return booked(budgets=ledger.budgets(Budget(**budget)))

    return made
