"""Calls that fail, asked once, and the errors that they become."""

from __future__ import annotations

from typing import Any

import pytest
from four_forms import ask

from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Reply

ONCE = Recovery(attempts=1)
WORDS = Reply("one two three four five six")
UNFRIENDLY = ("Unknown model error", "NoneType", "object has no attribute", "Traceback")


def place(provider: EmbeddedProvider, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": "k", "custom_host": provider.url, **more}


def through_gateway(gateway: LocalGateway, config: dict[str, Any], **more: Any) -> PortkeyModel:
    return PortkeyModel(base_url=gateway.url, config=config, **{"recovery": ONCE, **more})


def raised(model: PortkeyModel, form: str) -> AgnoPortkeyError:
    with pytest.raises(AgnoPortkeyError) as caught:
        ask(model, form)
    is_friendly(str(caught.value))
    return caught.value


def is_friendly(message: str) -> None:
    assert not [words for words in UNFRIENDLY if words in message]
