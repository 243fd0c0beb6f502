"""`allow=[...]`: deliberate exceptions, by printed path or by the object, and typos in them."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.agent.remote import RemoteAgent
from agno.models.openai import OpenAIChat
from agno.team import Team
from places import Hook, Kit, asking

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.guardrails import Guard
from agno_portkey.testing.story import Release, release_team

LOCAL = "http://127.0.0.1:1/v1"


class Quiet(Guard):
    def inspect(self, passage: Any) -> None: ...


def llm() -> PortkeyModel:
    return PortkeyModel(base_url=LOCAL)


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


def desk(**fields: Any) -> Agent:
    return Agent(name="Desk", model=llm(), **fields)


@pytest.mark.parametrize(
    "pattern",
    [
        "Desk.tools[0].held['a'].model",
        "Desk.tools[0].held['a']",
        "Desk.tools[0]",
        "Desk.tools*",
        "Desk.tools[?].held*",
        "*.model",
    ],
)
def test_a_path_as_it_is_printed_excuses_what_is_there_and_beneath(pattern: str) -> None:
    helper = Agent(name="Helper", model=foreign())
    agent = desk(tools=[Kit({"a": helper, "b": llm()})])
    assert govern(agent, allow=[pattern]) is agent
    assert isinstance(helper.model, OpenAIChat)
    assert agent.tools[0].held["b"].seat is not None


def test_the_object_itself_excuses_what_it_leads_to() -> None:
    helper, model = Agent(name="Helper", model=foreign()), foreign()
    govern(desk(tools=[Kit([helper, model])]), allow=[helper, model])
    helper = Agent(name="Helper", model=foreign())
    with pytest.raises(UngovernedPathError) as refused:
        govern(desk(tools=[Kit([helper, foreign()])]), allow=[helper.model])
    assert "held[1] is agno's" in str(refused.value)
    assert "held[0]" not in str(refused.value)


def test_what_is_reached_otherwise_as_well_is_not_excused() -> None:
    helper = Agent(name="Helper", model=foreign())
    agent = desk(tools=[Kit(helper)], pre_hooks=[Hook(Hook(Hook(helper)))])
    with pytest.raises(UngovernedPathError, match=r"Desk\.pre_hooks\[0\]\.held\.held\.held\.model"):
        govern(agent, allow=["Desk.tools[0]"])


def test_a_model_that_can_not_be_bound_may_be_allowed() -> None:
    model = llm()
    agent = desk(tools=[asking(model)])
    govern(agent, guards=[Quiet()], allow=["Desk.tools[0].agent"])
    assert model.seat is None


def test_a_member_that_runs_elsewhere_may_be_allowed() -> None:
    far = RemoteAgent(base_url="http://127.0.0.1:1", agent_id="far")
    team = Team(name="T", members=[desk(), far], model=llm())
    assert govern(team, allow=[far]) is team
    assert team.members[0].model.seat.swarm == "T"


def test_an_agents_own_model_may_be_allowed() -> None:
    agent = Agent(name="A", model=foreign(), parser_model=llm(), fallback_models=[foreign()])
    govern(agent, allow=["A.model", "A.fallback_config*"])
    assert isinstance(agent.model, OpenAIChat)
    assert isinstance(agent.fallback_config.on_error[0], OpenAIChat)
    assert agent.parser_model.seat.role == "A"


@pytest.mark.parametrize("entry", ["Desk.tool", "Desk.tools[1]", "desk.model", object()])
def test_an_entry_that_excuses_nothing_is_a_mistake(entry: object) -> None:
    agent = desk(tools=[Kit(foreign())])
    with pytest.raises(ConfigurationError, match="excuses nothing") as refused:
        govern(agent, allow=["Desk.tools[0]", entry])
    assert not isinstance(refused.value, UngovernedPathError)
    assert agent.model.seat is None


@pytest.mark.parametrize("allow", ["Desk.model", 8])
def test_allow_is_a_list(allow: Any) -> None:
    with pytest.raises(ConfigurationError, match="allow: a list of paths and objects"):
        govern(desk(), allow=allow)


def test_governing_again_with_the_same_exceptions_changes_nothing() -> None:
    helper, guard = Agent(name="Helper", model=foreign()), Quiet()
    agent = desk(tools=[Kit([helper, foreign()])])
    allow = [helper, "Desk.tools[0].held[1]"]
    govern(agent, guards=[guard], allow=allow)
    model, hooks = agent.model, list(agent.post_hooks)
    assert govern(agent, guards=[guard], allow=list(allow)) is agent
    assert agent.model is model
    assert agent.post_hooks == hooks
    for other in ([helper], [*allow, "Desk*"], [Agent(), allow[1]], allow[::-1]):
        with pytest.raises(ConfigurationError, match="governed already, in another way"):
            govern(agent, guards=[guard], allow=other)


def test_what_holds_the_gate_can_not_be_allowed() -> None:
    team = release_team(llm(), Release())
    team.members[3].model = foreign()
    with pytest.raises(UngovernedPathError, match=r"Runner\.model holds the gate"):
        govern(team, runner="Runner", gate=Gate(), allow=["Runner.model"])


def test_what_is_allowed_runs_and_stays_allowed_in_copies(
    portkey_model: PortkeyModel, portkey_provider: Any
) -> None:
    helper = Agent(name="Helper", model=foreign())
    agent = Agent(name="Desk", model=portkey_model, tools=[Kit(helper)])
    govern(agent, guards=[Quiet()], allow=[helper])
    for owner in (agent, agent.deep_copy(), agent.deep_copy().deep_copy()):
        portkey_provider.reply("fine")
        assert owner.run("hi").content == "fine"
