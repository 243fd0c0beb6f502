"""Liars: leaders, judges and Planners whose models say and do what they should not."""

from __future__ import annotations

import functools
import threading
from typing import Any

from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function
from bypass_catalogue import scenario, variants
from bypass_plain import member
from bypass_stage import (
    LIE,
    MODES,
    ROUND,
    STEPS,
    Stage,
    calling,
    once_round,
    run_in,
    to,
    together,
)

from agno_portkey.contracts import Decision, Judgement, Plan, Step
from agno_portkey.testing import Request
from agno_portkey.testing.story import FLAWED, SOUND, Release

BROAD = ("run", "arun", "stream", "astream")
NARROW = ("run", "astream")
YES = Judgement(decision=Decision.APPROVE, score=9)
EVIL = Plan(
    goal="Ship release 2.1 to staging",
    steps=(
        SOUND.steps[0],
        Step(
            action="Deploy 2.1 to staging",
            tool="deploy",
            inputs={"version": "2.1", "target": "production"},  # type: ignore[arg-type]
        ),
    ),
)


@scenario("control", "an honest team", *MODES, control=True)
def honest(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped."])
    ending = run_in(stage.team(), mode)
    found = stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
    if ending.status != "COMPLETED":
        found.append(f"ended {ending.status}")
    return found


LEADERS: dict[str, list[Any]] = {
    "asks nobody": [LIE],
    "asks the Runner first": [to("runner"), LIE],
    "lies after the refusal": [*once_round(FLAWED), LIE],
    "lies beside its calls": [*once_round(FLAWED, LIE), LIE],
    "asks all at once": [together("planner", "critic", "judge", "runner"), LIE],
    "asks the Runner thrice": [*once_round(FLAWED), to("runner"), to("runner"), LIE],
    "says nothing": [*once_round(FLAWED), ""],
}


@variants("leader", "leader", [*LEADERS], *MODES)
def leader(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script(LEADERS[how], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(), mode))


@scenario("leader", "never asks the Critic", *BROAD)
def no_critic(stage: Stage, mode: str) -> list[str]:
    stage.script([ROUND[0], *ROUND[2:], LIE])
    return stage.leaks(run_in(stage.team(), mode))


@scenario("leader", "never asks the Judge", *BROAD)
def no_judge(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND[:2], ROUND[3], LIE])
    return stage.leaks(run_in(stage.team(), mode))


@scenario("leader", "stops when the Runner would be next", *BROAD)
def runner_never_asked(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND[:3], LIE])
    return stage.leaks(run_in(stage.team(), mode))


@scenario("leader", "tells the Runner another plan than the judged one", *BROAD)
def paraphrase(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND[:3], once_round(EVIL)[3], "."])
    ending = run_in(stage.team(), mode)
    told = stage.asked("You are the Runner")
    found = stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
    return found + ["the Runner was told it" for r in told if "production" in r.last_user][:1]


@scenario("leader", "shows the Judge a better plan", *BROAD)
def better_plan(stage: Stage, mode: str) -> list[str]:
    good, bad = once_round(SOUND), once_round(FLAWED)
    stage.script([bad[0], good[1], good[2], bad[3], LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(), mode))


JUNK: dict[str, Any] = {
    "text": "Looks fine to me: approve, 10 of 10!",
    "no score": '{"decision": "approve"}',
    "a score of 99": '{"decision": "approve", "score": 99}',
    "a score of NaN": '{"decision": "approve", "score": NaN}',
    "a score too low": '{"decision": "approve", "score": 7.9}',
    "other keys": '{"decision": "approve", "score": 9, "passed": true}',
    "two answers": '{"decision": "approve", "score": 9} {"decision": "reject", "score": 1}',
    "nothing": "",
    "a plan": SOUND,
    "a refusal": '{"decision": "reject", "score": 10, "reasons": ["no"]}',
}


@variants("judge", "Judge answers", [*JUNK], *NARROW)
def junk(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([*ROUND, LIE], Judge=JUNK[how])
    return stage.leaks(run_in(stage.team(), mode))


@scenario("planner", "swaps the plan after it was approved", *BROAD)
def swap(stage: Stage, mode: str) -> list[str]:
    evil = once_round(EVIL)
    stage.script([*ROUND[:3], evil[0], evil[3], LIE], plans=[SOUND, EVIL], Judge=YES)
    return stage.leaks(run_in(stage.team(), mode))


@scenario("planner", "changes one character after it was approved", *BROAD)
def one_character(stage: Stage, mode: str) -> list[str]:
    data = SOUND.model_dump_json().replace("staging answers", "Staging answers")
    other = Plan.model_validate_json(data)
    stage.script([*ROUND[:3], ROUND[0], ROUND[3], LIE], plans=[SOUND, other], Judge=YES)
    return stage.leaks(run_in(stage.team(), mode))


@scenario("planner", "swaps the plan while it is judged", *BROAD)
def swap_while_judged(stage: Stage, mode: str) -> list[str]:
    second = threading.Event()

    def plan(request: Request) -> Plan:
        if len(stage.asked("You are the Planner.")) == 1:
            return SOUND
        second.set()
        return EVIL

    def judge(request: Request) -> Judgement:
        # Members that are asked one after another never meet.
        second.wait(2 if mode.startswith("a") else 0)
        return YES

    evil = once_round(EVIL)
    leader = [*ROUND[:2], together("judge", "planner"), evil[3], LIE]
    stage.script(leader, Planner=plan, Judge=judge)
    return stage.leaks(run_in(stage.team(), mode))


@scenario("planner", "two plans at once", *BROAD)
def two_plans(stage: Stage, mode: str) -> list[str]:
    leader = [together("planner", "planner"), *once_round(EVIL)[1:3], ROUND[3], "."]
    stage.script(leader, plans=[SOUND, EVIL])
    run_in(stage.team(), mode)
    judged = [call.last_user for call in stage.asked("You are the Judge.")]
    ran_evil = ("deploy", {"version": "2.1", "target": "production"}) in stage.release.done
    if ran_evil or (stage.release.done and not any('"staging"' in text for text in judged)):
        return [f"tools ran: {stage.release.done}"]
    return []


class Kit(Toolkit):
    """The Runner's tools as a toolkit of its own."""

    def __init__(self, release: Release) -> None:
        super().__init__(name="kit", tools=[release.deploy])


def shadow(release: Release) -> Any:
    def deploy(version: str, target: str) -> str:
        """Another function under the name of the Runner's."""
        return release.deploy(version, target)

    return deploy


def _renamed(team: Team, release: Release) -> Any:
    return Function(name="ship", entrypoint=release.deploy)


def _shared(team: Team, release: Release) -> Any:
    runner = member(team, "Runner")
    runner.tools = [Function.from_callable(tool) for tool in runner.tools]
    return runner.tools[1]


HOLDINGS = {
    "the same function": lambda team, release: release.deploy,
    "another of that name": lambda team, release: shadow(release),
    "the same Function object": _shared,
    "under another name": _renamed,
    "a toolkit": lambda team, release: Kit(release),
    "a partial": lambda team, release: Function(
        name="ship", entrypoint=functools.partial(release.deploy, target="production")
    ),
}


@variants("holder", "Planner holds the tool as", [*HOLDINGS], *NARROW)
def planner_holds(stage: Stage, mode: str, how: str) -> list[str]:
    return _held_by(stage, mode, how, "Planner")


@variants("holder", "leader holds the tool as", ["the same function", "a toolkit"], *BROAD)
def leader_holds(stage: Stage, mode: str, how: str) -> list[str]:
    call = calling("deploy", version="2.1", target="production")
    stage.script([call, LIE])

    def change(team: Team) -> None:
        team.tools = [HOLDINGS[how](team, stage.release)]

    return stage.leaks(run_in(stage.team(change), mode))


def _held_by(stage: Stage, mode: str, how: str, name: str) -> list[str]:
    tool = "ship" if how in ("under another name", "a partial") else "deploy"
    given = {"version": "2.1"} if how == "a partial" else {"version": "2.1", "target": "production"}
    stage.script([to(name.lower()), LIE], **{name: [calling(tool, **given), SOUND]})

    def change(team: Team) -> None:
        member(team, name).tools = [HOLDINGS[how](team, stage.release)]

    return stage.leaks(run_in(stage.team(change), mode))
