"""Pytest fixtures for governed agents: a real gateway, and a provider behind it.

```python
def test_answers(portkey_provider, portkey_model):
    portkey_provider.reply("Hello")
    assert Agent(model=portkey_model).run("Hi").content == "Hello"
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agno_portkey.model import PortkeyModel
    from agno_portkey.routing.local import LocalGateway
    from agno_portkey.testing.provider import EmbeddedProvider


@pytest.fixture(scope="session")
def portkey_gateway() -> Iterator[LocalGateway]:
    """The pinned gateway as a child process, one for all tests."""
    from agno_portkey.routing.local import LocalGateway

    with LocalGateway() as gateway:
        yield gateway


@pytest.fixture
def portkey_provider() -> Iterator[EmbeddedProvider]:
    """A scripted provider on loopback, new for each test."""
    from agno_portkey.testing.provider import EmbeddedProvider

    with EmbeddedProvider() as provider:
        yield provider


@pytest.fixture
def portkey_model(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> PortkeyModel:
    """A model that reaches the scripted provider through the gateway."""
    from agno_portkey.model import PortkeyModel

    return PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="test-key",
        custom_host=portkey_provider.url,
    )
