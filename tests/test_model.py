"""`PortkeyModel` does in all four forms what Agno's own model does, but for its response cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, play

from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall, Usage

FIRST = Usage(prompt_tokens=11, completion_tokens=5, cached_tokens=3)
SECOND = Usage(prompt_tokens=20, completion_tokens=7, reasoning_tokens=2)


def weather(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}: sun for {days} days"


def _script(provider: EmbeddedProvider) -> None:
    call = ToolCall("weather", {"city": "Oslo", "days": 3}, id="call_1")
    other = ToolCall("weather", {"city": "Rome"}, id="call_2")
    provider.reply(Reply(tool_calls=(call, other), usage=FIRST))
    provider.reply(Reply("Sun, three days. Ça va 🌞", usage=SECOND, chunk_size=3))


def _facts(model: Any, form: str) -> dict[str, Any]:
    output = play(Agent(model=model, tools=[weather]), form).output
    assert output is not None
    assert output.metrics is not None
    assistants = [m for m in output.messages or [] if m.role == "assistant"]
    return {
        "status": output.status,
        "content": output.content,
        "tools": [(t.tool_name, t.tool_args, t.result) for t in output.tools or []],
        "tokens": (output.metrics.input_tokens, output.metrics.output_tokens),
        "details": (output.metrics.cache_read_tokens, output.metrics.reasoning_tokens),
        "calls": [
            [(call["id"], json.loads(call["function"]["arguments"])) for call in m.tool_calls or []]
            for m in assistants
        ],
        "texts": [m.content for m in assistants],
    }


# Four forms


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_text_usage_and_tool_calls(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    facts = _facts(portkey_model, form)
    assert facts["texts"][0] in (None, "")
    assert {**facts, "texts": facts["texts"][1:]} == {
        "status": RunStatus.completed,
        "content": "Sun, three days. Ça va 🌞",
        "tools": [
            ("weather", {"city": "Oslo", "days": 3}, "Oslo: sun for 3 days"),
            ("weather", {"city": "Rome"}, "Rome: sun for 1 days"),
        ],
        "tokens": (31, 12),
        "details": (3, 2),
        "calls": [[("call_1", {"city": "Oslo", "days": 3}), ("call_2", {"city": "Rome"})], []],
        "texts": ["Sun, three days. Ça va 🌞"],
    }
    assert [request.stream for request in portkey_provider.calls] == [form in STREAMED] * 2


# Agno's own model leaves its async connections open, so only the others are compared.
@pytest.mark.parametrize("form", ["run", "stream"])
def test_the_host_sees_no_difference_from_its_own_model(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    own = OpenAILike(id="gpt-4o-mini", api_key="k", base_url=portkey_provider.url)
    _script(portkey_provider)
    theirs = _facts(own, form)
    _script(portkey_provider)
    assert _facts(portkey_model, form) == theirs


@pytest.mark.parametrize("form", FORMS)
def test_text_is_shown_as_it_comes(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.reply(Reply(chunks=["one ", "two ", "three"]))
    ended = play(Agent(model=portkey_model), form)
    assert ended.content == "one two three"
    assert list(ended.shown) == (["one ", "two ", "three"] if form in STREAMED else [])


def test_the_host_may_ask_again_with_guidance(portkey_model: PortkeyModel) -> None:
    from agno.metrics import MessageMetrics
    from agno.models.message import Message

    answer = portkey_model.invoke(
        messages=[Message(role="user", content="Hi")],
        assistant_message=Message(role="assistant", metrics=MessageMetrics()),
        retry_with_guidance=True,
    )
    assert answer.content == "You said: Hi"


# The response cache of the host


@pytest.mark.parametrize("form", FORMS)
def test_a_response_cache_switched_on_later_serves_nobody(
    form: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    tmp_path: Any,
) -> None:
    portkey_provider.reply("Dear Ann")
    portkey_provider.reply("Dear Bob")
    portkey_model.cache_response = True
    portkey_model.cache_dir = str(tmp_path)
    agent = Agent(model=portkey_model)
    said = [play(agent, form, user_id=user).content for user in ("ann", "bob")]
    assert said == ["Dear Ann", "Dear Bob"]
    assert len(portkey_provider.calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["run", "stream"])
def test_what_another_model_put_into_the_cache_is_not_served(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel, tmp_path: Any
) -> None:
    cache: dict[str, Any] = {"cache_response": True, "cache_dir": str(tmp_path)}
    own = OpenAILike(id=portkey_model.id, api_key="k", base_url=portkey_provider.url, **cache)
    portkey_provider.reply("Dear Ann")
    portkey_provider.reply("Dear Bob")
    assert play(Agent(model=own), form).content == "Dear Ann"
    assert list(tmp_path.iterdir())
    portkey_model.cache_response, portkey_model.cache_dir = True, str(tmp_path)
    assert play(Agent(model=portkey_model), form).content == "Dear Bob"
