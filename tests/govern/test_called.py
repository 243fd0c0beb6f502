"""What was found in a hiding place calls through the gateway, with guards and tags."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.memory import MemoryManager
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools.advisor import AdvisorTools
from agno.tools.workflow import WorkflowTools
from agno.workflow import Step, Workflow
from places import Kit, asking, decorated, ended

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import is_protected
from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

LOCAL = "http://127.0.0.1:1/v1"


class Note(Guard):
    rewrites = True
    inline = True
    on = "input"

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace("bluebird", "[x]")
        return Rewrite(text) if text != passage.text else None


@pytest.fixture
def direct(portkey_provider: EmbeddedProvider) -> PortkeyModel:
    """A model whose gateway is the provider itself, which thus sees what a gateway is sent."""
    return PortkeyModel(base_url=portkey_provider.url)


def roles(provider: EmbeddedProvider) -> list[tuple[str, str]]:
    tags = [json.loads(call.headers["x-portkey-metadata"]) for call in provider.calls]
    return [(tag["role"], tag["cost"]) for tag in tags]


def holders(model: PortkeyModel) -> dict[str, tuple[dict[str, Any], str, dict[str, Any]]]:
    def helper() -> Agent:
        return Agent(name="Helper", model=model)

    question = {"question": "the bluebird"}
    flow = Workflow(name="w", steps=[Step(name="s", agent=helper())])
    return {
        "closure": ({"tools": [asking(helper())]}, "ask", question),
        "decorated": ({"tools": [decorated(helper())]}, "ask", question),
        "workflow": (
            {"tools": [WorkflowTools(workflow=flow)]},
            "run_workflow",
            {"input": {"input_data": "the bluebird"}},
        ),
    }


@pytest.mark.parametrize("place", ["closure", "decorated", "workflow"])
@pytest.mark.parametrize("form", ["run", "stream"])
def test_an_agent_in_a_tool_is_guarded_and_tagged(
    place: str, form: str, direct: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    fields, tool, arguments = holders(direct)[place]
    agent = govern(Agent(name="Desk", model=direct, **fields), guards=[Note()], tags={"cost": "c"})
    portkey_provider.reply(Reply(tool_calls=[ToolCall(tool, arguments)]))
    portkey_provider.reply("helped")
    portkey_provider.reply("done")
    assert ended(agent, form)[0] == RunStatus.completed
    assert roles(portkey_provider) == [("Desk", "c"), ("Helper", "c"), ("Desk", "c")]
    asked = str(portkey_provider.calls[1].body["messages"])
    assert "[x]" in asked
    assert "bluebird" not in asked


def test_an_advisor_is_guarded_and_tagged(
    direct: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tools = [AdvisorTools([PortkeyModel("wise", base_url=direct.base_url)])]
    agent = govern(
        Agent(name="Desk", model=direct, tools=tools), guards=[Note()], tags={"cost": "c"}
    )
    asked = ToolCall("ask_advisor", {"advisor": "wise", "prompt": "the bluebird"})
    portkey_provider.reply(Reply(tool_calls=[asked]))
    portkey_provider.reply("helped")
    portkey_provider.reply("done")
    assert agent.run("hi").content == "done"
    assert roles(portkey_provider) == [("Desk", "c")] * 3
    assert "bluebird" not in str(portkey_provider.calls[1].body)


def test_memories_are_guarded_and_tagged(
    direct: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(
        name="Desk",
        model=direct,
        db=InMemoryDb(),
        memory_manager=MemoryManager(model=PortkeyModel("memory", base_url=direct.base_url)),
        update_memory_on_run=True,
    )
    govern(agent, guards=[Note()], tags={"cost": "c"})
    agent.run("the bluebird")
    assert {call.model for call in portkey_provider.calls} == {"gpt-4o-mini", "memory"}
    assert set(roles(portkey_provider)) == {("Desk", "c")}
    assert not [c for c in portkey_provider.calls if "bluebird" in str(c.body["messages"])]


# With a gate


def gated(**tools: Any) -> tuple[Team, Release]:
    """The demo's team, some members of which hold more tools."""
    release = Release()
    team = release_team(PortkeyModel(base_url=LOCAL), release)
    for member in team.members:
        member.tools = [*(member.tools or []), *tools.get(member.name, [])]
    return govern(team, runner="Runner", gate=Gate()), release


def helper() -> Agent:
    return Agent(name="Helper", model=PortkeyModel(base_url=LOCAL))


def test_what_the_runner_reaches_waits_for_the_gate() -> None:
    aide, other, shared = helper(), helper(), helper()
    team, _ = gated(
        Planner=[Kit(other), asking(shared)],
        Runner=[asking(aide), Kit([Kit(shared)])],
    )
    charter = team.model.seat.charter
    assert [a.model.seat.part for a in (aide, shared, other)] == ["aide", "aide", "member"]
    assert [a.model.seat.charter for a in (aide, shared, other)] == [charter] * 3
    run = aide.run("hi")
    assert run.status == RunStatus.error
    assert "no run of this team is cleared" in str(run.content)


def test_a_reasoning_agent_of_the_runner_waits_too() -> None:
    team = release_team(PortkeyModel(base_url=LOCAL), Release())
    team.members[3].reasoning_agent = thinker = helper()
    govern(team, runner="Runner", gate=Gate())
    assert thinker.model.seat.part == "aide"


def test_the_runners_tools_are_protected_in_the_hands_of_hidden_agents() -> None:
    release = Release()
    team = release_team(PortkeyModel(base_url=LOCAL), release)
    hidden = helper()
    hidden.tools = [release.deploy]
    team.members[0].tools = [asking(hidden)]
    govern(team, runner="Runner", gate=Gate())
    assert is_protected(hidden.tools[0])


def test_a_team_with_hidden_agents_passes_its_gate(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    release = Release()
    team = release_team(portkey_model, release)
    inner = Team(name="Board", members=[Agent(name="Clerk")], model=portkey_model)
    team.members[1].tools = [asking(inner)]
    govern(team, runner="Runner", gate=Gate())
    assert inner.members[0].model.seat.swarm == "Board"
    assert team.run(REQUEST).status == RunStatus.completed
    assert len(release.done) == 2


def second(shared: Any) -> Agent:
    return Agent(name="B", model=PortkeyModel(base_url=LOCAL), tools=[asking(shared)])


def test_an_agent_that_two_governances_reach_is_refused_with_its_path() -> None:
    shared = helper()
    govern(Agent(name="A", model=PortkeyModel(base_url=LOCAL), tools=[asking(shared)]))
    model = shared.model
    with pytest.raises(UngovernedPathError) as refused:
        govern(second(shared))
    assert r"- B.tools[0].agent is governed already" in str(refused.value)
    assert "allow=['B.tools[0].agent']" in str(refused.value)
    assert shared.model is model


@pytest.mark.parametrize("by", ["path", "object"])
def test_an_agent_that_two_governances_reach_can_be_allowed_and_stays_as_it_is(
    by: str, direct: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    shared = Agent(name="Helper", model=direct)
    govern(Agent(name="A", model=direct, tools=[asking(shared)]), tags={"cost": "a"})
    agent = Agent(name="B", model=direct, tools=[asking(shared)])
    model, hooks = shared.model, list(shared.pre_hooks)
    allow = ["B.tools[0].agent"] if by == "path" else [shared]
    govern(agent, allow=allow, tags={"cost": "b"})
    assert shared.model is model
    assert shared.pre_hooks == hooks
    agent.add_tool(Kit(None))  # so that everything is walked again
    portkey_provider.reply(Reply(tool_calls=[ToolCall("ask", {"question": "q"})]))
    for text in ("helped", "done"):
        portkey_provider.reply(text)
    assert agent.run("hi").content == "done"
    assert roles(portkey_provider) == [("B", "b"), ("Helper", "a"), ("B", "b")]


def test_what_is_shared_may_not_hold_the_runners_tools_without_the_gate() -> None:
    release = Release()
    model = PortkeyModel(base_url=LOCAL)
    inner = Agent(name="Inner", model=model, tools=[release.deploy])
    shared = Agent(name="Helper", model=model, tools=[asking(inner)])
    govern(shared)
    team = release_team(model, release)
    team.members[1].tools = [asking(shared)]
    with pytest.raises(UngovernedPathError, match=r"Inner holds .*deploy.* without the gate"):
        govern(team, runner="Runner", gate=Gate(), allow=[shared])
    inner.tools = []
    govern(team, runner="Runner", gate=Gate(), allow=[shared])


def test_no_member_is_shared_even_where_that_is_allowed() -> None:
    model = PortkeyModel(base_url=LOCAL)
    shared = govern(Agent(name="Helper", model=model))
    team = Team(name="T", members=[shared], model=model)
    with pytest.raises(ConfigurationError, match=r"Helper is governed in another team \(T.members"):
        govern(team, allow=[shared])
