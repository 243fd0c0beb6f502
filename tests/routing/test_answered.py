"""What the gateway says beside the answer is on the run and on each message it gave."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from four_forms import FORMS, play

from agno_portkey.model import PortkeyModel
from agno_portkey.routing.answered import read_headers
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.verdict import Event

RUN_ID = "0f1e2d3c-4b5a-4697-8877-665544332211"


def _fallback(provider: EmbeddedProvider, **first: Any) -> dict[str, Any]:
    target = {"provider": "openai", "api_key": "k", "custom_host": provider.url}
    return {
        "strategy": {"mode": "fallback"},
        "targets": [
            {**target, "override_params": {"model": "first"}, **first},
            {**target, "override_params": {"model": "second"}},
        ],
    }


def _assistants(messages: Any) -> list[Any]:
    return [message for message in messages or [] if message.role == "assistant"]


@pytest.mark.parametrize("form", FORMS)
def test_the_run_and_its_message_say_which_target_answered(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None, model="first")
    model = PortkeyModel(base_url=portkey_gateway.url, config=_fallback(portkey_provider))

    ended = play(Agent(model=model), form, run_id=RUN_ID)

    assert ended.status == RunStatus.completed
    assert ended.output is not None
    expected = {
        "provider": "openai",
        "option_index": "config.targets[1]",
        "retry_attempt_count": 0,
        "cache_status": "DISABLED",
        "trace_id": RUN_ID.replace("-", ""),
        "model": "second",
        "finish_reason": "stop",
        "target": "openai/second",
        "attempts": 2,
    }
    assert (ended.output.model_provider_data or {})["portkey"] == expected
    [message] = _assistants(ended.output.messages)
    assert message.provider_data["portkey"] == expected
    assert [request.model for request in portkey_provider.calls] == ["first", "second"]


@pytest.mark.parametrize("routed", [False, True])
def test_what_an_event_was_given_of_it_gets_no_keys_later(
    routed: bool, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    # A consumer in another thread may be reading the event by then.
    config = _fallback(portkey_provider)
    config = config if routed else config["targets"][0]
    model = PortkeyModel(base_url=portkey_gateway.url, config=config)
    given = []
    for event in Agent(model=model).run("Hi", stream=True, stream_events=True):
        if known := (getattr(event, "model_provider_data", None) or {}).get("portkey"):
            given.append((known, set(known)))

    assert len(given) > 1
    assert all(set(known) == keys for known, keys in given)
    assert given[0][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("form", FORMS)
def test_each_message_of_a_run_with_tools_has_its_own(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    def weather(city: str) -> str:
        """The weather."""
        # What answers the second call is the second target.
        portkey_provider.fault(Fault.status(500), times=None, model="first")
        return f"sunny in {city}"

    portkey_provider.reply(Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),)))
    portkey_provider.reply("It is sunny.")
    model = PortkeyModel(base_url=portkey_gateway.url, config=_fallback(portkey_provider))

    ended = play(Agent(model=model, tools=[weather]), form)

    assert ended.content == "It is sunny."
    assert ended.output is not None
    told = [message.provider_data["portkey"] for message in _assistants(ended.output.messages)]
    assert [each["option_index"] for each in told] == ["config.targets[0]", "config.targets[1]"]
    assert [each["finish_reason"] for each in told] == ["tool_calls", "stop"]
    assert [each["model"] for each in told] == ["first", "second"]
    assert (ended.output.model_provider_data or {})["portkey"] == told[-1]


@pytest.mark.parametrize("form", FORMS)
def test_retries_of_the_gateway_are_counted(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=1)
    config = {
        "provider": "openai",
        "api_key": "k",
        "custom_host": portkey_provider.url,
        "retry": {"attempts": 2, "on_status_codes": [503]},
    }
    model = PortkeyModel(base_url=portkey_gateway.url, config=config, retries="gateway")
    ended = play(Agent(model=model), form)

    assert ended.output is not None
    assert (ended.output.model_provider_data or {})["portkey"]["retry_attempt_count"] == 1
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("form", FORMS)
def test_an_observer_hears_where_a_call_went_also_when_it_failed(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)

    portkey_provider.fault(Fault.status(500), times=1)
    target = {"provider": "openai", "api_key": "k", "custom_host": portkey_provider.url}
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        config=target,
        observers=[hear],
        recovery=Recovery(attempts=1),
    )

    play(Agent(model=model, name="Clerk"), form)
    play(Agent(model=model, name="Clerk"), form)

    attempted, failed, _, answered = heard
    assert [event.kind for event in heard] == ["attempt", "call", "attempt", "call"]
    assert (attempted.data["target"], attempted.data["status"]) == ("config", 500)
    assert failed.data["error"] == "UpstreamFailed"
    assert (failed.data["provider"], failed.data["option_index"]) == ("openai", "config")
    assert "error" not in answered.data
    assert answered.data["finish_reason"] == "stop"
    assert answered.data["output_tokens"] > 0
    assert answered.role == "Clerk"
    assert answered.data["stream"] == (form in ("stream", "astream"))


def test_headers_that_are_absent_or_no_number_are_left_out() -> None:
    headers = httpx.Headers({"x-portkey-retry-attempt-count": "many", "x-other": "1"})
    assert read_headers(headers) == {}
    headers = httpx.Headers({"x-portkey-retry-attempt-count": "-1", "x-portkey-provider": "groq"})
    assert read_headers(headers) == {"retry_attempt_count": -1, "provider": "groq"}
