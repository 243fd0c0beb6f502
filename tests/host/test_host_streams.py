"""What becomes of the deltas of a streamed call, and of the data that a model puts on them."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import OutputCheckError
from agno.models.response import ModelResponse
from agno.run.base import RunStatus
from agno.team import Team
from host_model import WAYS, Scripted, asking, calling, go, pin, says
from pydantic import BaseModel

STREAMED = ("stream", "astream")
PIPELINE = "pipeline.py"
KINDS = ("agent", "team")


def owner_of(kind: str, model: Any, **fields: Any) -> Any:
    if kind == "agent":
        return Agent(name="solo", model=model, **fields)
    return Team(name="crew", model=model, members=[Agent(name="a", model=says())], **fields)


def delta(content: str | None = None, **fields: Any) -> ModelResponse:
    return ModelResponse(content=content, **fields)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", STREAMED)
@pin(
    "deltas without content add nothing anywhere: held text reaches nobody",
    "guardrails/layer.py",
    "gates/interlock.py",
    "contracts/check.py",
)
async def test_deltas_without_content_show_nothing(way: str, kind: str) -> None:
    model = says([delta(), delta(role="assistant"), delta("checked"), delta()])
    outcome = await go(owner_of(kind, model), way)
    shown = [e.content for e in outcome.events if e.event in ("RunContent", "TeamRunContent")]
    assert [text for text in shown if text] == ["checked"]
    assert outcome.run.content == "checked"
    assert [m.content for m in outcome.run.messages if m.role == "assistant"] == ["checked"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", STREAMED)
@pin("an answer of nothing but empty deltas ends the run with no content", "gates/interlock.py")
async def test_an_answer_without_any_content(way: str, kind: str) -> None:
    outcome = await go(owner_of(kind, says([delta(), delta()])), way)
    assert outcome.run.status is RunStatus.completed
    assert not outcome.run.content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("provider_data lands on the run and on its message", PIPELINE)
async def test_provider_data(way: str, kind: str) -> None:
    told = {"portkey": {"provider": "openai"}}
    answer = [delta("a"), delta("b", provider_data=told)]
    model = says(answer if way in STREAMED else delta("ab", provider_data=told))
    outcome = await go(owner_of(kind, model), way)
    last = [m for m in outcome.run.messages if m.role == "assistant"][-1]
    assert outcome.run.content == "ab"
    assert outcome.run.model_provider_data == told
    assert last.provider_data == told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", STREAMED)
@pin("an object in provider_data is kept by reference: it can be completed later", PIPELINE)
async def test_provider_data_by_reference(way: str, kind: str) -> None:
    answered: dict[str, Any] = {}
    answer = [delta("a", provider_data={"portkey": answered}), delta("b")]
    outcome = await go(owner_of(kind, says(answer)), way)
    answered["finish_reason"] = "stop"
    assert outcome.run.model_provider_data["portkey"]["finish_reason"] == "stop"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", STREAMED)
@pin("provider_data on a delta with nothing else is kept too", PIPELINE)
async def test_provider_data_without_content(way: str, kind: str) -> None:
    told = {"portkey": {"provider": "openai"}}
    outcome = await go(owner_of(kind, says([delta("a"), delta(provider_data=told)])), way)
    assert outcome.run.model_provider_data == told
    assert outcome.run.messages[-1].provider_data == told


@pytest.mark.parametrize("way", STREAMED)
@pin("tool calls that come in one piece with the last delta are executed", PIPELINE)
async def test_tool_calls_at_the_end(way: str) -> None:
    called: list[str] = []

    def deploy(target: str) -> str:
        """Deploy to a target."""
        called.append(target)
        return "deployed"

    model = says([delta("wait "), delta(), calling("deploy", target="staging")], "finished")
    outcome = await go(Agent(model=model, tools=[deploy]), way)
    assert called == ["staging"]
    assert outcome.run.content == "wait finished"


@pytest.mark.parametrize("way", STREAMED)
@pin("a stream that breaks off before its tool calls came executes none", PIPELINE)
async def test_a_broken_stream_executes_no_tools(way: str) -> None:
    called: list[str] = []

    def deploy() -> None:
        """Deploy."""
        called.append("deploy")

    class Broken(Scripted):
        def invoke_stream(self, **kwargs: Any) -> Any:
            yield calling("deploy")
            raise OutputCheckError("cut")

        async def ainvoke_stream(self, **kwargs: Any) -> Any:
            yield calling("deploy")
            raise OutputCheckError("cut")

    outcome = await go(Agent(model=Broken(), tools=[deploy]), way)
    assert called == []
    assert "Error" in outcome.events[-1].event


class Colour(BaseModel):
    name: str


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("JSON that fits the output_schema ends as its object", "hooks/contract.py")
async def test_structured_output(way: str, kind: str) -> None:
    model = says('{"name": "red"}')
    outcome = await go(owner_of(kind, model, output_schema=Colour), way)
    assert outcome.run.content == Colour(name="red")
    assert model.calls[0]["response_format"] is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pin("JSON that does not fit ends the run as COMPLETED with a string", "hooks/contract.py")
async def test_structured_output_that_does_not_fit(way: str, kind: str) -> None:
    model = says('{"shade": 3}')
    outcome = await go(owner_of(kind, model, output_schema=Colour), way)
    assert outcome.run.status is RunStatus.completed
    assert isinstance(outcome.run.content, str)
    assert len(model.calls) == 1


@pytest.mark.parametrize("way", WAYS)
@pin("a post-hook sees the object that an output_schema asks for, members' too", "hooks/gate.py")
async def test_post_hooks_see_the_object(way: str) -> None:
    seen: list[Any] = []
    member = Agent(
        name="worker",
        id="worker",
        model=says('{"name": "red"}'),
        output_schema=Colour,
        post_hooks=[lambda run_output: seen.append(run_output.content)],
    )
    await go(Team(model=says(asking("worker")), members=[member]), way)
    assert seen == [Colour(name="red")]


@pin("an earlier run's messages come before the next one's", "guardrails/layer.py")
def test_history() -> None:
    db = InMemoryDb()
    agent = Agent(model=says("a"), db=db, session_id="s", add_history_to_context=True)
    agent.run("first")
    agent.run("second")
    prompt = agent.model.calls[-1]["prompt"]
    assert ("user", "first") in prompt
    assert ("assistant", "a") in prompt


@pin("a message's metrics can time a call", PIPELINE)
def test_message_metrics() -> None:
    timed: list[bool] = []

    def answer(call: dict[str, Any]) -> str:
        metrics = call["assistant_message"].metrics
        metrics.start_timer()
        metrics.stop_timer()
        timed.append(metrics.duration is not None)
        return "done"

    Agent(model=says(answer)).run("x")
    assert timed == [True]
