"""Whatever goes wrong on the way is one typed error that says what to do, in all four forms."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest
from agno.agent import Agent
from agno.exceptions import ContextWindowExceededError, ModelProviderError, ModelRateLimitError
from agno.models.message import Message
from agno.run.base import RunStatus
from failing import ONCE, WORDS, is_friendly, place, raised, through_gateway
from four_forms import FORMS, STREAMED, play

from agno_portkey.errors import (
    AgnoPortkeyError,
    BadResponse,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayError,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    GatewayUnreachable,
    TruncatedStream,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.failures import explain
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply

pytestmark = pytest.mark.usefixtures("asking_once")


@dataclass(frozen=True)
class Case:
    """A fault of the provider, and the error it has to become; `says` is the advice in it."""

    fault: Fault
    error: type[GatewayError]
    says: str
    status: int
    # What a stream does with it, where that is something else.
    streamed: type[AgnoPortkeyError] | None = None
    host: type[Exception] = field(default=ModelProviderError)


CASES = {
    "401": Case(Fault.status(401), GatewayUnauthorized, "PORTKEY_API_KEY", 401),
    "403": Case(Fault.status(403), GatewayUnauthorized, "check PORTKEY_API_KEY", 403),
    "404": Case(Fault.status(404), UpstreamFailed, "check the model's name", 404),
    "408": Case(Fault.status(408), GatewayTimeout, "give the route a fallback", 408),
    "429": Case(Fault.status(429), GatewayRateLimited, "wait", 429, host=ModelRateLimitError),
    "500": Case(Fault.status(500), UpstreamFailed, "give the route a fallback", 500),
    "529": Case(Fault.status(529), GatewayRateLimited, "wait", 529, host=ModelRateLimitError),
    "reset": Case(Fault.reset(), UpstreamFailed, "ask again later", 500),
    "overflow": Case(
        Fault.context_overflow(),
        ContextOverflow,
        "shorten the history",
        400,
        host=ContextWindowExceededError,
    ),
    "overflow by its words alone": Case(
        Fault.status(400, message="prompt is too long: 9 tokens"),
        ContextOverflow,
        "shorten the history",
        400,
        host=ContextWindowExceededError,
    ),
    "content filter": Case(Fault.content_filter(), ContentFiltered, "rephrase", 400),
    "HTML": Case(Fault.html(), BadResponse, "text/html", 502),
    "no choices": Case(Fault.no_choices(), BadResponse, "check its address and model", 502),
    "broken JSON": Case(
        Fault.malformed_chunk(), BadResponse, "could not read", 500, streamed=TruncatedStream
    ),
    "cut off": Case(Fault.cut(), BadResponse, "could not read", 500, streamed=TruncatedStream),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_a_fault_of_the_provider_is_one_typed_error(
    name: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    case = CASES[name]
    portkey_provider.when(lambda request: True, WORDS)
    portkey_provider.fault(case.fault, times=None)

    error = raised(portkey_model, form)

    if form in STREAMED and case.streamed is not None:
        assert type(error) is case.streamed
    else:
        assert type(error) is case.error
        assert isinstance(error, case.host)
        assert case.says in str(error)
        assert error.status_code == case.status
        assert error.model_id == "gpt-4o-mini"
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_an_agent_whose_call_failed_ends_in_error_with_the_same_words(
    name: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, WORDS)
    portkey_provider.fault(CASES[name].fault, times=None)

    ended = play(Agent(model=portkey_model), form)

    assert ended.status == RunStatus.error
    assert isinstance(ended.content, str)
    is_friendly(ended.content)
    if CASES[name].streamed is None:
        assert CASES[name].says in ended.content
    assert len(portkey_provider.calls) == 1


# The gateway itself


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: refused, and taken by nobody else
        yield bound.getsockname()[1]


@pytest.mark.parametrize("form", FORMS)
def test_a_gateway_that_is_not_there_is_named_with_how_to_start_one(
    form: str, closed_port: int
) -> None:
    url = f"http://127.0.0.1:{closed_port}/v1"
    quick = Recovery(wait=0.01)
    model = PortkeyModel(base_url=url, portkey_provider="openai", api_key="k", recovery=quick)

    error = raised(model, form)

    assert type(error) is GatewayUnreachable
    assert url in str(error)
    assert "agno-portkey gateway start" in str(error)
    ended = play(Agent(model=model), form)
    assert (ended.status, ended.content) == (RunStatus.error, str(error))


@pytest.mark.parametrize("form", FORMS)
def test_a_gateway_that_goes_down_before_it_answers_is_unreachable(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    # The provider stands in for a gateway whose process dies with the request in hand.
    portkey_provider.fault(Fault.reset())
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k", recovery=ONCE)

    error = raised(model, form)

    assert type(error) is GatewayUnreachable
    assert "broke before there was an answer" in str(error)


@pytest.mark.parametrize("form", STREAMED)
def test_a_gateway_that_goes_down_amid_a_stream_leaves_it_truncated(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply(chunks=["one ", "two ", "three"], token_delay=0.2))
    with LocalGateway() as gateway:
        model = through_gateway(gateway, place(portkey_provider))
        seen: list[str] = []
        with pytest.raises(TruncatedStream):
            _read_and_stop(model, form, gateway, seen)
    assert seen
    assert "three" not in seen


def _read_and_stop(model: PortkeyModel, form: str, gateway: LocalGateway, seen: list[str]) -> None:
    """Read a stream, and end the gateway at its first word."""
    messages = [Message(role="user", content="Hi")]

    def look(delta: Any) -> None:
        if getattr(delta, "content", None):
            seen.append(delta.content)
            gateway.stop()

    async def read() -> None:
        async for delta in model.aresponse_stream(messages=messages):
            look(delta)

    if form == "astream":
        asyncio.run(read())
    else:
        for delta in model.response_stream(messages=messages):
            look(delta)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"strategy": {"mode": "nope"}, "targets": []}, id="mode"),
        pytest.param({"strategy": {"mode": "fallback"}, "targets": []}, id="no targets"),
        pytest.param({"provider": "no-such-provider", "api_key": "k"}, id="provider"),
        pytest.param({"targets": [{"provider": "openai", "api_key": "k"}]}, id="no strategy"),
        pytest.param({"retry": {"attempts": 1}}, id="no provider"),
    ],
)
def test_a_routing_config_that_the_gateway_refuses_is_called_so(
    config: Any, form: str, portkey_gateway: LocalGateway
) -> None:
    # As a header of one's own, since our own config would be refused before it is sent.
    headers = {"x-portkey-config": json.dumps(config)}
    model = PortkeyModel(base_url=portkey_gateway.url, default_headers=headers)
    error = raised(model, form)

    assert type(error) is GatewayConfigRejected
    assert "check `config`" in str(error)
    with pytest.raises(ConfigurationError):
        through_gateway(portkey_gateway, config or {"strategy": {}})


def test_a_local_gateway_asks_for_a_provider_and_its_key(portkey_gateway: LocalGateway) -> None:
    error = raised(PortkeyModel(base_url=portkey_gateway.url, api_key="k"), "run")
    assert type(error) is GatewayConfigRejected
    said = "this gateway has no account: name the provider and its key: PortkeyModel(..., "
    assert said + 'portkey_provider="openai", api_key=...)' in str(error)


def test_a_gateway_elsewhere_may_have_an_account() -> None:
    url = "https://gateway.example/v1"
    said = {"status": "failure", "message": "x-portkey-provider header is required"}
    answer = httpx.Response(400, json=said, request=httpx.Request("POST", url))
    refused = openai.APIStatusError("400", response=answer, body=said)
    error = explain(refused, model_id="any", base_url=url)
    assert type(error) is GatewayConfigRejected
    assert str(error).endswith("check `config` and `portkey_provider`")


@pytest.mark.parametrize("form", FORMS)
def test_an_address_that_is_no_gateway_api_is_called_so(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    without_v1 = portkey_gateway.url.removesuffix("/v1")
    error = raised(PortkeyModel(base_url=without_v1, portkey_provider="openai", api_key="k"), form)
    assert type(error) is BadResponse
    assert "it ends in /v1" in str(error)

    portkey_provider.fault(Fault.html())
    error = raised(PortkeyModel(base_url=portkey_provider.url), form)
    assert type(error) is BadResponse
    assert "it ends in /v1" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_a_document_broken_on_its_way_is_a_bad_response(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    # Straight from the provider, so that no gateway turns it into a 500.
    portkey_provider.fault(Fault.malformed_chunk(0.0))
    error = raised(PortkeyModel(base_url=portkey_provider.url), form)
    assert type(error) is BadResponse


@pytest.mark.parametrize("form", FORMS)
def test_the_routes_own_time_limit_is_a_timeout(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    model = through_gateway(portkey_gateway, place(portkey_provider, request_timeout=100))

    error = raised(model, form)

    assert type(error) is GatewayTimeout
    assert "the target's `Timeout`" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_the_clients_own_time_limit_is_a_timeout(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    model = through_gateway(portkey_gateway, place(portkey_provider), timeout=0.3)

    error = raised(model, form)

    assert type(error) is GatewayTimeout
    assert "raise its limit" in str(error)
    assert len(portkey_provider.calls) == 1


# Keys and parameters


def test_a_key_that_the_provider_quotes_is_not_passed_on(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    key = "sk-proj-abcdefgh12345678"
    portkey_provider.fault(Fault.status(401, message=f"Incorrect API key provided: {key}"))
    assert key not in str(raised(portkey_model, "run"))


def test_a_parameter_that_the_client_does_not_take_is_named(portkey_model: PortkeyModel) -> None:
    portkey_model.request_params = {"no_such_parameter": 1}
    error = raised(portkey_model, "run")
    assert type(error) is ConfigurationError
    assert "no_such_parameter" in str(error)
