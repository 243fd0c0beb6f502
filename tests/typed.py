"""The public API as users would write it; checked by mypy, not run."""

from __future__ import annotations

from agno.agent import Agent
from agno.team import Team

from agno_portkey import Critique, Event, Gate, Judgement, Plan, PortkeyModel, govern
from agno_portkey.hooks import ContractHook, GateHook, TagHook


def observe(event: Event) -> None:
    print(event.kind, event.verdict.reason if event.verdict else "")


def deploy(version: str) -> str:
    return version


llm = PortkeyModel("gpt-4o-mini", tags={"cost_center": "cc-42"}, observers=[observe])
planner = Agent(name="Planner", model=llm, output_schema=Plan)
critic = Agent(name="Critic", model=llm, output_schema=Critique)
judge = Agent(name="Judge", model=llm, output_schema=Judgement)
runner = Agent(name="Runner", model=llm, tools=[deploy])
team: Team = govern(
    Team(members=[planner, critic, judge, runner], model=llm),
    runner=runner,
    gate=[Gate(min_score=8), Gate(name="second", max_rounds=2)],
    observers=[observe],
)
alone: Agent = govern(Agent(model=llm), tags={"tier": 1})
by_hand = Agent(
    model=llm,
    pre_hooks=[TagHook(tier=1), GateHook(Gate(), runner="Runner")],
    post_hooks=[ContractHook()],
)
