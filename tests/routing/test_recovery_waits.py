"""Of a call that fails: how often it is asked again, and how long is waited before that."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play
from recovering import Make, Place, models_asked

from agno_portkey.errors import (
    ConfigurationError,
    GatewayConfigRejected,
    GatewayRateLimited,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.routes import Fallback
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault

# How often, and how long to wait


@pytest.mark.parametrize("form", FORMS)
def test_the_attempts_are_counted_over_all_targets(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    route = Fallback(targets=[target(f"m{number}") for number in range(3)])
    ended = play(Agent(model=through(route, recovery=Recovery(attempts=4, wait=0.01))), form)
    assert ended.status == RunStatus.error
    assert models_asked(portkey_provider) == ["m0", "m1", "m2", "m0"]


def test_no_call_makes_more_than_four_attempts_in_three_seconds(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None)
    route = Fallback(targets=[target(f"m{number}") for number in range(6)])
    with pytest.raises(UpstreamFailed):
        ask(through(route, recovery=Recovery(attempts=6, wait=0.01)), "run")
    at = [request.at for request in portkey_provider.calls]
    assert len(at) == 6
    assert all(later - earlier >= 3 for earlier, later in zip(at, at[4:], strict=False))


@pytest.mark.parametrize("form", FORMS)
def test_retry_after_is_waited_for(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=0.5))
    assert play(Agent(model=through(target("first"))), form).content == "You said: Hi"
    first, second = (request.at for request in portkey_provider.calls)
    assert second - first >= 0.5


@pytest.mark.parametrize("form", FORMS)
def test_a_retry_after_beyond_the_longest_wait_ends_the_call_with_it(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=60), times=None)
    with pytest.raises(GatewayRateLimited) as caught:
        ask(through(target("first")), form)
    assert caught.value.retry_after == 60
    assert models_asked(portkey_provider) == ["first"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_each_of_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    import httpx
    import openai

    from agno_portkey.routing.failures import explain

    response = httpx.Response(429, headers=headers, request=httpx.Request("POST", "http://x"))
    raised = openai.APIStatusError("no", response=response, body=None)
    error = explain(raised, model_id="m", base_url="u")
    assert isinstance(error, GatewayRateLimited)
    assert error.retry_after == seconds


def test_no_attempt_begins_after_the_budget(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    with pytest.raises(UpstreamFailed):
        ask(through(target("first"), recovery=Recovery(wait=1.0, budget=0.5)), "run")
    assert len(portkey_provider.calls) == 1


def test_a_model_without_a_typed_route_is_retried_as_well(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=1)
    assert ask(portkey_model, "run")[0].content == "You said: Hi"
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("form", FORMS)
def test_where_the_gateway_retries_the_client_does_not(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.routing.config.parts import Retry

    retry = Retry(attempts=1, on_status_codes=[503])
    route = Fallback(targets=[target("first", retry=retry), target("second")])
    with pytest.raises(ConfigurationError, match="retry"):
        through(route)
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    model = through(route, recovery=None, retries="gateway")
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert models_asked(portkey_provider) == ["first", "first", "second"]

    portkey_provider.fault(Fault.status(503), times=None, model="second")
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert models_asked(portkey_provider)[3:] == ["first", "first", "second"]


def test_a_hosted_config_retries_at_portkey_unless_the_client_is_told_to(
    portkey_provider: EmbeddedProvider,
) -> None:
    # The provider stands in for hosted Portkey: it answers whatever the headers say.
    portkey_provider.fault(Fault.status(503), times=None)
    hosted = {"base_url": portkey_provider.url, "profile": "hosted", "config": "pc-1"}
    with pytest.raises(UpstreamFailed):
        ask(PortkeyModel(**hosted), "run")
    assert len(portkey_provider.calls) == 1
    with pytest.raises(UpstreamFailed):
        ask(PortkeyModel(**hosted, recovery=Recovery(attempts=2, wait=0.01)), "run")
    assert len(portkey_provider.calls) == 3


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"attempts": 7}, "Recovery.attempts"),
        ({"attempts": 0}, "Recovery.attempts"),
        ({"budget": 0}, "Recovery.budget"),
        ({"by": "both"}, "Recovery.by"),
        ({"tries": 3}, "Recovery.tries"),
    ],
)
def test_wrong_settings_are_refused_by_their_names(values: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        Recovery(**values)


# Callers of all kinds


def test_a_route_that_the_gateway_refuses_is_given_up(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    headers = {"x-portkey-config": '{"strategy": {"mode": "fallback"}, "targets": [{}]}'}
    model = PortkeyModel(base_url=portkey_gateway.url, default_headers=headers)
    with pytest.raises(GatewayConfigRejected):
        ask(model, "run")
