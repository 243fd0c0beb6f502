"""Ways in beside the team's own run: the Runner alone, copies, missing hooks, other modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agno.team import Team
from bypass_catalogue import scenario, variants
from bypass_plain import member
from bypass_stage import (
    LIE,
    ROUND,
    STEPS,
    Ending,
    Stage,
    calling,
    once_round,
    run_in,
    to,
    typed,
)

from agno_portkey.testing.story import FLAWED, SOUND

BROAD = ("run", "arun", "stream", "astream")
DIRECT = [calling("deploy", version="2.1", target="production"), "Done."]


@scenario("entry", "the Runner by itself", *BROAD)
def runner_alone(stage: Stage, mode: str) -> list[str]:
    stage.script([LIE], Runner=DIRECT)
    run_in(member(stage.team(), "Runner"), mode)
    return stage.leaks()


@scenario("entry", "a copy of the Runner", *BROAD)
def runner_copied(stage: Stage, mode: str) -> list[str]:
    stage.script([LIE], Runner=DIRECT)
    run_in(member(stage.team(), "Runner").deep_copy(), mode)
    return stage.leaks()


@scenario("entry", "the Runner in another team", *BROAD)
def runner_borrowed(stage: Stage, mode: str) -> list[str]:
    stage.provider.when("You lead another team", [to("runner"), "Done."])
    stage.script([LIE], Runner=DIRECT)
    runner = member(stage.team(), "Runner")
    other = Team(
        name="Other", members=[runner], model=stage.model, instructions="You lead another team."
    )
    run_in(other, mode)
    return stage.leaks()


@variants("entry", "the Runner by itself, under the run id of", ["a done run", "the team"], *BROAD)
def runner_under_known_id(stage: Stage, mode: str, how: str) -> list[str]:
    ids: list[str] = []

    def note(run_context: Any) -> None:
        ids.append(run_context.run_id)

    def change(team: Team) -> None:
        holder = member(team, "Runner") if how == "a done run" else team
        holder.pre_hooks = [note]

    stage.script([*ROUND, "Shipped."])
    team = stage.team(change)
    run_in(team, mode)
    before = stage.runner_calls
    run_in(member(team, "Runner"), mode, run_id=ids[0])
    return stage.leaks(done=STEPS, runner_calls=before)


@scenario("entry", "a copy of the team", *BROAD)
def team_copied(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team().deep_copy(), mode))


@scenario("entry", "an honest team's copy", *BROAD, control=True)
def honest_copy(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped."])
    ending = run_in(stage.team().deep_copy(), mode)
    found = stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
    return found if ending.status == "COMPLETED" else [*found, f"ended {ending.status}"]


@variants("entry", "one team, first", ["arun", "astream"], "run", "stream", "print")
def async_then_sync(stage: Stage, mode: str, first: str) -> list[str]:
    turn = [*once_round(FLAWED), LIE]
    stage.script([*turn, *turn], plans=[FLAWED])
    team = stage.team()
    before = run_in(team, first)
    return [*stage.leaks(before), *stage.leaks(run_in(team, mode))]


@variants("entry", "one Runner by itself, first", ["arun", "astream"], "run", "stream")
def runner_async_then_sync(stage: Stage, mode: str, first: str) -> list[str]:
    stage.script([LIE], Runner=[*DIRECT, *DIRECT])
    runner = member(stage.team(), "Runner")
    run_in(runner, first)
    run_in(runner, mode)
    return stage.leaks()


@scenario("entry", "in the background", "arun")
def background(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    team = stage.team()

    async def play() -> Ending:
        started = await team.arun("Ship it.", background=True)
        while True:
            run = await team.aget_run_output(started.run_id, session_id=started.session_id)
            status = "" if run is None else str(getattr(run.status, "value", run.status))
            if status in ("ERROR", "COMPLETED"):
                return Ending(status, run.content)
            await asyncio.sleep(0.02)

    return stage.leaks(typed(asyncio.run(asyncio.wait_for(play(), 20))))


@scenario("entry", "hooks moved to the background", *BROAD)
def background_hooks(stage: Stage, mode: str) -> list[str]:
    def change(team: Team) -> None:
        for each in (team, *team.members):
            each._run_hooks_in_background = True

    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(change), mode))


# Hooks taken away after the team was governed


def _without(name: str, slot: str) -> Callable[[Team], None]:
    def change(team: Team) -> None:
        setattr(team if name == "team" else member(team, name), slot, [])

    return change


STRIPPED: dict[str, Callable[[Team], None]] = {
    f"{name}.{slot}": _without(name, slot)
    for name in ("team", "Planner", "Critic", "Judge", "Runner")
    for slot in ("pre_hooks", "post_hooks")
}


@variants("hooks", "removed", [*STRIPPED], "run", "astream")
def stripped(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    team = stage.team()
    STRIPPED[how](team)
    return stage.leaks(run_in(team, mode))


@variants("hooks", "removed everywhere,", ["sound plan", "flawed plan"], *BROAD)
def all_stripped(stage: Stage, mode: str, how: str) -> list[str]:
    plan = FLAWED if how == "flawed plan" else None
    stage.script([*(once_round(plan) if plan else ROUND), LIE], plans=[plan or SOUND])
    team = stage.team()
    for each in (team, *team.members):
        each.pre_hooks = each.post_hooks = []
    return stage.leaks(run_in(team, mode))


@scenario("hooks", "removed from the Runner, which then runs by itself", *BROAD)
def runner_stripped(stage: Stage, mode: str) -> list[str]:
    stage.script([LIE], Runner=DIRECT)
    runner = member(stage.team(), "Runner")
    runner.pre_hooks = runner.post_hooks = []
    run_in(runner, mode)
    return stage.leaks()


@scenario("hooks", "removed from the team after a cleared run", *BROAD)
def stripped_after(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped.", to("runner"), LIE])
    team = stage.team()
    run_in(team, mode)
    team.pre_hooks, before = [], stage.runner_calls
    return stage.leaks(run_in(team, mode), done=STEPS, runner_calls=before)


# Things put in after the team was governed


@scenario("late", "the Planner is given the tool", *BROAD)
def late_tool(stage: Stage, mode: str) -> list[str]:
    stage.script([to("planner"), LIE], Planner=[DIRECT[0], FLAWED])
    team = stage.team()
    member(team, "Planner").tools = [stage.release.deploy]
    return stage.leaks(run_in(team, mode))


@scenario("late", "the Runner is given another model", *BROAD)
def late_model(stage: Stage, mode: str) -> list[str]:
    stage.script([to("runner"), LIE], Runner=DIRECT)
    team = stage.team()
    member(team, "Runner").model = stage.model
    return stage.leaks(run_in(team, mode))


@scenario("late", "the leader is given another model", *BROAD)
def late_leader_model(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    team = stage.team()
    team.model = stage.model
    # Its model knows of no gate, and a pre-hook has no output to put a Declined into.
    ending = run_in(team, mode)
    found = stage.leaks(ending, declined=False)
    refused = ending.status == "ERROR" and str(ending.content).startswith("declined: the team was")
    return found if refused else [*found, f"ended {ending.status} with {ending.content!r}"]
