"""What callable members, tools and knowledge make is governed as it is made, or refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.agent import Agent
from agno.knowledge.knowledge import Knowledge
from agno.knowledge.query_transformer.hyde import HyDE
from agno.models.openai import OpenAIChat
from agno.run.base import RunContext, RunStatus
from agno.team import Team
from four_forms import FORMS
from places import Kit, asking, ended

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import Release, release_team

LOCAL = "http://127.0.0.1:1/v1"


class Note(Guard):
    rewrites = True
    inline = True
    on = "input"

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace("bluebird", "[x]")
        return Rewrite(text) if text != passage.text else None


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


def nothing() -> list[Any]:
    return []


def sent(provider: EmbeddedProvider) -> list[str]:
    return [str(call.body["messages"]) for call in provider.calls]


def ask_with(name: str, **arguments: Any) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments)])


@pytest.mark.parametrize("form", FORMS)
def test_members_made_at_run_time_are_governed(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    made: list[Agent] = []

    def members(session_state: dict[str, Any]) -> list[Agent]:
        made.append(Agent(id="writer", name="Writer", model=portkey_model))
        made.append(Agent(id="reader", name="Reader"))
        return made[-2:]

    note = Note()
    team = Team(name="T", members=members, model=portkey_model)
    govern(team, guards=[note], tags={"cost": "c"})
    for member in ("writer", "reader"):
        portkey_provider.reply(
            ask_with("delegate_task_to_member", member_id=member, task="the bluebird")
        )
        portkey_provider.reply("written")
        portkey_provider.reply("done")
        assert ended(team, form)[0] == RunStatus.completed
    assert len(portkey_provider.calls) == 6
    assert not [text for text in sent(portkey_provider) if "bluebird" in text]
    for member in made:
        assert member.model.seat.role == member.name
        assert member.model.seat.swarm == "T"
        assert note in member.model.guards
        assert len(member.post_hooks) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("slot", ["members", "tools", "knowledge"])
def test_what_can_not_be_governed_ends_the_run_before_any_call(
    slot: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def made() -> Any:
        helper = Agent(name="Helper", model=foreign())
        if slot == "knowledge":
            return Knowledge(query_transformer=HyDE(model=foreign()))
        return [helper] if slot == "members" else [asking(helper)]

    owner: Any
    if slot == "members":
        owner = Team(name="Desk", members=made, model=portkey_model)
    else:
        owner = Agent(name="Desk", model=portkey_model, **{slot: made})
    govern(owner)
    status, content = ended(owner, form)
    assert status == RunStatus.error
    assert f"Desk.{slot}()" in content
    assert "is agno's OpenAIChat: give a PortkeyModel" in content
    assert portkey_provider.calls == []


@pytest.mark.parametrize("form", FORMS)
def test_tools_made_at_run_time_are_governed(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    helpers: list[Agent] = []

    def tools(agent: Agent, run_context: RunContext) -> list[Any]:
        helpers.append(Agent(name="Helper", model=portkey_model))
        return [asking(helpers[-1])]

    agent = Agent(name="Desk", model=portkey_model, tools=tools, cache_callables=False)
    govern(agent, guards=[Note()])
    portkey_provider.reply(ask_with("ask", question="the bluebird"))
    portkey_provider.reply("helped")
    portkey_provider.reply("done")
    assert ended(agent, form)[0] == RunStatus.completed
    assert len(sent(portkey_provider)) == 3
    assert "[x]" in sent(portkey_provider)[1]
    assert "bluebird" not in sent(portkey_provider)[1]
    assert helpers[-1].model.seat.role == "Helper"


def test_an_async_factory_is_governed(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    kits: list[Kit] = []

    async def tools() -> list[Any]:
        kits.append(Kit(portkey_model))
        return kits

    agent = govern(Agent(name="Desk", model=portkey_model, tools=tools), guards=[Note()])
    assert agent.run("hi").status == RunStatus.error
    assert kits == []
    run = asyncio.run(agent.arun("hi"))
    assert run.status == RunStatus.completed
    assert kits[0].held.seat.role == "Desk"


def test_a_factory_that_returns_a_coroutine_is_governed(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    async def later() -> list[Any]:
        return [Kit(foreign())]

    agent = govern(Agent(name="Desk", model=portkey_model, tools=lambda: later()))
    run = asyncio.run(agent.arun("hi"))
    assert run.status == RunStatus.error
    assert "Desk.tools()[0].held is agno's OpenAIChat" in str(run.content)
    assert portkey_provider.calls == []


def test_the_same_member_made_twice_is_governed_once(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    writer = Agent(id="writer", name="Writer", model=portkey_model)
    team = govern(
        Team(name="T", members=lambda: [writer], model=portkey_model, cache_callables=False)
    )
    for _ in range(2):
        portkey_provider.reply(ask_with("delegate_task_to_member", member_id="writer", task="x"))
        portkey_provider.reply("written")
        portkey_provider.reply("done")
        assert team.run("go").status == RunStatus.completed
    assert len(writer.post_hooks) == 1


def test_a_team_made_at_run_time_is_governed_with_its_members() -> None:
    # The host itself can't run one: it asks the inner team for its members without end.
    model = PortkeyModel(base_url=LOCAL)
    note = Note()

    def members() -> list[Team]:
        return [Team(id="inner", name="Inner", members=[Agent(name="Leaf")])]

    team = govern(Team(name="T", members=members, model=model), guards=[note])
    (inner,) = team.members()
    assert inner.model.seat.role == "Inner"
    assert inner.members[0].model.seat.role == "Leaf"
    assert inner.members[0].model.seat.swarm == "Inner"
    assert note in inner.members[0].model.guards


def test_what_a_factory_makes_may_be_allowed(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(name="Desk", model=portkey_model, tools=lambda: [Kit(foreign())])
    govern(agent, allow=["Desk.tools()[0].held"])
    assert agent.run("hi").status == RunStatus.completed


def test_a_typo_beside_a_factory_is_still_one(portkey_model: PortkeyModel) -> None:
    agent = Agent(name="Desk", model=portkey_model, tools=nothing)
    with pytest.raises(ConfigurationError, match="excuses nothing"):
        govern(agent, allow=["Desk.knowledge()"])


def test_a_foreign_thing_that_a_factory_holds_is_refused_at_once() -> None:
    kit = Kit(foreign())
    model = PortkeyModel(base_url=LOCAL)
    with pytest.raises(UngovernedPathError, match=r"Desk\.tools\.kit\.held is agno's OpenAIChat"):
        govern(Agent(name="Desk", model=model, tools=lambda: [kit]))


def test_a_factory_may_name_what_it_makes_things_of() -> None:
    model = PortkeyModel(base_url=LOCAL)

    def members() -> list[Agent]:
        return [Agent(name="A", model=model)]

    govern(Team(name="T", members=members, model=model), guards=[Note()])


def test_what_another_governance_has_in_hand_is_refused_when_it_is_made(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    pool = [govern(Agent(name="Other", model=portkey_model))]
    team = Team(name="T", members=lambda: list(pool), model=portkey_model)
    with pytest.raises(UngovernedPathError, match=r"T\.members.* is governed already"):
        govern(team)
    pool.clear()
    govern(team)
    pool.append(govern(Agent(name="Late", model=portkey_model)))
    run = team.run("go")
    assert run.status == RunStatus.error
    assert "T.members()[0] is governed already" in str(run.content)
    assert portkey_provider.calls == []


@pytest.mark.parametrize("slot", ["tools", "members"])
def test_with_a_gate_nothing_is_made_at_run_time(slot: str) -> None:
    team = release_team(PortkeyModel(base_url=LOCAL), Release())
    inner = Team(name="Inner", members=[], model=PortkeyModel(base_url=LOCAL))
    team.members.append(inner)
    setattr(inner, slot, nothing)
    with pytest.raises(UngovernedPathError, match=rf"Inner\.{slot} is made at run time"):
        govern(team, runner="Runner", gate=Gate())


def test_a_class_is_no_factory() -> None:
    model = PortkeyModel(base_url=LOCAL)
    with pytest.raises(UngovernedPathError, match=r"T\.members is made at run time; give a list"):
        govern(Team(name="T", members=list, model=model))
