"""What the host hands to a model's four methods, and what an error from one of them does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.exceptions import (
    InputCheckError,
    ModelProviderError,
    OutputCheckError,
    RetryableModelProviderError,
)
from agno.memory import MemoryManager
from agno.models.fallback import FallbackConfig
from agno.run.base import RunStatus
from agno.session import SessionSummaryManager
from agno.team import Team
from host_model import WAYS, asking, go, pin, says
from pydantic import BaseModel

METHODS = {
    "run": "invoke",
    "arun": "ainvoke",
    "stream": "invoke_stream",
    "astream": "ainvoke_stream",
}
ARGUMENTS = {
    "messages",
    "assistant_message",
    "response_format",
    "tools",
    "tool_choice",
    "run_response",
    "compress_tool_results",
}


class Colour(BaseModel):
    name: str


@pytest.mark.parametrize("way", WAYS)
@pin("a run calls the method of its form, with these keywords and no others", "model.py")
async def test_methods_and_arguments(way: str) -> None:
    model = says()
    await go(Agent(model=model), way)
    (call,) = model.calls
    assert call["method"] == METHODS[way]
    assert set(call) - {"method", "prompt"} == ARGUMENTS


@pytest.mark.parametrize("way", WAYS)
@pin("a retry with guidance passes retry_with_guidance as well", "model.py")
async def test_retry_with_guidance(way: str) -> None:
    model = says(RetryableModelProviderError(retry_guidance_message="mind the schema"), "better")
    await go(Agent(model=model), way)
    first, second = model.calls
    assert "retry_with_guidance" not in first
    assert second["retry_with_guidance"] is True
    assert second["prompt"][-1] == ("user", "mind the schema")


@pytest.mark.parametrize("way", WAYS)
@pin("an agent's calls carry its run: ids, user, session and name", "tags.py", "calls.py")
async def test_agent_run_response(way: str) -> None:
    model = says()
    agent = Agent(name="planner", id="p1", model=model)
    await go(agent, way, user_id="ann", session_id="s1", run_id="r1", metadata={"a": {"b": 1}})
    run = model.calls[0]["run_response"]
    assert (run.run_id, run.session_id, run.user_id) == ("r1", "s1", "ann")
    assert (run.agent_name, run.agent_id) == ("planner", "p1")
    assert run.metadata == {"a": {"b": 1}}


@pytest.mark.parametrize("way", WAYS)
@pin("a team's calls carry its run, and its members' calls their own", "tags.py", "model.py")
async def test_team_run_response(way: str) -> None:
    parents: list[Any] = []

    def answer(call: dict[str, Any]) -> str:
        run = call["run_response"]
        parents.append((run.parent_run_id, getattr(run, "team_id", None)))
        return "done"

    worker = Agent(name="worker", id="worker", model=says(answer))
    team = Team(name="crew", id="c1", model=says(asking("worker")), members=[worker])
    await go(team, way, user_id="ann", session_id="s1", run_id="r1")
    leader, member = (owner.model.calls[0]["run_response"] for owner in (team, worker))
    assert (leader.run_id, leader.session_id, leader.user_id) == ("r1", "s1", "ann")
    assert (leader.team_name, leader.team_id) == ("crew", "c1")
    assert (member.agent_name, member.session_id, member.user_id) == ("worker", "s1", "ann")
    assert parents == [(None, None)], "at the time of the call a member does not know its team"


@pytest.mark.parametrize("way", WAYS)
@pin("the summary model is called without a run", "gates/interlock.py", "tags.py")
async def test_summary_has_no_run(way: str) -> None:
    summary = says(json.dumps({"summary": "short", "topics": []}))
    agent = Agent(
        model=says(),
        db=InMemoryDb(),
        session_summary_manager=SessionSummaryManager(model=summary),
        enable_session_summaries=True,
    )
    await go(agent, way)
    assert [call["run_response"] for call in summary.calls] == [None]


@pytest.mark.parametrize("way", WAYS)
@pin("the memory model is called without a run", "gates/interlock.py", "tags.py")
async def test_memory_has_no_run(way: str) -> None:
    memory = says("nothing to remember")
    db = InMemoryDb()
    agent = Agent(
        model=says(),
        db=db,
        memory_manager=MemoryManager(model=memory, db=db),
        update_memory_on_run=True,
    )
    await go(agent, way, user_id="ann")
    assert [call["run_response"] for call in memory.calls] == [None]


@pytest.mark.parametrize("way", WAYS)
@pin("the follow-up model is called without a run", "gates/interlock.py", "tags.py")
async def test_followups_have_no_run(way: str) -> None:
    follow = says(json.dumps({"suggestions": ["more?"]}))
    await go(Agent(model=says(), followups=True, followup_model=follow), way)
    assert [call["run_response"] for call in follow.calls] == [None]


@pytest.mark.parametrize("way", WAYS)
@pin("the parser model has a run only when streamed", "gates/interlock.py", "tags.py")
async def test_parser_has_a_run_only_when_streamed(way: str) -> None:
    parser = says(Colour(name="red").model_dump_json())
    await go(Agent(model=says("red"), output_schema=Colour, parser_model=parser), way)
    ((found),) = [call["run_response"] for call in parser.calls]
    assert (found is not None) == (way in ("stream", "astream"))


@pytest.mark.parametrize("way", WAYS)
@pin("the output model has a run only when streamed", "gates/interlock.py", "tags.py")
async def test_output_model_has_a_run_only_when_streamed(way: str) -> None:
    output = says("polished")
    await go(Agent(model=says("rough"), output_model=output), way)
    ((found),) = [call["run_response"] for call in output.calls]
    assert (found is not None) == (way in ("stream", "astream"))


@pytest.mark.parametrize("error", [OutputCheckError("refused"), InputCheckError("refused")])
@pytest.mark.parametrize("kind", ["agent", "team"])
@pytest.mark.parametrize("way", WAYS)
@pin(
    "a check error from the model ends the run after one call: no retry, no fallback",
    "gates/interlock.py",
    "guardrails/layer.py",
    "routing/failures.py",
)
async def test_check_error_in_the_model(way: str, kind: str, error: Exception) -> None:
    model, spare = says(error, retries=2), says()
    fields: dict[str, Any] = {"model": model, "fallback_config": FallbackConfig(on_error=[spare])}
    owner = Agent(retries=2, **fields) if kind == "agent" else Team(members=[], retries=2, **fields)
    outcome = await go(owner, way)
    assert (len(model.calls), len(spare.calls)) == (1, 0)
    if outcome.events:
        assert "Error" in outcome.events[-1].event
        assert outcome.events[-1].content == "refused"
    else:
        assert (outcome.run.status, outcome.run.content) == (RunStatus.error, "refused")


@pytest.mark.parametrize("kind", ["agent", "team"])
@pytest.mark.parametrize("way", ["run", "arun"])
@pin("content put on run_response before the check error is the result", "gates/interlock.py")
async def test_content_set_before_raising_is_kept(way: str, kind: str) -> None:
    verdict = Colour(name="declined")

    def decline(call: dict[str, Any]) -> Exception:
        call["run_response"].content = verdict
        return OutputCheckError("refused")

    model = says(decline)
    owner = Agent(model=model) if kind == "agent" else Team(model=model, members=[])
    outcome = await go(owner, way)
    assert outcome.run.status is RunStatus.error
    assert outcome.run.content is verdict


@pytest.mark.parametrize("way", WAYS)
@pin("a provider error falls back to the next model, which gets the run", "errors.py", "model.py")
async def test_provider_errors_fall_back(way: str) -> None:
    spare = says("from the spare")
    model = says(ModelProviderError("down", status_code=503))
    agent = Agent(model=model, fallback_config=FallbackConfig(on_error=[spare]))
    outcome = await go(agent, way)
    assert outcome.run.content == "from the spare"
    assert spare.calls[0]["run_response"].run_id == outcome.run.run_id


@pytest.mark.parametrize("way", WAYS)
@pin("messages go to the model by reference: what it changes in one stays", "gates/interlock.py")
async def test_messages_are_shared(way: str) -> None:
    def change(call: dict[str, Any]) -> str:
        call["messages"][-1].content = "changed"
        return "answer"

    outcome = await go(Agent(model=says(change)), way)
    assert [m.content for m in outcome.run.messages if m.role == "user"] == ["changed"]
