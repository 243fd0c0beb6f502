"""Guards in the model see all that reaches the provider, and block by whatever they raise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import CheckTrigger, InputCheckError
from agno.guardrails import BaseGuardrail, PIIDetectionGuardrail
from agno.metrics import MessageMetrics
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play

from agno_portkey.errors import InputBlocked
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

MAIL = "ann@example.com"
MASKED = "*" * len(MAIL)


def _guarded(model: PortkeyModel, *guards: BaseGuardrail) -> PortkeyModel:
    model.guards = guards
    return model


def _sent(provider: EmbeddedProvider) -> str:
    return json.dumps([request.body["messages"] for request in provider.calls])


class Raises(BaseGuardrail):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def check(self, run_input: Any) -> None:
        raise self.error

    async def async_check(self, run_input: Any) -> None:
        raise self.error


class OnlyAsync(BaseGuardrail):
    """As people write one by mistake: both forms are coroutines."""

    async def check(self, run_input: Any) -> None:  # type: ignore[override]
        return None

    async def async_check(self, run_input: Any) -> None:
        return None


class Unwritten(BaseGuardrail):
    def check(self, run_input: Any) -> None:
        raise NotImplementedError

    async def async_check(self, run_input: Any) -> None:
        return None


class Replaces(BaseGuardrail):
    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def check(self, run_input: Any) -> None:
        run_input.input_content = run_input.input_content_string().replace(self.old, self.new)

    async def async_check(self, run_input: Any) -> None:
        self.check(run_input)


@pytest.mark.parametrize("form", FORMS)
def test_mail_is_masked_in_all_that_the_provider_is_sent(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def find(who: str) -> str:
        """Find somebody's address."""
        return f"{who} is at {MAIL}"

    call = ToolCall("find", {"who": f"the owner of {MAIL}"})
    portkey_provider.reply(Reply(f"Looking for {MAIL}", tool_calls=(call,)))
    portkey_provider.reply(f"It is {MAIL}.")
    agent = Agent(
        model=_guarded(portkey_model, PIIDetectionGuardrail(mask_pii=True)),
        instructions=f"Tell everything to {MAIL}.",
        additional_input=[Message(role="user", content=f"My other address is {MAIL}")],
        dependencies={"contact": MAIL},
        add_dependencies_to_context=True,
        tools=[find],
        db=InMemoryDb(),  # type: ignore[no-untyped-call]
        add_history_to_context=True,
    )
    first = play(agent, form, f"Who is {MAIL}?", session_id="s")
    second = play(agent, form, "And now?", session_id="s")

    assert len(portkey_provider.calls) == 3
    assert MAIL not in _sent(portkey_provider)
    system, *_ = portkey_provider.calls[0].messages
    assert f"Tell everything to {MASKED}." in system["content"]
    [asked] = [m for m in portkey_provider.calls[1].messages if m.get("tool_calls")]
    arguments = json.loads(asked["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"who": f"the owner of {MASKED}"}
    [result] = portkey_provider.calls[1].tool_results
    assert result == f"the owner of {MAIL} is at {MAIL}".replace(MAIL, MASKED)
    history = [m["content"] for m in portkey_provider.calls[2].messages if m["role"] == "user"]
    assert any(text.startswith(f"Who is {MASKED}?") for text in history)
    # What is sent is rewritten, what the run holds is not.
    assert first.status == second.status == RunStatus.completed
    assert first.content.endswith(f"It is {MAIL}.")


@pytest.mark.parametrize("form", FORMS)
def test_a_guard_that_breaks_blocks_the_call(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    model = _guarded(portkey_model, Raises(ValueError("its list is gone")))
    with pytest.raises(InputBlocked, match=r"Raises failed: ValueError$"):
        ask(model, form)
    ended = play(Agent(model=model), form)
    assert ended.status == RunStatus.error
    assert "Raises failed" in ended.content
    assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
def test_a_guard_that_says_no_is_passed_on_as_it_is(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    refusal = InputCheckError("not this", check_trigger=CheckTrigger.OFF_TOPIC)
    model = _guarded(portkey_model, Raises(refusal))
    with pytest.raises(InputCheckError) as caught:
        ask(model, form)
    assert caught.value is refusal
    assert play(Agent(model=model), form).content == "not this"
    assert portkey_provider.requests == []


@pytest.mark.parametrize("guard", [OnlyAsync(), Unwritten()], ids=["a coroutine", "unwritten"])
@pytest.mark.parametrize("form", FORMS)
def test_a_guard_that_is_only_async_blocks_a_sync_call(
    form: str,
    guard: BaseGuardrail,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    ended = play(Agent(model=_guarded(portkey_model, guard)), form)
    if form in ("arun", "astream"):
        assert ended.content == "You said: Hi"
    else:
        assert ended.status == RunStatus.error
        assert type(guard).__name__ in ended.content
        assert portkey_provider.requests == []


@pytest.mark.parametrize("form", FORMS)
def test_guards_work_one_after_the_other(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    guards = Replaces("one", "two"), Replaces("two", "three")
    ask(_guarded(portkey_model, *guards), form, "one")
    assert portkey_provider.calls[0].last_user == "three"


@pytest.mark.parametrize("form", FORMS)
def test_text_in_parts_and_compressed_results_are_seen_too(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIDetectionGuardrail(mask_pii=True),)
    parts = [{"type": "text", "text": f"Mine is {MAIL}"}, {"type": "text", "text": "and yours?"}]
    ask(portkey_model, form, messages=[Message(role="user", content=parts)])
    assert portkey_provider.calls[0].last_user == f"Mine is {MASKED}\nand yours?"

    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    packed = Message(role="tool", tool_call_id="c", content="long", compressed_content=MAIL)
    history = [Message(role="user", content="Hi"), Message(role="assistant", tool_calls=[call])]
    from agno.compression.manager import CompressionManager

    manager = CompressionManager(compress_tool_results=True, compress_tool_results_limit=99)
    ask(portkey_model, form, messages=[*history, packed], compression_manager=manager)
    assert portkey_provider.calls[1].tool_results == [MASKED]


def test_arguments_that_were_masked_are_still_json(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (PIIDetectionGuardrail(mask_pii=True),)
    arguments = '{"phone": 5551234567}'
    call = {"id": "c", "type": "function", "function": {"name": "ring", "arguments": arguments}}
    messages = [
        Message(role="user", content="Ring them"),
        Message(role="assistant", tool_calls=[call]),
        Message(role="tool", tool_call_id="c", content="rung"),
    ]
    ask(portkey_model, "run", messages=messages)
    sent = portkey_provider.calls[0].messages[1]["tool_calls"][0]["function"]["arguments"]
    assert "5551234567" not in sent
    assert isinstance(json.loads(sent), dict)
    # What is kept is what was sent; what the caller holds is untouched.
    assert messages[1].tool_calls[0]["function"]["arguments"] == sent
    assert call["function"] == {"name": "ring", "arguments": arguments}


def test_nothing_is_copied_where_no_guard_rewrites_anything(portkey_model: PortkeyModel) -> None:
    seen: list[Any] = []

    class Looks(BaseGuardrail):
        def check(self, run_input: Any) -> None:
            seen.append(run_input.input_content)

        async def async_check(self, run_input: Any) -> None:
            self.check(run_input)

    portkey_model.guards = (Looks(),)
    messages = [Message(role="system", content="You are."), Message(role="user", content="Hi")]
    ask(portkey_model, "run", messages=messages)
    assert seen == ["You are.", "Hi"]


def test_what_a_guard_can_not_read_is_passed_on_as_it_is(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    """Parts that are not text, and tool calls whose arguments are none, as a history may hold."""
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    odd = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"id": "2", "type": "function", "function": {"name": "f", "arguments": f'"{MAIL}"'}},
    ]
    model = _guarded(portkey_model, PIIDetectionGuardrail(mask_pii=True))
    model.invoke(
        [
            Message(role="user", content=[picture, {"type": "text", "text": MAIL}, MAIL]),
            Message(role="assistant", tool_calls=odd),
        ],
        Message(role="assistant", metrics=MessageMetrics()),
    )
    user, assistant = portkey_provider.calls[0].messages
    assert user["content"] == [picture, {"type": "text", "text": MASKED}, MASKED]
    sent = [call["function"]["arguments"] for call in assistant["tool_calls"]]
    assert sent == ["", f'"{MASKED}"']


def test_several_guards_run_in_order(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    masks = PIIDetectionGuardrail(mask_pii=True)
    blocked = Agent(model=_guarded(portkey_model, masks, PIIDetectionGuardrail())).run(MAIL)
    assert blocked.status == RunStatus.completed
    assert MASKED in _sent(portkey_provider)
