"""Whatever goes wrong on the way is one typed error that says what to do, in all four forms."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import (
    ContextWindowExceededError,
    InputCheckError,
    ModelProviderError,
    ModelRateLimitError,
    OutputCheckError,
)
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play

from agno_portkey.errors import (
    AgnoPortkeyError,
    BadResponse,
    ConfigurationError,
    ContentFiltered,
    ContextOverflow,
    GatewayConfigRejected,
    GatewayDeniedInput,
    GatewayDeniedOutput,
    GatewayError,
    GatewayRateLimited,
    GatewayTimeout,
    GatewayUnauthorized,
    GatewayUnreachable,
    TruncatedStream,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

ONCE = Recovery(attempts=1)
WORDS = Reply("one two three four five six")
UNFRIENDLY = ("Unknown model error", "NoneType", "object has no attribute", "Traceback")


def _target(provider: EmbeddedProvider, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": "k", "custom_host": provider.url, **more}


def _through(gateway: LocalGateway, config: dict[str, Any], **more: Any) -> PortkeyModel:
    return PortkeyModel(base_url=gateway.url, config=config, **{"recovery": ONCE, **more})


@pytest.fixture
def portkey_model(portkey_model: PortkeyModel) -> PortkeyModel:
    """A model that asks once, so that each fault is met as it is."""
    portkey_model.recovery = ONCE
    return portkey_model


def _raised(model: PortkeyModel, form: str) -> AgnoPortkeyError:
    with pytest.raises(AgnoPortkeyError) as caught:
        ask(model, form)
    _is_friendly(str(caught.value))
    return caught.value


def _is_friendly(message: str) -> None:
    assert not [words for words in UNFRIENDLY if words in message]


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

    error = _raised(portkey_model, form)

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
    _is_friendly(ended.content)
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

    error = _raised(model, form)

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

    error = _raised(model, form)

    assert type(error) is GatewayUnreachable
    assert "broke before there was an answer" in str(error)


@pytest.mark.parametrize("form", STREAMED)
def test_a_gateway_that_goes_down_amid_a_stream_leaves_it_truncated(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply(chunks=["one ", "two ", "three"], token_delay=0.2))
    with LocalGateway() as gateway:
        model = _through(gateway, _target(portkey_provider))
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
    error = _raised(model, form)

    assert type(error) is GatewayConfigRejected
    assert "check `config`" in str(error)
    with pytest.raises(ConfigurationError):
        _through(portkey_gateway, config or {"strategy": {}})


@pytest.mark.parametrize("form", FORMS)
def test_an_address_that_is_no_gateway_api_is_called_so(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    without_v1 = portkey_gateway.url.removesuffix("/v1")
    error = _raised(PortkeyModel(base_url=without_v1, portkey_provider="openai", api_key="k"), form)
    assert type(error) is BadResponse
    assert "it ends in /v1" in str(error)

    portkey_provider.fault(Fault.html())
    error = _raised(PortkeyModel(base_url=portkey_provider.url), form)
    assert type(error) is BadResponse
    assert "it ends in /v1" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_a_document_broken_on_its_way_is_a_bad_response(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    # Straight from the provider, so that no gateway turns it into a 500.
    portkey_provider.fault(Fault.malformed_chunk(0.0))
    error = _raised(PortkeyModel(base_url=portkey_provider.url), form)
    assert type(error) is BadResponse


@pytest.mark.parametrize("form", FORMS)
def test_the_routes_own_time_limit_is_a_timeout(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    model = _through(portkey_gateway, _target(portkey_provider, request_timeout=100))

    error = _raised(model, form)

    assert type(error) is GatewayTimeout
    assert "the target's `Timeout`" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_the_clients_own_time_limit_is_a_timeout(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    model = _through(portkey_gateway, _target(portkey_provider), timeout=0.3)

    error = _raised(model, form)

    assert type(error) is GatewayTimeout
    assert "raise its limit" in str(error)
    assert len(portkey_provider.calls) == 1


# The gateway's guardrails


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
    config = _target(portkey_provider, **{key: guardrails})
    model = PortkeyModel(
        base_url=portkey_gateway.url, default_headers={"x-portkey-config": json.dumps(config)}
    )

    error = _raised(model, form)

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
    model = _through(portkey_gateway, _target(portkey_provider, **checks))

    error = _raised(model, form)

    assert type(error) is GatewayDeniedOutput
    assert isinstance(error, OutputCheckError)
    ended = play(Agent(model=model), form)
    assert ended.status == RunStatus.error
    assert "forbidden" not in str(ended.content)


def test_only_the_check_that_denied_is_named(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    checks = [*_words("Hi", deny=False), {"default.regexMatch": {"rule": "^Ho$"}, "deny": True}]
    model = _through(portkey_gateway, _target(portkey_provider, input_guardrails=checks))
    error = _raised(model, "run")
    assert "default.regexMatch" in str(error)
    assert "default.contains" not in str(error)


def test_a_denial_does_not_quote_what_was_denied(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("the patient is Jane")
    checks = [{"default.regexMatch": {"rule": "^fine$"}, "deny": True}]
    model = _through(portkey_gateway, _target(portkey_provider, output_guardrails=checks))

    error = _raised(model, "run")

    assert isinstance(error, GatewayDeniedOutput)
    assert "Jane" not in repr(error.verdict.as_dict())
    assert "default.regexMatch" in error.verdict.reason


# Streams


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.cut(), id="cut"),
        pytest.param(Fault.cut(clean=True), id="cut with a proper end"),
        pytest.param(Fault.malformed_chunk(), id="malformed chunk"),
        pytest.param(Fault.stall(), id="stall"),
        pytest.param(Fault.error_chunk(), id="error in the stream"),
    ],
)
def test_a_stream_that_breaks_after_text_was_shown_is_truncated(
    fault: Fault,
    form: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.reply(WORDS)
    portkey_provider.fault(fault, times=None)
    again = Recovery(attempts=3)
    model = _through(portkey_gateway, _target(portkey_provider), timeout=0.5, recovery=again)

    ended = play(Agent(model=model), form)

    assert ended.text_shown.startswith("one ")
    assert not ended.text_shown.endswith("six")
    assert ended.status == RunStatus.error
    assert ended.errors[0].error_type == "output_check_error"
    assert "not whole" in ended.content
    assert "discard it" in ended.content
    _is_friendly(ended.content)
    # A retry would put the second answer behind the beginning of the first.
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault.cut(0.0), BadResponse, id="cut"),
        pytest.param(Fault.cut(0.0, clean=True), BadResponse, id="cut with a proper end"),
        pytest.param(Fault.malformed_chunk(0.0), BadResponse, id="malformed chunk"),
        pytest.param(Fault.stall(0.0), GatewayTimeout, id="stall"),
        pytest.param(Fault.error_chunk(0.0), UpstreamFailed, id="error in the stream"),
    ],
)
def test_a_stream_that_breaks_before_anything_was_shown_can_be_tried_again(
    fault: Fault,
    error: type[GatewayError],
    form: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(lambda request: True, WORDS)
    portkey_provider.fault(fault, times=None)
    model = _through(portkey_gateway, _target(portkey_provider), timeout=0.5)
    assert type(_raised(model, form)) is error
    ended = play(Agent(model=model), form)
    assert (ended.status, ended.text_shown) == (RunStatus.error, "")

    portkey_provider.clear_faults()
    portkey_provider.fault(fault, times=1)
    again = PortkeyModel(base_url=portkey_gateway.url, config=model.config, timeout=0.5, retries=1)
    ended = play(Agent(model=again), form)
    if error is GatewayTimeout:
        # Who is silent is left, not asked again.
        assert ended.status == RunStatus.error
    else:
        assert (ended.status, ended.content) == (RunStatus.completed, WORDS.text)


@pytest.mark.parametrize("form", STREAMED)
def test_a_tool_call_whose_stream_broke_off_is_not_made(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    done: list[str] = []

    def deploy(target: str) -> str:
        """Deploy."""
        done.append(target)
        return "ok"

    call = ToolCall("deploy", {"target": "staging"})
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.fault(Fault.cut(0.99, clean=True), times=1)
    model = _through(portkey_gateway, _target(portkey_provider))
    ended = play(Agent(model=model, tools=[deploy]), form)
    assert ended.status == RunStatus.error
    assert done == []

    # Nothing was shown, so it may be asked again; the halves of two calls are not put together.
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.fault(Fault.cut(0.99, clean=True), times=1)
    portkey_provider.reply(Reply(tool_calls=(call,)))
    portkey_provider.reply("It is there.")
    twice = Recovery(attempts=2, wait=0.01)
    again = _through(portkey_gateway, _target(portkey_provider), recovery=twice)
    ended = play(Agent(model=again, tools=[deploy]), form)
    assert (ended.status, ended.content) == (RunStatus.completed, "It is there.")
    assert done == ["staging"]


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_without_its_last_mark_is_whole_once_it_named_its_end(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(WORDS)
    portkey_provider.fault(Fault.no_done())
    ended = play(Agent(model=portkey_model), form)
    assert (ended.status, ended.content) == (RunStatus.completed, WORDS.text)


def test_an_overflow_that_comes_within_a_stream_is_called_so(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    code = "context_length_exceeded"
    portkey_provider.fault(Fault.error_chunk(0.0, message="too much", code=code))
    assert type(_raised(portkey_model, "stream")) is ContextOverflow


def test_a_key_that_the_provider_quotes_is_not_passed_on(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    key = "sk-proj-abcdefgh12345678"
    portkey_provider.fault(Fault.status(401, message=f"Incorrect API key provided: {key}"))
    assert key not in str(_raised(portkey_model, "run"))


def test_a_parameter_that_the_client_does_not_take_is_named(portkey_model: PortkeyModel) -> None:
    portkey_model.request_params = {"no_such_parameter": 1}
    error = _raised(portkey_model, "run")
    assert type(error) is ConfigurationError
    assert "no_such_parameter" in str(error)
