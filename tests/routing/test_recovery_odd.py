"""Odd answers, odd routes and odd callers: each was once a way to break a promise."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, STREAMED, ask, play
from pydantic import BaseModel

from agno_portkey.errors import (
    AgnoPortkeyError,
    ConfigurationError,
    ContentFiltered,
    GatewayConfigRejected,
    UpstreamFailed,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import (
    CircuitBreaker,
    Circuits,
    Conditional,
    Fallback,
    GatewayCheck,
    Guardrail,
    LoadBalance,
    Recovery,
    Target,
    When,
    from_yaml,
    metadata,
)
from agno_portkey.routing.breaker.store import MemoryStore
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall
from agno_portkey.testing.faults import Answer

TEXT = "one two three four five six seven eight nine ten"
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


class Answered(BaseModel):
    """What is asked for."""

    text: str


Make = Callable[..., PortkeyModel]
Place = Callable[..., Target]


def _models(provider: EmbeddedProvider) -> list[str | None]:
    return [request.model for request in provider.calls]


def _said(error: dict[str, Any]) -> Fault:
    """An error in a document with status 200."""
    return Fault("answer", answer=Answer.of_json({"error": error}))


def _continues(request: Request) -> str:
    last = request.messages[-1]
    return TEXT[len(last["content"]) :] if last["role"] == "assistant" else TEXT


# Refusals


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("how", ["finish", "event"])
def test_a_refusal_amid_a_stream_is_continued_by_nobody_and_kept_for_nobody(
    how: str, form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    if how == "finish":
        portkey_provider.when(
            lambda request: request.model == "first",
            Reply("one two three", finish_reason="content_filter"),
        )
    else:
        portkey_provider.fault(Fault.error_chunk(code="content_filter"), model="first")
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    targets = [target("first", prefill=True), target("second", prefill=True)]
    model = through(Fallback(targets=targets))
    ended = play(Agent(model=model), form, user_id="ann")
    assert ended.status == RunStatus.error
    assert "content" in ended.content
    assert _models(portkey_provider) == ["first"]
    assert not model.router.partials


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "error",
    [
        {"message": "no", "code": "content_filter"},
        {"message": "no", "metadata": {"flagged_input": "..."}},
        {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    ],
    ids=["code", "flagged", "inner"],
)
def test_a_refusal_with_a_good_status_is_one_as_well(
    error: dict[str, Any],
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.fault(_said(error), times=None)
    with pytest.raises(ContentFiltered):
        ask(through(Fallback(targets=[target("first"), target("second")])), form)
    assert _models(portkey_provider) == ["first"]


# Whom to ask


@pytest.mark.parametrize("form", FORMS)
def test_who_can_never_be_chosen_does_not_make_a_branch_live(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None, model="dead")
    unnamed = Conditional(
        conditions=[When(query=metadata("x") == "1", then="named")],
        default="named",
        targets=[target("dead", name="named"), target("never", name="never")],
        weight=0.5,
    )
    unweighted = LoadBalance(targets=[target("zero", weight=0), target("dead")], weight=0.499)
    route = LoadBalance(targets=[unweighted, unnamed, target("alive", weight=0.001)])
    model = through(route, breaker=CircuitBreaker(failure_threshold=50))
    for _ in range(4):
        assert play(Agent(model=model), form).content == "You said: Hi"
    assert set(_models(portkey_provider)) <= {"dead", "alive"}


def test_the_pause_is_kept_though_an_open_circuit_looks_like_somebody_else(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    circuits = Circuits(CircuitBreaker(failure_threshold=1, cooldown=60))
    model = through(Fallback(targets=[target("shut"), target("slow")]), breaker=circuits)
    circuits.failed(model.router.plan(model).keys["config.targets[0]"], "down")
    portkey_provider.fault(Fault.status(429, retry_after=0.4), times=1, model="slow")
    model.router.circuits = Circuits(CircuitBreaker(failure_threshold=9, cooldown=60))
    for _ in range(9):
        shut = model.router.plan(model).keys["config.targets[0]"]
        model.router.circuits.failed(shut, "down")
    assert ask(model, "run")[0].content == "You said: Hi"
    first, second = (request.at for request in portkey_provider.calls)
    assert second - first >= 0.4
    assert _models(portkey_provider) == ["slow", "slow"]


@pytest.mark.parametrize("form", STREAMED)
def test_the_pause_is_kept_though_who_does_not_continue_looks_like_somebody_else(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    portkey_provider.fault(Fault.cut(), times=1, model="a")
    portkey_provider.fault(Fault.status(429, retry_after=0.4), times=1, model="a")
    route = Fallback(targets=[target("a", prefill=True), target("b")])
    ended = play(Agent(model=through(route)), form)
    assert (ended.status, ended.content) == (RunStatus.completed, TEXT)
    _, second, third = (request.at for request in portkey_provider.calls)
    assert third - second >= 0.4


# Secrets


@pytest.mark.parametrize("name", ["api_key", "portkey_api_key", "virtual_key"])
@pytest.mark.parametrize("key", [SECRET + "\n", "s\x00k", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_quoted(name: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        PortkeyModel(base_url="http://127.0.0.1:9/v1", profile="hosted", **{name: key})
    assert key not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_header_of_ones_own_is_not_quoted_either(
    form: str, portkey_gateway: LocalGateway
) -> None:
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        default_headers={"x-mine": SECRET + "\n"},
        recovery=Recovery(attempts=1),
    )
    with pytest.raises(GatewayConfigRejected, match="characters that no header") as caught:
        ask(model, form)
    assert SECRET not in str(caught.value)


def test_a_variable_with_a_line_break_is_named_and_not_quoted(
    target: Place, through: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", SECRET + "\n")
    model = through(target("m", api_key="${A_KEY}"))
    with pytest.raises(ConfigurationError, match="A_KEY holds a line break") as caught:
        ask(model, "run")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_that_the_provider_quotes_is_taken_out(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, TEXT)
    words = f"the key {SECRET} is wrong"
    model = through(
        target("m"), recovery=Recovery(attempts=1), breaker=CircuitBreaker(enabled=False)
    )
    for fault in (_said({"message": words}), Fault.error_chunk(0.0, message=words),
                  Fault.error_chunk(message=words)):  # fmt: skip
        portkey_provider.fault(fault)
        with pytest.raises(AgnoPortkeyError) as caught:
            ask(model, form)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_read_when_a_request_is_made(
    form: str,
    target: Place,
    through: Make,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", "one")
    model = through(target("m", api_key="${A_KEY}"))
    ask(model, form)
    monkeypatch.setenv("A_KEY", "two")
    ask(model, form)
    sent = [request.headers["authorization"] for request in portkey_provider.calls]
    assert sent == ["Bearer one", "Bearer two"]
    monkeypatch.delenv("A_KEY")
    with pytest.raises(ConfigurationError, match="A_KEY"):
        ask(model, form)


# Callers


@pytest.mark.parametrize("form", STREAMED)
def test_what_is_nobodys_by_name_is_kept_for_nobody(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
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
    portkey_provider.when(lambda request: True, lambda request: _continues(request))
    portkey_provider.fault(Fault.cut(), model="a")
    portkey_provider.fault(Fault.status(503), times=None, model="b")
    circuits = Circuits(CircuitBreaker(failure_threshold=3, cooldown=60))
    model = through(Fallback(targets=[target("a"), target("b", prefill=True)]), breaker=circuits)
    assert play(Agent(model=model), form, user_id="ann").status == RunStatus.error
    assert model.router.partials
    asked = len(portkey_provider.calls)
    ended = play(Agent(model=model), form, user_id="ann")
    assert (ended.status, ended.content, ended.text_shown) == (RunStatus.completed, TEXT, TEXT)
    assert _models(portkey_provider)[asked:] == ["a"]


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
    assert _models(portkey_provider) == ["first", "second"]


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
