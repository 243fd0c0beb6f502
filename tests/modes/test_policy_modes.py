"""A policy's modes reach everyone that is governed by it."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from modes_scene import Scene

from agno_portkey import Gate, govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.policy import Policy, terms_of
from agno_portkey.testing.story import Release, release_team


def test_an_agent_inside_of_a_tool_is_held_in_the_same_modes(scene: Scene) -> None:
    helper = Agent(name="Helper", model=scene.model)

    def ask(question: str) -> str:
        """Ask somebody else."""
        return str(helper.run(question).content)

    policy = Policy(tags={"mode": "off"}, contracts="observe")
    govern(Agent(name="Clerk", model=scene.model, tools=[ask]), policy=policy)
    assert helper.model.seat.modes == terms_of(policy).modes


def test_a_team_is_governed_by_a_file_and_again_by_the_same(scene: Scene, tmp_path: Any) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("gate: {runner: Runner, mode: observe}\ntags: {cost_center: cc-42}\n")
    policy = Policy.from_yaml(file)
    team = govern(release_team(scene.model, Release()), policy=policy)
    seats = [owner.model.seat for owner in (team, *team.members)]
    assert {seat.charter.mode for seat in seats} == {"observe"}
    assert team.model.tags == {"cost_center": "cc-42"}
    assert govern(team, policy=Policy.from_yaml(file)) is team
    assert govern(team, policy=policy, tags={"cost_center": "cc-42"}) is team
    with pytest.raises(ConfigurationError, match="governed already, in another way"):
        govern(team, policy=Policy(gate={"runner": "Runner"}, tags={"cost_center": "cc-42"}))
    with pytest.raises(ConfigurationError, match="governed already, in another way"):
        govern(team, policy=policy, gate=Gate(min_score=9))
