"""Odd callers, answers and files: each was once a way to break a promise."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from pydantic import BaseModel
from recovering import TEXT, Make, Place, continued, models_asked

from agno_portkey.errors import (
    AgnoPortkeyError,
    ConfigurationError,
    UpstreamFailed,
)
from agno_portkey.routing import (
    CircuitBreaker,
    Circuits,
    Conditional,
    Fallback,
    GatewayCheck,
    Guardrail,
    Recovery,
    When,
    from_yaml,
    metadata,
)
from agno_portkey.routing.breaker.store import MemoryStore
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.testing.faults import Answer


class Answered(BaseModel):
    """What is asked for."""

    text: str


# Callers


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_nobodys_by_name_is_kept_for_nobody(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), model="a")
    portkey_provider.fault(Fault.status(503), times=3, model="b")
    model = through(Fallback(targets=[target("a"), target("b", prefill=True)]))
    with pytest.raises(AgnoPortkeyError):
        ask(model, form)
    assert not model.router.partials
    assert play(Agent(model=model), form).content == TEXT


@pytest.mark.parametrize("form", STREAMED)
def test_a_beginning_that_only_a_shut_target_could_continue_is_dropped(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), model="a")
    portkey_provider.fault(Fault.status(503), times=None, model="b")
    circuits = Circuits(CircuitBreaker(failure_threshold=3, cooldown=60))
    model = through(Fallback(targets=[target("a"), target("b", prefill=True)]), breaker=circuits)
    assert play(Agent(model=model), form, user_id="ann").status == RunStatus.error
    assert model.router.partials
    asked = len(portkey_provider.calls)
    ended = play(Agent(model=model), form, user_id="ann")
    assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)
    assert models_asked(portkey_provider)[asked:] == ["a"]


@pytest.mark.parametrize("form", FORMS)
def test_another_callers_probe_behind_a_condition_is_left_to_it(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=5), clock=lambda: now[0])
    route = Conditional(
        conditions=[When(query=metadata("region") == "eu", then="eu")],
        default="us",
        targets=[target("eu", name="eu"), target("us", name="us")],
    )
    model = through(route, breaker=circuits)
    eu, us = model.router.plan(model).keys.values()
    for key in (eu, us):
        circuits.failed(key, "down")
    now[0] = 5.0
    taken = circuits.claim(eu)
    assert taken is not None
    assert play(Agent(model=model), form).content == "You said: Hi"
    assert {key: state.state for key, state in circuits.states().items()} == {
        eu: "half_open",
        us: "closed",
    }
    circuits.release(taken)
    assert circuits.claim(eu) is not None


def test_a_reader_who_takes_its_time_gets_the_whole_answer(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply(TEXT, token_delay=0.05))
    circuits = Circuits(CircuitBreaker(failure_threshold=1))
    model = through(target("m"), breaker=circuits)
    shown = ""
    for delta in model.response_stream(messages=[Message(role="user", content="Hi")]):
        if delta.content and not shown:
            time.sleep(1.0)
        shown += delta.content or ""
    assert shown == TEXT
    assert circuits.states() == {}


def test_an_event_loop_that_was_kept_busy_gets_the_whole_answer(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply(TEXT, token_delay=0.05))
    model = through(target("m"))

    async def read() -> str:
        async def block() -> None:
            await asyncio.sleep(0.1)
            time.sleep(1.0)  # noqa: ASYNC251 - the fault that is tried

        blocking = asyncio.create_task(block())
        messages = [Message(role="user", content="Hi")]
        shown = [delta.content async for delta in model.aresponse_stream(messages=messages)]
        await blocking
        return "".join(part or "" for part in shown)

    assert asyncio.run(read()) == TEXT


class _Slow(MemoryStore):
    """A store that takes its time, as one on a network may."""

    blocking = True

    def read(self, keys: Any) -> Any:
        time.sleep(0.02)
        return super().read(keys)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.05])
def test_a_probe_is_given_back_whenever_its_caller_is_cancelled(
    after: float, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    now = [0.0]
    store = _Slow(clock=lambda: now[0])
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=5), store=store)
    model = through(target("m"), breaker=circuits, recovery=Recovery(attempts=1))
    portkey_provider.fault(Fault.status(503))
    with pytest.raises(UpstreamFailed):
        ask(model, "run")
    now[0] = 5.0
    portkey_provider.fault(Fault.silence(), times=None)

    async def leave() -> None:
        asked = asyncio.create_task(model.aresponse(messages=[Message(role="user", content="Hi")]))
        await asyncio.sleep(after)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(leave())
    [key] = circuits.states()
    claim = circuits.claim(key)
    assert claim is not None
    assert claim.probe is not None


# Answers


@pytest.mark.parametrize("form", FORMS)
def test_tools_are_called_though_the_answer_is_checked_unstreamed(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    made: list[str] = []

    def deploy(place: str) -> str:
        """Deploy."""
        made.append(place)
        return "done"

    calls = [ToolCall("deploy", {"place": "a"}), ToolCall("deploy", {"place": "b"})]
    portkey_provider.when(lambda request: not request.tool_results, Reply(tool_calls=calls))
    check = GatewayCheck(id="contains", parameters={"words": ["seven"], "operator": "none"})
    model = through(target("m", output_guardrails=[Guardrail(checks=[check])]))
    assert play(Agent(model=model, tools=[deploy]), form).status == RunStatus.completed
    # The host runs the tools of one answer at once where it can.
    assert sorted(made) == ["a", "b"]


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("response_format", [{"type": "json_object"}, Answered])
def test_json_that_is_streamed_is_held_and_begun_anew(
    response_format: Any,
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when(lambda request: True, Answered(text=TEXT))
    portkey_provider.fault(Fault.cut(), model="first")
    model = through(Fallback(targets=[target("first"), target("second")]))
    deltas = ask(model, form, response_format=response_format)
    shown = "".join(delta.content or "" for delta in deltas)
    assert json.loads(shown) == {"text": TEXT}
    assert models_asked(portkey_provider) == ["first", "second"]


@pytest.mark.parametrize("form", STREAMED)
def test_what_breaks_behind_the_finish_breaks_nothing(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"

    parts = (event({"role": "assistant", "content": TEXT}), event({}, "stop"), b"data: {broken\n\n")
    portkey_provider.fault(Fault("answer", answer=Answer(parts, content_type="text/event-stream")))
    ended = play(Agent(model=through(target("m"))), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)
    assert len(portkey_provider.calls) == 1


def test_the_event_of_a_call_holds_nothing_of_an_attempt_that_failed(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Any] = []
    portkey_provider.fault(Fault.cut(), model="first")
    route = Fallback(targets=[target("first"), target("second")])
    ask(through(route, observers=[lambda event: heard.append(event)]), "run")
    failed, _, call = heard
    assert failed.data["gateway_exception"] == "true"
    assert "gateway_exception" not in call.data
    assert (call.data["target"], call.data["attempts"]) == ("openai/second", 2)


def test_plans_of_settings_long_gone_are_forgotten(target: Place, through: Make) -> None:
    model = through(target("m"))
    for number in range(200):
        model.id = f"model-{number}"
        model.router.plan(model)
    assert len(model.router._plans) <= 64


# Files


def test_aliases_in_yaml_are_refused_before_they_unfold() -> None:
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(ConfigurationError, match="aliases are not read"):
        from_yaml(f"a0: &a0 x\n{levels}")


@pytest.mark.parametrize(
    "text",
    ["[" * 3000, "{mode: single, target: " * 600 + "{provider: openai}" + "}" * 600],
    ids=["lists", "routes"],
)
def test_yaml_that_is_nested_without_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        from_yaml(text + "\n")


def test_threads_share_a_plan(target: Place, through: Make) -> None:
    model = through(Fallback(targets=[target(f"m{n}") for n in range(4)]))
    plan = model.router.plan(model)
    paths = [leaf.path for leaf in plan.leaves]
    failed: list[BaseException] = []

    def look(seed: int) -> None:
        try:
            for number in range(400):
                closed = {path for bit, path in enumerate(paths) if (seed + number) >> bit & 1}
                emitted = plan.emit(frozenset(closed), (), "answer", patient=bool(number % 2))
                assert (emitted is None) == (len(closed) == 4)
                assert emitted is None or json.loads(emitted.header)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
