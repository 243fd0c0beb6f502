"""Contracts hold wherever a structured output is asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, play
from verses import GOOD, WRONG, Verse

from agno_portkey import govern
from agno_portkey.contracts import Contract, Repair
from agno_portkey.hooks import ContractHook
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall

BARE = {
    "title": "Verse",
    "type": "object",
    "properties": {"text": {"type": "string"}, "lines": {"type": "integer", "minimum": 1}},
    "required": ["text", "lines"],
    "additionalProperties": False,
}
PROVIDERS = {"type": "json_schema", "json_schema": {"name": "Verse", "schema": BARE}}


def _asks_for_json(request: Request) -> bool:
    return request.response_format is not None


@pytest.fixture
def answered(portkey_provider: EmbeddedProvider) -> EmbeddedProvider:
    """A provider that gives a broken object first, and a good one when it is asked again."""

    def answer(request: Request) -> Any:
        again = "This is not valid JSON" in str(request.messages[-1]["content"])
        return GOOD.model_dump_json() if again else WRONG

    portkey_provider.when(_asks_for_json, answer)
    portkey_provider.when(lambda request: True, "A verse of two lines.")
    return portkey_provider


SET_UPS: dict[str, dict[str, Any]] = {
    "its own": {"output_schema": Verse},
    "in JSON mode, with the hook": {"output_schema": Verse, "use_json_mode": True},
    "a mapping in the provider's form": {"output_schema": PROVIDERS},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SET_UPS)
def test_an_agent_ends_with_an_object(
    name: str, form: str, answered: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    agent = govern(Agent(model=portkey_model, **SET_UPS[name]))
    ended = play(agent, form)
    assert ended.status == RunStatus.completed
    held = ended.content
    assert (held if isinstance(held, dict) else held.model_dump()) == GOOD.model_dump()
    assert len(answered.calls) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_parser_model_is_held(
    form: str, answered: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    parser = PortkeyModel(**_like(portkey_model))
    ended = play(Agent(model=portkey_model, parser_model=parser, output_schema=Verse), form)
    assert ended.content == GOOD
    assert [_asks_for_json(call) for call in answered.calls] == [False, True, True]


@pytest.mark.parametrize("form", FORMS)
def test_a_parser_model_that_never_gives_an_object_ends_the_run(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when(lambda request: True, WRONG)
    parser = PortkeyModel(**_like(portkey_model), repair=Repair(reasks=0))
    ended = play(Agent(model=portkey_model, parser_model=parser, output_schema=Verse), form)
    assert ended.status == RunStatus.error
    assert "not a valid Verse" in str(ended.content)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", ["govern", "hand"])
def test_an_output_model_is_held(
    by: str, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    """The host asks it for no JSON, though nothing but its answer is shown."""
    for reply in (GOOD, "Two lines.", WRONG, GOOD):
        portkey_provider.reply(reply)
    output = PortkeyModel(**_like(portkey_model))
    hooks: list[Any] = []
    if by == "hand":
        output.output_schema, hooks = Verse, [ContractHook()]
    agent = Agent(model=portkey_model, output_model=output, output_schema=Verse, post_hooks=hooks)
    if by == "govern":
        govern(agent)
    ended = play(agent, form)
    assert (ended.status, ended.output and ended.output.content) == (RunStatus.completed, GOOD)
    assert [_asks_for_json(call) for call in portkey_provider.calls] == [True] * 4


@pytest.mark.parametrize("form", FORMS)
def test_a_schema_that_is_given_to_the_run_counts(
    form: str, answered: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.contracts = (Contract(Verse, repair=Repair(reasks=1)),)
    assert play(Agent(model=portkey_model), form, output_schema=Verse).content == GOOD
    assert len(answered.calls) == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_a_teams_own_output_and_its_members_are_held(
    streamed: bool, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    call = ToolCall("delegate_task_to_member", {"member_id": "poet", "task": "a verse"})
    replies = [Reply(tool_calls=(call,)), WRONG, GOOD, WRONG, GOOD]
    for reply in replies:
        portkey_provider.reply(reply)
    poet = Agent(id="poet", name="Poet", model=portkey_model, output_schema=Verse)
    team = Team(members=[poet], model=portkey_model, output_schema=Verse)

    async def run() -> Any:
        if not streamed:
            return await team.arun("A verse")
        events = team.arun("A verse", stream=True, yield_run_output=True)
        return [event async for event in events][-1]

    output = asyncio.run(run())
    assert output.content == GOOD
    assert len(portkey_provider.calls) == len(replies)
    handed = portkey_provider.calls[3].tool_results[-1]
    assert json.loads(handed) == GOOD.model_dump()


def _like(model: PortkeyModel) -> dict[str, Any]:
    """The arguments of a model at the same gateway."""
    names = ("base_url", "portkey_provider", "custom_host", "api_key", "recovery")
    return {name: getattr(model, name) for name in names}
