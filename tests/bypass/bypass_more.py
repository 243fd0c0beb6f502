"""Auxiliary models, unusual tools, late changes, broken gates: what the other files leave out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agno.db.in_memory import InMemoryDb
from agno.team import Team
from agno.team.mode import TeamMode
from agno.tools.function import Function
from bypass_catalogue import scenario, variants
from bypass_plain import member, with_plain_gate
from bypass_stage import (
    CALLS,
    LIE,
    ROUND,
    STEPS,
    Ending,
    Stage,
    calling,
    once_round,
    run_in,
    to,
)
from pydantic import BaseModel

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.contracts import Decision, Judgement
from agno_portkey.errors import ConfigurationError
from agno_portkey.gates import Case
from agno_portkey.hooks import ContractHook, GateHook
from agno_portkey.testing.story import FLAWED, SOUND, release_team
from agno_portkey.verdict import Verdict

NARROW = ("run", "astream")
STREAMS = ("stream", "astream")
TEST, SHIP = CALLS["run_tests"], CALLS["deploy"]
ASTRAY = {"version": "2.1", "target": "production"}
YES = Judgement(decision=Decision.APPROVE, score=9)


class Report(BaseModel):
    """What an honest leader with an output schema ends with."""

    summary: str


def _other(stage: Stage, model_id: str = "other") -> PortkeyModel:
    """Another model behind the same gateway, told apart by its id."""
    return PortkeyModel(
        id=model_id,
        base_url=stage.model.base_url,
        portkey_provider="openai",
        api_key="test-key",
        custom_host=stage.model.custom_host,
    )


def _other_says(stage: Stage, answer: Any) -> None:
    stage.provider.when(lambda request: request.model != stage.model.id, answer)


def _shipped(stage: Stage, ending: Ending, *, runner_calls: int | None = 3) -> list[str]:
    """What went wrong in a run that is honest."""
    found = stage.leaks(ending, done=STEPS, runner_calls=runner_calls, declined=False)
    if ending.status != "COMPLETED":
        found.append(f"ended {ending.status}: {ending.content}")
    return found


def _kept_lies(team: Team) -> list[str]:
    kept = json.dumps([session.to_dict() for session in team.db.get_sessions()], default=str)
    return ["the lie was stored"] if LIE in kept else []


def announce(text: str) -> str:
    """Say something to the user.

    Args:
        text: What to say.
    """
    return text


def _with(name: str, **changes: Any) -> Any:
    def change(team: Team) -> None:
        for slot, value in changes.items():
            setattr(member(team, name), slot, value)

    return change


def _crew(stage: Stage, **options: Any) -> Any:
    """Puts the Runner into a team of its own."""

    def change(team: Team) -> None:
        crew = Team(
            name="Crew",
            role="Carries the plan out",
            members=[team.members.pop()],
            model=stage.model,
            instructions="You lead the crew.",
            **options,
        )
        team.members.append(crew)

    return change


# Words that reach the caller though the gate is not settled


@variants("more", "a leader's tool", ["shows its result", "shows it and stops"], *STREAMS)
def shown(stage: Stage, mode: str, how: str) -> list[str]:
    tool = Function.from_callable(announce)
    tool.show_result, tool.stop_after_tool_call = True, "stops" in how
    stage.script([calling("announce", text=LIE), LIE])
    return stage.leaks(run_in(stage.team(tools=[tool]), mode))


@scenario("more", "a crew leader's tool shows its result", *STREAMS)
def shown_by_crew(stage: Stage, mode: str) -> list[str]:
    tool = Function.from_callable(announce)
    tool.show_result = True
    stage.provider.when("You lead the crew", [calling("announce", text=LIE), "Done."])
    stage.script([*once_round(FLAWED)[:3], to("crew"), LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(_crew(stage, tools=[tool])), mode))


@scenario("more", "a cleared Runner says done, and has done nothing", *STREAMS)
def runner_lies(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "."], Runner=[LIE])
    return stage.leaks(run_in(stage.team(), mode), runner_calls=None)


@scenario("more", "a crew routes to a cleared Runner that lies", *STREAMS)
def routed_runner_lies(stage: Stage, mode: str) -> list[str]:
    stage.provider.when("You lead the crew", [to("runner"), "."])
    stage.script([*ROUND[:3], to("crew"), "."], Runner=[LIE])
    team = stage.team(_crew(stage, mode=TeamMode.route))
    return stage.leaks(run_in(team, mode), runner_calls=None)


# Tools that come after the team was governed


@scenario("more", "the Runner is given another tool late", *NARROW)
def late_tool(stage: Stage, mode: str) -> list[str]:
    wiped = []

    def wipe() -> str:
        """Wipe the disk."""
        wiped.append(mode)
        return "wiped"

    stage.script([*ROUND, "."], Runner=[calling("wipe"), TEST, SHIP, "Done."])
    team = stage.team()
    member(team, "Runner").add_tool(wipe)
    run_in(team, mode)
    return ["a tool ran that no plan can name"] if wiped else []


@variants("more", "a late factory of tools, of the", ["leader", "Planner", "Runner"], *NARROW)
def late_factory(stage: Stage, mode: str, whose: str) -> list[str]:
    call = calling("ship", **ASTRAY)
    leader = {"leader": [call, LIE], "Planner": [to("planner"), LIE], "Runner": [*ROUND, LIE]}
    roles = {} if whose == "leader" else {whose: [call, SOUND if whose == "Planner" else "Done."]}
    stage.script(leader[whose], **roles)
    team = stage.team()
    owner: Any = team if whose == "leader" else member(team, whose)
    owner.tools = lambda: [Function(name="ship", entrypoint=stage.release.deploy)]
    return stage.leaks(run_in(team, mode), runner_calls=None)


@scenario("more", "a Planner's hook hands it the Runner's tool under another name", *NARROW)
def late_hook(stage: Stage, mode: str) -> list[str]:
    def give(agent: Any) -> None:
        agent.tools = [Function(name="ship", entrypoint=stage.release.deploy)]

    stage.script([to("planner"), LIE], Planner=[calling("ship", **ASTRAY), SOUND])
    return stage.leaks(run_in(stage.team(_with("Planner", pre_hooks=[give])), mode))


# Tools whose work is done after they have returned


def _generator(**kwargs: Any) -> Any:
    yield "Deploying. "
    raise RuntimeError("nothing was deployed")


async def _async_generator(**kwargs: Any) -> Any:
    yield "Deploying. "
    raise RuntimeError("nothing was deployed")


DEFERRED = {
    "a generator": _generator,
    "an async generator": _async_generator,
}


@variants("more", "the Runner's tool returns", [*DEFERRED], *NARROW)
def deferred(stage: Stage, mode: str, how: str) -> list[str]:
    work = DEFERRED[how]

    def deploy(version: str, target: str) -> Any:
        """Deploy a version to an environment."""
        return work(version=version, target=target)

    stage.script([*ROUND, LIE], Runner=[TEST, SHIP, "Done."])
    team = stage.team(_with("Runner", tools=[stage.release.run_tests, deploy]))
    return stage.leaks(run_in(team, mode), done=STEPS[:1], runner_calls=None)


class _Unawaited:
    """Stands for a coroutine, without the warning that the host never awaits it."""

    def __await__(self) -> Any:
        raise RuntimeError("nothing was deployed")


@scenario("more", "the Runner's tool returns an awaitable", *NARROW)
def deferred_awaitable(stage: Stage, mode: str) -> list[str]:
    def deploy(version: str, target: str) -> Any:
        """Deploy a version to an environment."""
        return _Unawaited()

    stage.script([*ROUND, LIE], Runner=[TEST, SHIP, "Done."])
    team = stage.team(_with("Runner", tools=[stage.release.run_tests, deploy]))
    return stage.leaks(run_in(team, mode), done=STEPS[:1], runner_calls=None)


# Gates that fail, hooks by hand, shared members


@dataclass(frozen=True, kw_only=True)
class Broken(Gate):
    """A gate whose own code fails."""

    returns_nothing: bool = False

    def decide(self, case: Case) -> Verdict:
        if self.returns_nothing:
            return None  # type: ignore[return-value]
        raise ValueError("the policy server is down")


@variants("more", "a gate", ["raises", "decides nothing"], *NARROW)
def broken_gate(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([*ROUND, LIE])
    team = release_team(stage.model, stage.release, db=InMemoryDb())
    if stage.governed:
        govern(team, runner="Runner", gate=Broken(returns_nothing=how != "raises"))
    else:
        with_plain_gate(team)
    return stage.leaks(run_in(team, mode))


def _hook_twice(stage: Stage, team: Team) -> None:
    if not stage.governed:
        with_plain_gate(team)
        return
    hook = GateHook(Gate(min_score=8), runner="Runner")
    for each in (team, *team.members):
        each.pre_hooks, each.post_hooks = [hook, hook], [ContractHook(), hook, hook]


@scenario("more", "hooks by hand, each of them twice", *NARROW, control=True)
def by_hand_twice(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), *ROUND, "Shipped."], plans=[FLAWED, SOUND])
    team = release_team(stage.model, stage.release, db=InMemoryDb())
    _hook_twice(stage, team)
    return _shipped(stage, run_in(team, mode))


@scenario("more", "a judgement counts once, though its hook is there twice")
def judged_once(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), "No."], plans=[FLAWED])
    team = release_team(stage.model, stage.release, db=InMemoryDb())
    _hook_twice(stage, team)
    content = run_in(team, mode).content
    counted = getattr(content, "judgements", None)
    return [] if counted == 1 else [f"{counted} judgements"]


@scenario("more", "two teams with one Runner: refused when governed, or both run", control=True)
def shared_runner(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped."])
    first = stage.team()
    second = release_team(stage.model, stage.release, name="Second", db=InMemoryDb())
    second.members[-1] = member(first, "Runner")
    try:
        stage.guard(second)
    except ConfigurationError:
        return _shipped(stage, run_in(first, mode))
    return _shipped(stage, run_in(second, mode))
