"""The public API as users would write it; checked by mypy, not run."""

from __future__ import annotations

from agno.agent import Agent
from agno.team import Team

from agno_portkey import Critique, Event, Gate, Judgement, Plan, PortkeyModel, govern
from agno_portkey.hooks import ContractHook, GateHook, TagHook
from agno_portkey.routing import (
    CircuitBreaker,
    Conditional,
    Fallback,
    LoadBalance,
    Recovery,
    Target,
    Timeout,
    When,
    metadata,
    openai,
    openrouter,
    param,
)


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
alone: Agent = govern(Agent(model=llm), tags={"tier": 1}, audit="audit.jsonl")
by_hand = Agent(
    model=llm,
    pre_hooks=[TagHook(tier=1), GateHook(Gate(), runner="Runner")],
    post_hooks=[ContractHook()],
)

route = Fallback(
    targets=[
        openai("gpt-4o", timeout=Timeout(first_token=5)),
        LoadBalance(
            sticky="user",
            targets=[
                openrouter("a", weight=0.9),
                Target(provider="groq", api_key="${GROQ_API_KEY}"),
            ],
        ),
        Conditional(
            conditions=[
                When(query=(metadata("tier") == "gold") & (param("max_tokens") > 100), then="large")
            ],
            default="small",
            targets=[openai("gpt-4o", name="large"), openai("gpt-4o-mini", name="small")],
        ),
    ],
    on_status_codes=[429, 503],
)
routed = PortkeyModel(
    config=route, recovery=Recovery(attempts=3), breaker=CircuitBreaker(cooldown=10)
)
