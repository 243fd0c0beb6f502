"""Ways round the limits of a policy on models and providers: each is refused before it is sent."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.run.base import RunStatus

from agno_portkey import Policy, PortkeyModel, govern
from agno_portkey.testing import EmbeddedProvider

LIMIT = {"everyone": {"models": ["gpt-4o-mini"], "providers": ["openai"]}}


def config(**said: Any) -> str:
    return json.dumps({"provider": "openai", **said})


def asks(provider: EmbeddedProvider, **options: Any) -> PortkeyModel:
    given = {"portkey_provider": "openai", "api_key": "k", **options}
    return PortkeyModel(base_url=provider.url, **given)


def ran(provider: EmbeddedProvider, **options: Any) -> tuple[RunStatus, int, str]:
    """How a run ended, how many requests were sent, and what was said."""
    agent = govern(Agent(name="Desk", model=asks(provider, **options)), policy=Policy(models=LIMIT))  # type: ignore[arg-type]
    before = len(provider.requests)
    output = agent.run("Hi")
    return output.status, len(provider.requests) - before, str(output.content)


@pytest.mark.parametrize(
    "options",
    [
        {"extra_body": {"models": ["gpt-4o-mini", "o3"]}},
        {"request_params": {"extra_body": {"models": ["o3"]}}},
        {"extra_body": {"models": "o3"}},
        {"extra_headers": {b"x-portkey-provider": b"groq"}},
        {"extra_headers": {"x-portkey-provider": "groq", "X-Portkey-Provider": "openai"}},
        {"request_params": {"extra_headers": {"x-portkey-provider": "groq"}}},
        {"extra_headers": {"x-portkey-config": config(overrideParams={"model": "o3"})}},
        {"extra_headers": {"x-portkey-config": config(virtualKey="vk")}},
        {"extra_headers": {"x-portkey-config": config(targets=[{"Provider": "groq"}])}},
        {"extra_headers": {"x-portkey-config": config(override_params={"models": ["o3"]})}},
        {"extra_headers": {"x-portkey-config": f" {config(provider='groq')} "}},
        {"extra_headers": {"x-portkey-config": "[]"}},
        {"extra_headers": {"x-portkey-config": ""}},
    ],
    ids=repr,
)
def test_nothing_beside_the_model_reaches_another_one(
    portkey_provider: EmbeddedProvider, options: dict[str, Any]
) -> None:
    status, sent, said = ran(portkey_provider, **options)
    assert (status, sent) == (RunStatus.error, 0)
    assert "Desk may not ask" in said


@pytest.mark.parametrize(
    "headers", [{"x-portkey-config": config(provider="groq")}, {"X-Portkey-Virtual-Key": "vk"}]
)
def test_a_client_of_ones_own_says_nothing_beside(
    portkey_provider: EmbeddedProvider, headers: dict[str, str]
) -> None:
    with httpx.Client(headers=headers) as client:
        status, sent, said = ran(portkey_provider, http_client=client)
    assert (status, sent) == (RunStatus.error, 0)
    assert "Desk may not ask" in said


def test_what_says_the_same_again_is_sent(portkey_provider: EmbeddedProvider) -> None:
    for options in (
        {"extra_body": {"model": "gpt-4o-mini", "models": ["gpt-4o-mini"]}},
        {"extra_headers": {"X-Portkey-Provider": "openai"}},
        {"extra_headers": {"x-portkey-trace-id": "t1"}},
    ):
        status, sent, said = ran(portkey_provider, **options)
        assert (status, sent) == (RunStatus.completed, 1), said
