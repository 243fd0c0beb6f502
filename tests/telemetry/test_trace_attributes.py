"""What spans say: who answered, for whom, at what cost; and the one id that the gateway is told."""

from __future__ import annotations

import asyncio
import gc
import time
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.models.response import ModelResponse
from openai import OpenAI
from opentelemetry import context, trace
from opentelemetry.trace import format_span_id, format_trace_id
from seen_spans import Seen, attribute
from shapes import Stage, play

from agno_portkey import PortkeyModel
from agno_portkey.calls import Call, Deltas
from agno_portkey.drivers import SyncIO, drive
from agno_portkey.errors import GatewayError
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.hooks import TagHook
from agno_portkey.pipeline import compose
from agno_portkey.routing import Fallback, LoadBalance, Target
from agno_portkey.spans import trace_layer, tracing
from agno_portkey.telemetry import names
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.replies import Usage

OURS = names.OURS


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: object) -> Stage:
    return Stage(portkey_provider, tmp_path)  # type: ignore[arg-type]


def test_who_answered_is_what_the_gateway_says(
    seen: Seen, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    url = portkey_provider.url
    hosts = {"openai": url, "together-ai": url.removesuffix("/v1")}
    targets = [Target(provider=name, api_key="k", custom_host=hosts[name]) for name in hosts]
    model = PortkeyModel(base_url=portkey_model.base_url, config=Fallback(targets=targets))
    portkey_provider.fault(Fault.status(500))
    portkey_provider.reply(Reply("Hello", usage=Usage(11, 5)))
    Agent(name="Helper", model=model).run("Hi")
    spans = seen.spans()
    [call] = spans.named("chat ")
    assert attribute(call, names.PROVIDER) == "together-ai"
    last = spans.named("attempt ")[-1]
    assert attribute(last, names.PROVIDER) == "together-ai"
    assert attribute(last, f"{OURS}option_index") in ("1", "config.targets[1]")
    assert spans.tokens() == (11, 5)


def test_the_gateway_and_the_trace_have_one_id(
    seen: Seen, stage: Stage, portkey_provider: EmbeddedProvider
) -> None:
    stage.says("Hello")
    stage.agent().run("Hi")
    [call] = seen.spans().named("chat ")
    headers = portkey_provider.calls[0].headers
    trace_id = format_trace_id(call.context.trace_id)
    assert headers["x-portkey-trace-id"] == trace_id
    assert headers["traceparent"] == f"00-{trace_id}-{format_span_id(call.context.span_id)}-01"


@pytest.mark.parametrize("form", ["run", "arun", "stream", "astream"])
def test_every_span_bears_the_tags(seen: Seen, stage: Stage, form: str) -> None:
    stage.says("Hello")
    play(stage.agent(), form, session_id="s-1")
    spans = seen.spans()
    for span in spans:
        assert attribute(span, f"{OURS}role") == "Helper"
        assert attribute(span, f"{OURS}cost_center") == "cc-7"
    [run], [call] = spans.named("invoke_agent"), spans.named("chat")
    for span in (run, call):
        assert attribute(span, names.SESSION_ID) == "s-1"
    assert attribute(run, names.RUN_ID) == attribute(call, names.RUN_ID) is not None
    assert attribute(run, names.AGENT_ID) == "helper"


def test_tags_of_a_hook_are_on_the_calls(seen: Seen, stage: Stage) -> None:
    stage.says("Hello")
    model = PortkeyModel(base_url=stage.provider.url, api_key="k")
    Agent(name="Helper", model=model, pre_hooks=[TagHook(cost_center="cc-9")]).run("Hi")
    spans = seen.spans()
    for span in (*spans.named("chat "), *spans.named("attempt ")):
        assert attribute(span, f"{OURS}cost_center") == "cc-9"


def test_a_price_is_known_of_known_models(seen: Seen, stage: Stage) -> None:
    stage.provider.reply(Reply("Hello", usage=Usage(1_000_000, 1_000_000)))
    stage.agent().run("Hi")
    [call] = seen.spans().named("chat ")
    # OpenAI's own price of gpt-4o-mini: 0.15 and 0.60 dollars for a million tokens.
    assert attribute(call, names.COST) == pytest.approx(0.75)


def test_who_did_not_answer_is_who_was_asked(seen: Seen, stage: Stage) -> None:
    model = PortkeyModel(
        base_url="http://127.0.0.1:9/v1", api_key="k", portkey_provider="anthropic"
    )
    stage.agent(model=model).run("Hi")
    spans = seen.spans()
    for span in (*spans.named("attempt "), *spans.named("chat ")):
        assert attribute(span, names.PROVIDER) == "anthropic"


def test_of_an_unknown_model_the_cost_is_not_told(seen: Seen, stage: Stage) -> None:
    stage.says("Hello")
    model = PortkeyModel("nobodys-model", base_url=stage.provider.url, api_key="k")
    stage.agent(model=model).run("Hi")
    [call] = seen.spans().named("chat ")
    assert attribute(call, names.COST) is None
    assert attribute(call, names.INPUT_TOKENS) == 7


def test_what_the_gateway_kept_is_paid_for_once(seen: Seen, stage: Stage) -> None:
    kept = {"x-portkey-cache-status": "HIT"}
    stage.provider.reply(Reply("Hello", usage=Usage(7, 3), headers=kept))
    stage.agent().run("Hi")
    spans = seen.spans()
    [call] = spans.named("chat ")
    assert spans.tokens() == (0, 0)
    assert attribute(call, names.COST) == 0


def test_what_a_model_thought_is_paid_for(seen: Seen, stage: Stage) -> None:
    """Some count it in the total alone."""
    said: Any = SimpleNamespace(
        as_dict=lambda: {
            "prompt_tokens": 1_000_000,
            "completion_tokens": 500_000,
            "total_tokens": 2_000_000,
        }
    )
    stage.provider.reply(Reply("Hello", usage=said))
    stage.agent().run("Hi")
    [call] = seen.spans().named("chat ")
    assert attribute(call, names.COST) == pytest.approx(0.75)


def test_who_does_not_say_what_was_used_costs_nobody_knows_what(seen: Seen, stage: Stage) -> None:
    nothing = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
    said: Any = SimpleNamespace(as_dict=lambda: nothing)
    stage.provider.reply(Reply("Hello", usage=said))
    stage.agent().run("Hi")
    [call] = seen.spans().named("chat ")
    assert attribute(call, names.COST) is None


def test_arm_and_environment_are_on_the_call(
    seen: Seen,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "staging")
    arm = Target(
        name="canary", provider="openai", api_key="k", custom_host=portkey_provider.url, weight=1
    )
    split = LoadBalance(sticky="user", experiment="spring", targets=[arm])
    portkey_provider.reply("Hello")
    model = PortkeyModel(base_url=portkey_model.base_url, config=split)
    Agent(name="Helper", model=model).run("Hi", user_id="ann")
    spans = seen.spans()
    [attempt] = spans.named("attempt ")
    assert attribute(attempt, f"{OURS}arm") == "canary"
    assert attribute(attempt, f"{OURS}experiment") == "spring"
    for span in spans:
        assert attribute(span, f"{OURS}environment") == "staging", span.name


def test_a_first_word_comes_before_the_last(seen: Seen, stage: Stage) -> None:
    stage.provider.reply(Reply("one two three four", token_delay=0.02))
    list(stage.agent().run("Hi", stream=True))
    [call] = seen.spans().named("chat ")
    first = attribute(call, names.FIRST_TOKEN)
    assert isinstance(first, float)
    lasted = ((call.end_time or 0) - (call.start_time or 0)) / 1e9
    assert 0 < first < lasted


def test_what_was_never_sent_took_nothing_and_is_not_said_to_be_free(
    seen: Seen, stage: Stage
) -> None:
    @guard
    def never(passage: Passage) -> Block:
        return Block("never")

    stage.agent(model=stage.model(guards=[never])).run("Hi")
    [call] = seen.spans().named("chat ")
    assert attribute(call, names.INPUT_TOKENS) is None
    assert attribute(call, names.COST) is None


def test_a_plain_call_has_no_first_word(seen: Seen, stage: Stage) -> None:
    stage.says("Hello")
    stage.agent().run("Hi")
    for span in seen.spans():
        assert attribute(span, names.FIRST_TOKEN) is None


def test_a_call_that_fails_says_with_what(seen: Seen, stage: Stage) -> None:
    stage.provider.fault(Fault.status(401))
    with pytest.raises(GatewayError) as raised:
        stage.model().response([])
    [call], [attempt] = (spans := seen.spans()).named("chat "), spans.named("attempt ")
    kind = type(raised.value).__name__
    for span in (call, attempt):
        assert attribute(span, names.ERROR_TYPE) == kind
    assert attribute(attempt, f"{OURS}status") == 401


def test_what_a_guard_asks_by_itself_is_no_attempt(seen: Seen, stage: Stage) -> None:
    client = OpenAI(base_url=stage.provider.url, api_key="k", max_retries=0)

    @guard
    def asking(passage: Passage) -> None:
        said: Any = [{"role": "user", "content": "Is it well?"}]
        client.chat.completions.create(model="gpt-4o", messages=said)

    stage.provider.when(lambda request: request.model == "gpt-4o", "Yes")
    stage.says("Hello")
    stage.agent(model=stage.model(guards=[asking])).run("Hi")
    client.close()
    spans = seen.spans()
    assert [span.name for span in spans.named("attempt ")] == ["attempt 1"]
    assert "chat gpt-4o" in [span.name for span in spans]
    assert spans.tokens() == (7, 3)


def test_a_stream_that_breaks_off_ends_its_attempt(seen: Seen, stage: Stage) -> None:
    stage.provider.fault(Fault.cut())
    stage.says("one two three four five")
    list(stage.agent().run("Hi", stream=True))
    spans = seen.spans()
    assert spans.named("attempt ")
    assert all(span.end_time for span in spans)
    assert "attempt 1" in spans.failed()


def test_who_leaves_a_stream_leaves_nothing_behind(seen: Seen, stage: Stage) -> None:
    stage.says("one two three", "Hello")
    agent, before = stage.agent(), context.get_current()
    for _ in agent.run("Hi", stream=True):
        break
    gc.collect()
    assert context.get_current() == before
    agent.run("Hi")
    spans = seen.spans()
    assert spans.traces == 2
    left = [span for span in spans.named("invoke_agent") if attribute(span, names.CANCELLED)]
    assert len(left) == 1
    assert not spans.failed()


def test_a_reader_of_a_stream_is_not_in_its_run(seen: Seen, stage: Stage) -> None:
    stage.says("one two three")
    for _ in stage.agent().run("Hi", stream=True):
        assert not trace.get_current_span().get_span_context().is_valid
    assert seen.spans().traces == 1


def test_who_closes_a_call_does_it_in_its_span(seen: Seen, stage: Stage) -> None:
    current: list[str] = []

    async def answers(call: Call) -> Deltas:
        try:
            yield ModelResponse(content="one")
            yield ModelResponse(content="two")
        finally:
            span: Any = trace.get_current_span()
            current.append(span.name)

    made = tracing()
    assert made is not None
    call = Call([], Message(role="assistant"))
    deltas = drive(compose([trace_layer(made, stage.model())], SyncIO(), answers)(call))
    assert next(deltas).content == "one"
    deltas.close()
    assert current == ["chat gpt-4o-mini"]
    [span] = seen.spans().named("chat ")
    assert attribute(span, names.CANCELLED) is True


def test_a_cancelled_run_ends_its_spans(seen: Seen, stage: Stage) -> None:
    stage.provider.reply(Reply("late", delay=30))

    async def play_and_cancel() -> None:
        task = asyncio.create_task(stage.agent().arun("Hi"))
        await asyncio.to_thread(_until_asked, stage.provider)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play_and_cancel())
    spans = seen.spans()
    [call] = spans.named("chat ")
    assert attribute(call, names.CANCELLED) is True
    assert [span.name for span in spans.named("attempt ")] == ["attempt 1"]


def _until_asked(provider: EmbeddedProvider) -> None:
    while not provider.calls:
        time.sleep(0.01)


def test_in_a_run_of_the_users_own(seen: Seen, stage: Stage) -> None:
    """A span of the user's stands above the run."""
    stage.says("Hello")
    with trace.get_tracer("mine").start_as_current_span("request"):
        stage.agent().run("Hi")
    spans = seen.spans()
    assert spans.traces == 1
    assert ("request", "invoke_agent") in spans.edges()
