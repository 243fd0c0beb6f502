"""What a guardrail of the gateway denies is a block that names the check, and quotes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import InputCheckError, OutputCheckError
from agno.run.base import RunStatus
from failing import place, raised, through_gateway
from four_forms import FORMS, play

from agno_portkey.errors import GatewayDeniedInput, GatewayDeniedOutput
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

pytestmark = pytest.mark.usefixtures("asking_once")


def _words(words: str, *, deny: bool = True) -> list[dict[str, Any]]:
    return [{"default.contains": {"words": [words], "operator": "none"}, "deny": deny}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["input_guardrails", "before_request_hooks"])
def test_a_request_that_the_gateway_denies_is_an_input_that_was_blocked(
    key: str, form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    guardrails: Any = _words("Hi")
    if key == "before_request_hooks":
        check = {"id": "default.contains", "parameters": {"words": ["Hi"], "operator": "none"}}
        guardrails = [{"type": "guardrail", "id": "mine", "deny": True, "checks": [check]}]
    config = place(portkey_provider, **{key: guardrails})
    model = PortkeyModel(
        base_url=portkey_gateway.url, default_headers={"x-portkey-config": json.dumps(config)}
    )

    error = raised(model, form)

    assert type(error) is GatewayDeniedInput
    assert isinstance(error, InputCheckError)
    assert "default.contains" in str(error)
    assert portkey_provider.calls == []
    assert play(Agent(model=model), form).status == RunStatus.error


@pytest.mark.parametrize("form", ["run", "arun"])
@pytest.mark.parametrize("soft", [True, False], ids=["after a check that only warned", "alone"])
def test_an_answer_that_the_gateway_denies_is_an_output_that_was_blocked(
    soft: bool, form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, "a forbidden word")
    checks: dict[str, Any] = {"output_guardrails": _words("forbidden")}
    if soft:
        checks["input_guardrails"] = _words("Hi", deny=False)
    model = through_gateway(portkey_gateway, place(portkey_provider, **checks))

    error = raised(model, form)

    assert type(error) is GatewayDeniedOutput
    assert isinstance(error, OutputCheckError)
    ended = play(Agent(model=model), form)
    assert ended.status == RunStatus.error
    assert "forbidden" not in str(ended.content)


def test_only_the_check_that_denied_is_named(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    checks = [*_words("Hi", deny=False), {"default.regexMatch": {"rule": "^Ho$"}, "deny": True}]
    model = through_gateway(portkey_gateway, place(portkey_provider, input_guardrails=checks))
    error = raised(model, "run")
    assert "default.regexMatch" in str(error)
    assert "default.contains" not in str(error)


def test_a_denial_does_not_quote_what_was_denied(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("the patient is Jane")
    checks = [{"default.regexMatch": {"rule": "^fine$"}, "deny": True}]
    model = through_gateway(portkey_gateway, place(portkey_provider, output_guardrails=checks))

    error = raised(model, "run")

    assert isinstance(error, GatewayDeniedOutput)
    assert "Jane" not in repr(error.verdict.as_dict())
    assert "default.regexMatch" in error.verdict.reason
