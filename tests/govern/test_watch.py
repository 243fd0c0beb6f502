"""What is added or replaced after `govern` is refused when it would run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.knowledge.knowledge import Knowledge
from agno.knowledge.query_transformer.hyde import HyDE
from agno.memory import MemoryManager
from agno.models.fallback import FallbackConfig
from agno.models.openai import OpenAIChat
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools.function import Function
from four_forms import FORMS, play
from places import Hook, Kit, asking

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.guardrails import Guard, Passage
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

MESSAGE = "was changed after it was governed: "


class Silent(Guard):
    inline = True

    def inspect(self, passage: Passage) -> None:
        """Nothing is said of anything."""


def foreign() -> OpenAIChat:
    return OpenAIChat(id="gpt", api_key="k")


def bad() -> Agent:
    return Agent(name="Bad", model=foreign())


def nothing() -> list[Any]:
    return []


Change = Callable[[Any], object]


def put(name: str, held: Any) -> Change:
    return lambda owner: setattr(owner, name, held)


CHANGES: dict[str, tuple[Change, str]] = {
    "model": (put("model", foreign()), ".model is agno's OpenAIChat"),
    "no model of its seat": (
        lambda owner: setattr(owner, "model", PortkeyModel(base_url="http://127.0.0.1:1")),
        ".model is another model",
    ),
    "parser": (put("parser_model", foreign()), ".parser_model is agno's OpenAIChat"),
    "memory": (
        put("memory_manager", MemoryManager(model=foreign())),
        ".memory_manager.model is agno's OpenAIChat",
    ),
    "fallback": (
        put("fallback_config", FallbackConfig(on_error=[foreign()])),
        ".fallback_config.on_error[0] is agno's OpenAIChat",
    ),
    "tool": (lambda owner: owner.add_tool(asking(bad())), ".tools[1].agent.model is agno's"),
    "tools": (put("tools", [asking(bad())]), ".tools[0].agent.model is agno's"),
    "factory": (put("tools", nothing), ".tools is made by another function"),
    "toolkit's function": (
        lambda owner: owner.tools[0].functions.update(
            more=Function(name="more", entrypoint=asking(bad()))
        ),
        ".tools[0].functions['more'].agent.model is agno's",
    ),
    "toolkit's attribute": (
        lambda owner: setattr(owner.tools[0], "held", bad()),
        ".tools[0].held.model is agno's",
    ),
    "knowledge's attribute": (
        lambda owner: setattr(owner.knowledge, "query_transformer", HyDE(model=foreign())),
        ".knowledge.query_transformer.model is agno's",
    ),
    "model's guards": (
        lambda owner: setattr(owner.model, "guards", ()),
        ".model has lost its guards",
    ),
    "hook": (
        lambda owner: owner.post_hooks.append(Hook(bad())),
        ".post_hooks[1].held.model is agno's",
    ),
    "unbound": (
        lambda owner: owner.add_tool(Kit(PortkeyModel(base_url="http://127.0.0.1:1"))),
        ".tools[1].held is another model",
    ),
    "reasoning": (put("reasoning_agent", bad()), ".reasoning_agent.model is agno's"),
    "instructions": (put("instructions", Hook(bad())), ".instructions.held.model is agno's"),
}


def desk(model: PortkeyModel) -> Agent:
    return Agent(name="Desk", model=model, tools=[Kit(None)], knowledge=Knowledge())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_agent_does_not_run(
    change: str, form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    do, said = CHANGES[change]
    agent = govern(desk(portkey_model), guards=[Silent()])
    do(agent)
    ended = play(agent, form, "hi")
    assert ended.status == RunStatus.error
    assert f"Desk {MESSAGE}Desk{said}" in str(ended.content)
    assert portkey_provider.calls == []


@pytest.mark.parametrize("change", ["model", "tool", "hook"])
def test_a_team_with_a_changed_member_does_not_run(
    change: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    do, said = CHANGES[change]
    member = desk(portkey_model)
    inner = Team(name="Inner", members=[member], model=portkey_model)
    team = govern(Team(name="T", members=[inner], model=portkey_model))
    assert team.run("hi").status == RunStatus.completed
    do(member)
    before = len(portkey_provider.calls)
    run = team.run("hi")
    assert run.status == RunStatus.error
    assert f"T {MESSAGE}Desk{said}" in str(run.content)
    assert len(portkey_provider.calls) == before


def test_a_member_that_is_added_or_has_lost_its_hooks_is_refused(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def team() -> Team:
        return govern(Team(name="T", members=[desk(portkey_model)], model=portkey_model))

    added, bare, late = team(), team(), team()
    added.members.append(Agent(name="New", model=portkey_model))
    assert f"T {MESSAGE}the member New was added; build the team" in str(added.run("hi").content)
    bare.members[0].pre_hooks = None
    assert "Desk has lost its hooks" in str(bare.run("hi").content)
    late.members = nothing
    assert "T.members is made by another function" in str(late.run("hi").content)
    assert portkey_provider.calls == []


def test_an_agent_in_a_tool_is_watched_too(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    helper = Agent(name="Helper", model=portkey_model)
    agent = govern(Agent(name="Desk", model=portkey_model, tools=[asking(helper)]))
    helper.model = foreign()
    portkey_provider.reply(Reply(tool_calls=[ToolCall("ask", {"question": "q"})]))
    portkey_provider.reply("done")
    run = agent.run("hi")
    assert len(portkey_provider.calls) == 2
    told = str(portkey_provider.calls[1].body["messages"])
    assert "Desk.tools[0].agent.model is agno" in told
    assert run.status == RunStatus.completed


def test_harmless_changes_and_copies_run(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = govern(desk(portkey_model))
    agent.add_tool(Kit({"a": 1}))
    for owner in (agent, agent, agent.deep_copy(), agent.deep_copy()):
        assert owner.run("hi").status == RunStatus.completed
    assert len(portkey_provider.calls) == 4


def test_a_guards_own_model_has_none_of_the_guards_and_has_lost_none(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    guard = Silent()
    vars(guard)["judge"] = portkey_model
    agent = govern(desk(portkey_model), guards=[guard])
    assert vars(guard)["judge"].guards == ()
    agent.add_tool(Kit({"a": 1}))  # so that everything is walked again
    assert agent.run("hi").status == RunStatus.completed
    assert len(portkey_provider.calls) == 1


def test_a_changed_copy_does_not_run(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    agent = govern(desk(portkey_model))
    run = agent.deep_copy(update={"model": foreign()}).run("hi")
    assert run.status == RunStatus.error
    assert portkey_provider.calls == []


def test_a_gated_team_that_was_changed_is_declined(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    team = govern(release_team(portkey_model, Release()), runner="Runner", gate=Gate())
    assert team.run(REQUEST).status == RunStatus.completed
    before = len(portkey_provider.calls)
    team.members[1].parser_model = foreign()
    run = team.run(REQUEST)
    assert run.status == RunStatus.error
    assert "the team was changed after it was governed: Critic.parser_model" in str(run.content)
    assert len(portkey_provider.calls) == before
