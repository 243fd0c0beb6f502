"""A tool of the Runner's that the host can't call is refused by its name, before anything changes.

The host itself warns of such a tool and goes on without it, and so does whoever else holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from agno.agent import Agent
from agno.agent._tools import parse_tools
from agno.team import Team
from agno.tools.function import Function

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.tools import is_protected
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND, Release, release_team


class Called:
    """Has no name of its own, which the host asks for."""

    def __call__(self, version: str) -> str:
        return version


def unknown(version: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    return str(version)


BARE: dict[str, Callable[..., Any]] = {
    "print": print,
    "max": max,
    "int": int,
    "a Called": Called(),
    "unknown": unknown,
}
WITHOUT_PARAMETERS = {"most": Function(name="most", entrypoint=max)}


def team_of(provider: EmbeddedProvider) -> Team:
    return release_team(PortkeyModel(base_url=provider.url, api_key="k"), Release())


def member(team: Team, name: str) -> Agent:
    assert isinstance(team.members, list)
    found = next(each for each in team.members if each.name == name)
    assert isinstance(found, Agent)
    return found


@pytest.mark.parametrize("named", [*BARE, *WITHOUT_PARAMETERS])
def test_the_runner_is_named_with_its_tool_and_what_to_do(
    named: str, portkey_provider: EmbeddedProvider
) -> None:
    team = team_of(portkey_provider)
    runner = member(team, "Runner")
    tools: list[Any] = [*(runner.tools or []), {**BARE, **WITHOUT_PARAMETERS}[named]]  # type: ignore[misc]
    runner.tools = tools
    model = runner.model
    with pytest.raises(ConfigurationError) as refused:
        govern(team, runner="Runner", gate=Gate())
    said = str(refused.value)
    assert said.startswith(f"Runner.tools: {named} can't be used as a tool: ")
    assert "wrap it in a function of your own, with annotated parameters and a docstring" in said
    # As it was, so that it can be put right and governed.
    assert (runner.tools, runner.model) == (tools, model)
    assert not runner.pre_hooks
    runner.tools = tools[:-1]
    govern(team, runner="Runner", gate=Gate())


@pytest.mark.parametrize("named", BARE)
def test_of_another_member_it_is_left_to_the_host(
    named: str, portkey_provider: EmbeddedProvider
) -> None:
    team = team_of(portkey_provider)
    critic = member(team, "Critic")
    critic.tools = [BARE[named]]
    govern(team, runner="Runner", gate=Gate())
    assert critic.tools == [BARE[named]]
    assert parse_tools(critic, critic.tools, critic.model) == []  # type: ignore[arg-type]


def test_of_another_member_one_of_the_runners_is_refused_all_the_same(
    portkey_provider: EmbeddedProvider,
) -> None:
    """What can't be called now may be later, and would then run without the gate."""
    team = team_of(portkey_provider)
    runner = member(team, "Runner")
    assert isinstance(runner.tools, list)
    deploy: Any = runner.tools[-1]
    # The last to be looked at: the Runner's own come before.
    helper = Agent(name="Helper", model=runner.model, tools=[partial(deploy, version="2.1")])
    team.members = [*team.members, helper]  # type: ignore[misc]
    with pytest.raises(ConfigurationError, match=r"^Helper\.tools: deploy can't be used as a tool"):
        govern(team, runner="Runner", gate=Gate())
    assert not runner.pre_hooks
    assert runner.tools[-1] is deploy


@pytest.mark.parametrize("named", BARE)
def test_one_that_comes_late_closes_the_gate(
    named: str, portkey_provider: EmbeddedProvider
) -> None:
    release = Release()
    model = PortkeyModel(base_url=portkey_provider.url, api_key="k")
    team = govern(release_team(model, release), runner="Runner", gate=Gate())
    runner = member(team, "Runner")
    assert isinstance(runner.tools, list)
    assert all(is_protected(tool) for tool in runner.tools if isinstance(tool, Function))
    runner.tools = [BARE[named], *runner.tools]
    portkey_provider.reply(SOUND)
    said = str(team.run("Ship 2.1").content)
    assert "the team was changed after it was governed: " in said
    assert f"Runner.tools: {named} can't be used as a tool: " in said
    assert (release.done, portkey_provider.calls) == ([], [])
