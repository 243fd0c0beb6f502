"""Guards in front of tools: a call whose arguments were changed after the model asked for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.tools.function import Function

from agno_portkey import Block, Guard, Passage, PortkeyModel, raise_on_block, verdict_of
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


class NoBluebird(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if "bluebird" in passage.text else None


class Broken(Guard):
    def inspect(self, passage: Passage) -> None:
        if passage.source == "tool_call" and passage.scene.stage == "tool":
            raise LookupError("its list is gone")


def confirmed(looked: list[str]) -> Function:
    def look(what: str) -> str:
        """Look at something."""
        looked.append(what)
        return "nothing to see"

    function = Function.from_callable(look)
    function.requires_confirmation = True
    return function


def paused(model: PortkeyModel, provider: EmbeddedProvider, looked: list[str]) -> tuple[Agent, Any]:
    provider.reply(Reply(tool_calls=(ToolCall("look", {"what": "nest"}),)))
    provider.reply("Done.")
    agent = Agent(model=model, tools=[confirmed(looked)], db=InMemoryDb())  # type: ignore[no-untyped-call]
    return agent, agent.run("Look", session_id="s")


def go_on(agent: Agent, run: Any, form: str) -> Any:
    for need in run.requirements:
        need.confirm()
    if form == "sync":
        return agent.continue_run(run_response=run)

    async def wait() -> Any:
        return await agent.acontinue_run(run_response=run)

    return asyncio.run(wait())


@pytest.mark.parametrize("form", ["sync", "async"])
@pytest.mark.parametrize(
    ("guard", "what"), [(NoBluebird(), "bluebird"), (Broken(), "nest")], ids=["refused", "broken"]
)
def test_a_confirmed_call_is_looked_at_again_before_it_runs(
    form: str,
    guard: Guard,
    what: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_model.guards = (guard,)
    looked: list[str] = []
    agent, run = paused(portkey_model, portkey_provider, looked)
    run.requirements[0].tool_execution.tool_args["what"] = what
    go_on(agent, run, form)
    assert looked == []
    assert not any("nothing to see" in str(call.body) for call in portkey_provider.calls)


@pytest.mark.parametrize("form", ["sync", "async"])
def test_one_that_nobody_changed_runs(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (NoBluebird(),)
    looked: list[str] = []
    agent, run = paused(portkey_model, portkey_provider, looked)
    assert go_on(agent, run, form).content == "Done."
    assert looked == ["nest"]


def test_data_too_deep_to_be_read_is_refused(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (NoBluebird(),)
    looked: list[str] = []
    agent, run = paused(portkey_model, portkey_provider, looked)
    deep: Any = "nest"
    for _ in range(200):
        deep = [deep]
    run.requirements[0].tool_execution.tool_args["what"] = deep
    go_on(agent, run, "sync")
    assert looked == []


def test_a_refused_run_that_is_continued_has_lost_its_verdict(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_model.guards = (NoBluebird(),)
    agent = Agent(model=portkey_model, db=InMemoryDb(), store_events=True)  # type: ignore[no-untyped-call]
    refused = agent.run("bluebird", session_id="s")
    assert verdict_of(refused) is not None
    portkey_provider.reply("Hello.")
    run: Any = agent.continue_run(run_id=refused.run_id, session_id="s", input="hello")
    assert run.content == "Hello."
    assert verdict_of(run) is None
    assert raise_on_block(run) is run
