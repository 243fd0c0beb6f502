"""By which names a swarm is stopped: every team above a role, and everything that it reaches."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS, play

from agno_portkey import PortkeyModel, govern
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider


def switch_of(owner: Any) -> StopSwitch:
    """The switch that its models ask: it knows of its own stops at once."""
    switch = owner.model.seat.brake.switch
    assert isinstance(switch, StopSwitch)
    return switch


def agent(model: PortkeyModel, name: str, **options: Any) -> Agent:
    return Agent(name=name, model=model, **options)


class Nested:
    """Outer > Middle > Inner > Deep, a role beside each, and what only a tool of Deep holds."""

    def __init__(self, model: PortkeyModel) -> None:
        self.db = InMemoryDb()
        self.helper = agent(model, "Helper")
        crew = Team(name="Crew", model=model, members=[agent(model, "Hand")])
        self.hand = crew.members[0]

        def ask(question: str) -> str:
            """Ask the helper."""
            return str(self.helper.run(question).content)

        def send(task: str) -> str:
            """Send the crew."""
            return str(crew.run(task).content)

        self.deep = agent(model, "Deep", tools=[ask, send])
        self.inner = Team(name="Inner", model=model, members=[self.deep])
        self.between = agent(model, "Between")
        self.middle = Team(name="Middle", model=model, members=[self.inner, self.between])
        self.beside = agent(model, "Beside")
        self.outer = Team(name="Outer", model=model, members=[self.middle, self.beside], db=self.db)
        govern(self.outer)
        self.switch = switch_of(self.outer)

    def refused(self, form: str = "run") -> set[str]:
        """Who may not call a model now, each asked by itself."""
        roles = (self.deep, self.between, self.beside, self.helper, self.hand)
        return {str(r.name) for r in roles if play(r, form).status == RunStatus.error}


@pytest.fixture
def nested(portkey_model: PortkeyModel) -> Nested:
    return Nested(portkey_model)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "stopped"),
    [
        ("Outer", {"Deep", "Between", "Beside", "Helper", "Hand"}),
        ("middle ", {"Deep", "Between", "Helper", "Hand"}),
        ("Inner", {"Deep", "Helper", "Hand"}),
        ("Crew", {"Hand"}),
        ("Another", set()),
    ],
)
def test_each_team_on_the_way_stops_the_roles_below_it(
    form: str, name: str, stopped: set[str], nested: Nested, portkey_provider: EmbeddedProvider
) -> None:
    nested.switch.stop(name)
    assert nested.refused(form) == stopped
    assert len(portkey_provider.calls) == 5 - len(stopped)


def test_leaders_are_stopped_with_their_own_team_and_those_above(nested: Nested) -> None:
    leaders = (nested.outer, nested.middle, nested.inner)
    swarms = [{*leader.model.seat.brake.swarms} for leader in leaders]
    assert swarms == [{"Outer"}, {"Outer", "Middle"}, {"Outer", "Middle", "Inner"}]


def test_who_is_in_two_teams_is_stopped_with_either(portkey_model: PortkeyModel) -> None:
    db, shared = InMemoryDb(), agent(portkey_model, "Shared")
    one = Team(name="One", model=portkey_model, members=[shared])
    two = Team(name="Two", model=portkey_model, members=[shared])
    govern(Team(name="Both", model=portkey_model, members=[one, two], db=db))
    switch = switch_of(shared)
    for name in ("One", "Two", "Both"):
        switch.stop(name)
        assert play(shared, "run").status == RunStatus.error
        switch.resume(name)
        assert play(shared, "run").status == RunStatus.completed


def test_members_that_are_made_at_run_time_are_stopped_with_all_above(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    made: list[Agent] = []

    def members() -> list[Any]:
        made.append(agent(portkey_model, "Made"))
        return [made[-1]]

    db = InMemoryDb()
    late = Team(name="Late", model=portkey_model, members=members)
    middle = Team(name="Middle", model=portkey_model, members=[late])
    govern(Team(name="Outer", model=portkey_model, members=[middle], db=db))
    late.run("Hi")
    switch = switch_of(late)
    for name in ("Late", "Middle", "Outer"):
        switch.stop(name)
        assert play(made[-1], "run").status == RunStatus.error
        switch.resume(name)
        assert play(made[-1], "run").status == RunStatus.completed


@pytest.mark.parametrize("name", ["Flow", "Crew", "Sub"])
def test_in_a_workflow_a_team_is_stopped_by_its_own_name_too(
    name: str, portkey_model: PortkeyModel
) -> None:
    role, db = agent(portkey_model, "Role"), InMemoryDb()
    sub = Team(name="Sub", model=portkey_model, members=[role])
    crew = Team(name="Crew", model=portkey_model, members=[sub])
    govern(Workflow(name="Flow", db=db, steps=[Step(name="one", team=crew)]))
    switch_of(role).stop(name)
    assert play(role, "run").status == RunStatus.error
    switch_of(role).resume(name)
    assert play(role, "run").status == RunStatus.completed


def test_what_a_rebuilt_agent_was_in_before_stops_it_no_more(portkey_model: PortkeyModel) -> None:
    db = InMemoryDb()
    before = govern(Team(name="Old", model=portkey_model, members=[], db=db))
    again = govern(agent(before.model, "Again", db=db))
    assert again.model.seat.brake.swarms == ("Again",)


def test_who_is_found_by_two_ways_is_stopped_with_the_team_on_either(
    portkey_model: PortkeyModel,
) -> None:
    hand = agent(portkey_model, "Hand")
    crew = Team(name="Crew", model=portkey_model, members=[hand])

    def ask(question: str) -> str:
        """Ask one of the crew."""
        return str(hand.run(question).content)

    def send(task: str) -> str:
        """Send the crew."""
        return str(crew.run(task).content)

    one = Team(name="One", model=portkey_model, members=[agent(portkey_model, "A", tools=[ask])])
    two = Team(name="Two", model=portkey_model, members=[agent(portkey_model, "B", tools=[send])])
    govern(Team(name="Both", model=portkey_model, members=[one, two], db=InMemoryDb()))
    assert {*hand.model.seat.brake.swarms} == {"Hand", "Crew", "One", "Two", "Both"} - {"Hand"}


@pytest.mark.parametrize("own", [None, InMemoryDb()])
@pytest.mark.parametrize("form", FORMS)
def test_a_team_that_was_governed_before_is_stopped_with_its_workflow_too(
    form: str, own: Any, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    role, db = agent(portkey_model, "Role"), InMemoryDb()
    crew = govern(Team(name="Crew", model=portkey_model, members=[role], db=own))
    flow = govern(Workflow(name="Flow", db=db, steps=[Step(name="one", team=crew)]))
    switch = StopSwitch(db)
    switch.stop("Flow", reason="enough")
    for owner in (role, crew):
        ended = owner.run("Hi")
        assert ended.status == RunStatus.error
        assert "the swarm Flow is stopped" in str(ended.content)
    assert flow.run("Hi").status == RunStatus.error
    assert portkey_provider.calls == []
    assert play(role, form).status == RunStatus.error
