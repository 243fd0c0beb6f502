"""A member that is added after `govern` is named, with what to do, and with no other reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.run.base import RunStatus
from agno.team import Team

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.contracts import Plan
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

ADDED = "the member New was added; build the team and govern it anew"
GATED = f"the team was changed after it was governed: {ADDED}"

Made = Callable[[PortkeyModel], Any]
MEMBERS: dict[str, Made] = {
    "an agent": lambda model: Agent(name="New", model=model),
    "without a model": lambda model: Agent(name="New"),
    "of another kind": lambda model: Agent(name="New", model=OpenAIChat(id="gpt", api_key="k")),
    "a Planner": lambda model: Agent(name="New", model=model, output_schema=Plan),
    "a team": lambda model: Team(
        name="New", model=model, members=[Agent(name="Inner", model=model)]
    ),
    "governed by itself": lambda model: govern(Agent(name="New", model=model)),
}


def gated(model: PortkeyModel, release: Release, **options: Any) -> Team:
    return govern(release_team(model, release, **options), runner="Runner", gate=Gate())


@pytest.mark.parametrize("which", MEMBERS)
def test_a_gated_team_says_who_was_added_and_nothing_else(
    which: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    release = Release()
    team = gated(portkey_model, release)
    team.members = [*team.members, MEMBERS[which](portkey_model)]  # type: ignore[misc]
    run: Any = team.run(REQUEST)
    assert run.status == RunStatus.error
    assert run.content.reasons == (GATED,)
    assert (release.done, portkey_provider.calls) == ([], [])


def test_so_does_one_whose_inner_team_was_given_it(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    inner = Team(name="Inner", model=portkey_model, members=[Agent(name="A", model=portkey_model)])
    team = release_team(portkey_model, Release())
    team.members = [*team.members, inner]  # type: ignore[misc]
    govern(team, runner="Runner", gate=Gate())
    inner.members.append(MEMBERS["an agent"](portkey_model))  # type: ignore[union-attr]
    run: Any = team.run(REQUEST)
    assert run.content.reasons == (GATED,)
    assert portkey_provider.calls == []


def test_so_does_one_without_a_gate(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    desk = Agent(name="Desk", model=portkey_model)
    team = govern(Team(name="T", members=[desk], model=portkey_model))
    team.members.append(MEMBERS["of another kind"](portkey_model))  # type: ignore[union-attr]
    run = team.run("hi")
    assert str(run.content) == f"T was changed after it was governed: {ADDED}"
    assert portkey_provider.calls == []


def test_a_copy_of_the_team_has_the_members_that_it_had(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    release = Release()
    copied = gated(portkey_model, release).deep_copy()
    assert copied.run(REQUEST).status == RunStatus.completed
    copied.members = [*copied.members, MEMBERS["an agent"](portkey_model)]  # type: ignore[misc]
    run: Any = copied.run(REQUEST)
    assert run.content.reasons == (GATED,)


def test_one_of_before_with_another_model_is_told_as_such(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    team = gated(portkey_model, Release())
    team.members[1].model = portkey_model  # type: ignore[index]
    run: Any = team.run(REQUEST)
    [reason] = run.content.reasons
    assert reason == "the team was changed after it was governed: Critic has another model"
