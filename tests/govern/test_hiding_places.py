"""Every place where a model can hide is governed, or refused with its path."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from agno.agent import Agent
from agno.agent.remote import RemoteAgent
from agno.context.fs import FilesystemContextProvider
from agno.eval.accuracy import AccuracyEval
from agno.eval.agent_as_judge import AgentAsJudgeEval
from agno.guardrails import OpenAIModerationGuardrail
from agno.knowledge.embedder.openai import OpenAIEmbedder
from agno.knowledge.reranker.base import Reranker
from agno.memory import MemoryManager
from agno.models.openai import OpenAIChat
from agno.session import SessionSummaryManager
from agno.team import Team
from agno.team.remote import RemoteTeam
from agno.tools.dalle import DalleTools
from agno.tools.openai import OpenAITools
from places import AGENTS, BOUND, Carrier, Hook, Kit, asking

from agno_portkey import PortkeyModel, govern, registry_of
from agno_portkey.errors import UngovernedPathError
from agno_portkey.guardrails import Guard, Passage, Rewrite

LOCAL = "http://127.0.0.1:1/v1"


class Note(Guard):
    """Has every text with a codename in it rewritten."""

    rewrites = True
    inline = True
    on = "input"

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace("bluebird", "[x]")
        return Rewrite(text) if text != passage.text else None


def llm(name: str = "gpt-4o-mini") -> PortkeyModel:
    return PortkeyModel(name, base_url=LOCAL)


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


def desk(**fields: Any) -> Agent:
    return Agent(name="Desk", model=llm(), **fields)


def refused(*, guards: Any = (), **fields: Any) -> str:
    with pytest.raises(UngovernedPathError) as raised:
        govern(desk(**fields), guards=guards)
    return str(raised.value)


def found_at(owner: Any, path: str) -> Any:
    """What is at a printed path, the owner's name left out."""
    at = {"owner": owner, "__builtins__": {}}
    return eval(f"owner.{path}", at)


@pytest.mark.parametrize("place", BOUND)
def test_a_portkey_model_is_bound_where_it_hides(place: str) -> None:
    fields, path = BOUND[place]
    note, model = Note(), llm("aux")
    agent = govern(desk(**fields(model)), guards=[note], tags={"team": "t"})
    # The contract's hook stands before the user's own.
    held = found_at(agent, path.replace("%s", "aux").replace("post_hooks[0]", "post_hooks[1]"))
    assert held is not model
    assert held.seat.role == "Desk"
    assert note in held.guards
    assert held.tags["team"] == "t"
    assert model.seat is None


@pytest.mark.parametrize("place", BOUND)
def test_a_foreign_model_is_refused_with_its_path(place: str) -> None:
    fields, path = BOUND[place]
    path = path.replace("%s", "gpt")
    said = refused(**fields(foreign()))
    assert f"\n- Desk.{path} is agno's OpenAIChat: give a PortkeyModel" in said


@pytest.mark.parametrize("place", AGENTS)
def test_an_agent_is_governed_where_it_hides(place: str) -> None:
    fields, _ = AGENTS[place]
    note, model = Note(), llm("aux")
    agent = govern(desk(**fields(model)), guards=[note])
    (held,) = [m for m in registry_of(agent).models if m.seat.role == "Helper"]
    assert note in held.guards


@pytest.mark.parametrize("place", AGENTS)
def test_an_agent_with_a_foreign_model_is_refused_with_its_path(place: str) -> None:
    fields, path = AGENTS[place]
    said = refused(**fields(foreign()))
    assert f"\n- Desk.{path}.model is agno's OpenAIChat: give a PortkeyModel" in said


@pytest.mark.parametrize("place", AGENTS)
def test_an_agent_without_a_model_is_refused_with_its_path(place: str) -> None:
    fields, path = AGENTS[place]
    said = refused(**fields(None))
    # A member takes its team's, once that has one.
    inner = path.removesuffix(".members[0]")
    assert f"\n- Desk.{inner}.model is not set: the host would take its own default" in said


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (OpenAIEmbedder(api_key="k"), "is agno's OpenAIEmbedder: it asks a provider by itself"),
        (openai.OpenAI(api_key="k"), "is openai's OpenAI: it asks a provider by itself"),
        (OpenAITools(api_key="k"), "is agno's OpenAITools: it asks a provider by itself"),
        (DalleTools(api_key="k"), "is agno's DalleTools: it asks a provider by itself"),
        (OpenAIModerationGuardrail(), "is agno's OpenAIModerationGuardrail: it asks a provider"),
        (RemoteAgent(base_url=LOCAL, agent_id="a"), "is agno's RemoteAgent: it runs elsewhere"),
        (RemoteTeam(base_url=LOCAL, team_id="t"), "is agno's RemoteTeam: it runs elsewhere"),
    ],
)
def test_what_asks_a_provider_by_itself_is_refused(held: object, said: str) -> None:
    assert f"\n- Desk.tools[0].held {said}" in refused(tools=[Kit(held)])


@pytest.mark.parametrize(
    "held",
    [
        AccuracyEval(input="a", expected_output="b"),
        AgentAsJudgeEval(criteria="c"),
        MemoryManager(),
        SessionSummaryManager(),
        FilesystemContextProvider(root="/nowhere"),
    ],
)
def test_a_default_model_is_refused(held: object) -> None:
    said = "Desk.tools[0].held.model is not set: the host would take its own default"
    assert said in refused(tools=[Kit(held)])


class OwnReranker(Reranker):
    """A user's own, on this machine."""


def test_what_computes_here_is_none_of_them() -> None:
    govern(desk(tools=[Kit([OwnReranker(), {"a": 1}])]), guards=[Note()])


def test_all_ways_are_listed_at_once_with_how_to_allow_one() -> None:
    said = refused(tools=[Kit(foreign())], parser_model=foreign(), pre_hooks=[Hook(foreign())])
    assert said.count("\n- ") == 3
    assert said.endswith("govern(..., allow=['Desk.parser_model'])")


def test_a_guards_own_model_is_bound_without_guards() -> None:
    class Asking(Note):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model = model

    guard = Asking(llm("aux"))
    agent = govern(desk(), guards=[guard])
    assert guard in agent.model.guards
    assert guard.model.seat is not None
    assert guard.model.guards == ()
    said = refused(guards=[Asking(foreign())])
    assert "\n- guards[0].model is agno's OpenAIChat" in said


def test_a_models_own_guards_are_looked_at() -> None:
    model = PortkeyModel(base_url=LOCAL, guards=[OpenAIModerationGuardrail()])
    with pytest.raises(UngovernedPathError, match=r"A\.model\.guards\[0\]"):
        govern(Agent(name="A", model=model))


def test_members_of_members_and_their_tools_are_looked_at() -> None:
    inner = Team(name="Inner", members=[desk(tools=[asking(Agent(model=foreign()))])], model=llm())
    with pytest.raises(UngovernedPathError, match=r"Desk\.tools\[0\]\.agent\.model is agno's"):
        govern(Team(name="Outer", members=[inner], model=llm()))


def test_the_tools_of_a_context_provider_lead_to_its_model() -> None:
    tools = FilesystemContextProvider(root="/nowhere", model=foreign()).get_tools()
    said = refused(tools=tools)
    assert "\n- Desk.tools[0].provider.model is agno's OpenAIChat" in said
    provider = FilesystemContextProvider(root="/nowhere", model=llm())
    agent = govern(desk(tools=provider.get_tools()), guards=[Note()])
    assert provider.model.seat.role == agent.name


def test_a_member_that_is_neither_agent_nor_team_is_refused() -> None:
    team = Team(name="T", members=[], model=llm())
    team.members = [Carrier(None)]
    with pytest.raises(UngovernedPathError, match=r"T\.members\[0\] is a Carrier, and no Agent"):
        govern(team)
