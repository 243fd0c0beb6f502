"""`govern` takes a ledger and budgets, and what its guide says of them is what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow.step import Step
from agno.workflow.workflow import Workflow
from ledger_rows import rows

from agno_portkey import govern
from agno_portkey.errors import ConfigurationError
from agno_portkey.model import PortkeyModel
from agno_portkey.telemetry.ledger import Budget, BudgetAllowance, Ledger
from agno_portkey.testing import EmbeddedProvider

Models = Callable[..., PortkeyModel]
GUIDE = (Path(__file__).parents[2] / "docs/guide/ledger.md").read_text(encoding="utf-8")


@pytest.fixture
def section() -> dict[str, Any]:
    """What the section on budgets defines."""
    [fence] = [
        each
        for each in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
        if "def within_budget" in each
    ]
    names: dict[str, Any] = {"govern": govern, "PortkeyModel": PortkeyModel}
    exec(compile(fence, "the guide", "exec"), names)
    return names


def test_the_readmes_team_has_its_budgets(section: dict[str, Any], booked: Models) -> None:
    member = Agent(name="Writer", model=booked(observers=[]))
    team = Team(name="Team", members=[member], model=booked(observers=[]))
    assert section["within_budget"](team, InMemoryDb()) is team
    for model in (team.model, member.model):
        assert isinstance(model, PortkeyModel)
        held = [each for each in model.budgets if isinstance(each, BudgetAllowance)]
        assert [each.budget.per for each in held] == ["run", "day", "day"]
        assert all(each.ledger in model.observers for each in held)


def test_the_readmes_model_has_its_budget(section: dict[str, Any]) -> None:
    model = section["by_hand"](InMemoryDb())
    [held] = model.budgets
    assert held.budget.limit_tokens == 100_000


def test_governed_again_in_the_same_way_nothing_changes(ledger: Ledger, booked: Models) -> None:
    agent = Agent(name="Writer", model=booked(observers=[]))
    wanted: dict[str, Any] = {"ledger": ledger, "budgets": [Budget(per="day", limit_usd="1.0")]}
    govern(agent, **wanted)
    model = agent.model
    govern(agent, ledger=ledger, budgets=[Budget(per="day", limit_usd=1)])
    assert agent.model is model
    with pytest.raises(ConfigurationError, match="another budgets"):
        govern(agent, ledger=ledger)
    with pytest.raises(ConfigurationError, match="another observers, ledger"):
        govern(agent, ledger=Ledger(InMemoryDb()), budgets=wanted["budgets"])


def test_without_a_ledger_nobody_is_told_of_runs(booked: Models) -> None:
    agent = govern(Agent(name="Writer", model=booked(observers=[]), telemetry=False))
    assert agent.run("Hi").metadata is None


def test_a_workflows_steps_are_booked_and_limited(
    ledger: Ledger, booked: Models, portkey_provider: EmbeddedProvider
) -> None:
    agents = [
        Agent(name=name, model=booked(observers=[]), telemetry=False) for name in ("One", "Two")
    ]
    flow = Workflow(name="Flow", steps=[Step(name=each.name, agent=each) for each in agents])
    govern(flow, ledger=ledger, budgets=[Budget(per="day", limit_tokens=1)])
    output = flow.run("Go")
    assert output.status is not RunStatus.completed
    [row] = rows(ledger)
    assert (row["role"], row["swarm"]) == ("One", "Flow")
    assert len(portkey_provider.calls) == 1
