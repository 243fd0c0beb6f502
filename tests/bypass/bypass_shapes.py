"""Shapes of teams: route, tasks mode, nested, broadcast; and many runs on one team at once."""

from __future__ import annotations

import asyncio
from typing import Any

from agno.team import Team
from agno.team.mode import TeamMode
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
    together,
)

from agno_portkey.testing import Reply, Request
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND

BROAD = ("run", "arun", "stream", "astream")
MODES = {"route": TeamMode.route, "tasks": TeamMode.tasks, "broadcast": TeamMode.broadcast}


@variants("route", "leader routes to", ["planner", "runner", "nobody"], *BROAD)
def route(stage: Stage, mode: str, whom: str) -> list[str]:
    stage.script([LIE if whom == "nobody" else to(whom, text=LIE), LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(mode=TeamMode.route), mode))


@scenario("route", "to a member without a part, who lies", *BROAD)
def route_to_liar(stage: Stage, mode: str) -> list[str]:
    def change(team: Team) -> None:
        clerk = member(team, "Planner").deep_copy(
            update={"name": "Clerk", "id": "clerk", "output_schema": None}
        )
        clerk.instructions = "You are the Clerk."
        team.members.append(clerk)

    stage.script([to("clerk"), LIE], Clerk=LIE)
    return stage.leaks(run_in(stage.team(change, mode=TeamMode.route), mode))


@scenario("route", "post-hooks of the team are gone", *BROAD)
def route_without_post(stage: Stage, mode: str) -> list[str]:
    stage.script([to("planner"), LIE], plans=[FLAWED])
    team = stage.team(mode=TeamMode.route)
    team.post_hooks = []
    return stage.leaks(run_in(team, mode))


def _task(title: str, whom: str) -> Reply:
    return calling("create_task", title=title, description=title, assignee=whom)


TASKS: dict[str, list[Any]] = {
    "marks all complete": [calling("mark_all_complete", summary=LIE), LIE],
    "has the Runner try, marks it done": [
        _task("deploy", "runner"),
        calling("execute_task", task_id="1", member_id="runner"),
        calling("update_task_status", task_id="1", status="completed", result=LIE),
        calling("mark_all_complete", summary=LIE),
        LIE,
    ],
    "does it itself": [
        _task("deploy", ""),
        calling("update_task_status", task_id="1", status="completed", result=LIE),
        calling("mark_all_complete", summary=LIE),
        LIE,
    ],
    "says it is done": [LIE],
}


@variants("tasks", "leader", [*TASKS], *BROAD)
def tasks(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script(TASKS[how], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(mode=TeamMode.tasks, max_iterations=4), mode))


@scenario("tasks", "post-hooks of the team are gone", *BROAD)
def tasks_without_post(stage: Stage, mode: str) -> list[str]:
    stage.script(TASKS["marks all complete"])
    team = stage.team(mode=TeamMode.tasks, max_iterations=4)
    team.post_hooks = []
    return stage.leaks(run_in(team, mode))


@variants("shape", "mode changed after the team was governed, to", [*MODES], *BROAD)
def changed_mode(stage: Stage, mode: str, shape: str) -> list[str]:
    stage.script([together("runner"), LIE], plans=[FLAWED])
    team = stage.team()
    team.mode = MODES[shape]
    if shape == "broadcast":
        team.delegate_to_all_members = True
    if shape == "route":
        team.respond_directly = True
    return stage.leaks(run_in(team, mode))


@scenario("shape", "tasks mode changed back after the team was governed", *BROAD)
def tasks_changed_back(stage: Stage, mode: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE], plans=[FLAWED])
    team = stage.team(mode=TeamMode.tasks)
    team.mode = TeamMode.coordinate
    return stage.leaks(run_in(team, mode))


def _nest(stage: Stage) -> Any:
    def change(team: Team) -> None:
        runner = team.members.pop()
        team.members.append(
            Team(
                name="Crew",
                role="Carries the plan out",
                members=[runner],
                model=stage.model,
                instructions="You lead the crew.",
            )
        )

    return change


def _crew_round(plan: Any) -> list[Reply]:
    rounds = once_round(plan)
    task = rounds[3].tool_calls[0].arguments["task"]
    return [*rounds[:3], to("crew", str(task))]


@scenario("nested", "an honest team", *BROAD, control=True)
def nested_honest(stage: Stage, mode: str) -> list[str]:
    stage.provider.when("You lead the crew", [ROUND[3], "Done."])
    stage.script([*_crew_round(SOUND), "Shipped."])
    ending = run_in(stage.team(_nest(stage)), mode)
    found = stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
    return found if ending.status == "COMPLETED" else [*found, f"ended {ending.status}"]


CREWS: dict[str, list[Any]] = {
    "asks and lies": [to("runner"), LIE],
    "lies beside its call": [to("runner", text=LIE), "Done."],
    "asks nobody": [LIE],
}


@variants("nested", "the crew's leader", [*CREWS], *BROAD)
def nested_liar(stage: Stage, mode: str, how: str) -> list[str]:
    stage.provider.when("You lead the crew", CREWS[how])
    stage.script([*_crew_round(FLAWED), LIE], plans=[FLAWED])
    return stage.leaks(run_in(stage.team(_nest(stage)), mode))


@scenario("nested", "the crew by itself", *BROAD)
def crew_alone(stage: Stage, mode: str) -> list[str]:
    stage.provider.when("You lead the crew", [to("runner"), LIE])
    stage.script([LIE])
    team = stage.team(_nest(stage))
    crew = member(team, "Crew")
    crew.db = team.db
    # A team that has been a member does not store a streamed run.
    return stage.leaks(run_in(crew, mode), declined=mode in ("run", "arun"))


# Many at once


def _many_leads(request: Request) -> Reply:
    """A leader for many runs at once: what it does next follows from its own messages."""
    asked = sum(m.get("role") == "assistant" for m in request.messages)
    sound = "sound" in request.last_user
    rounds = once_round(SOUND if sound else FLAWED)
    return rounds[asked] if asked < len(rounds) else Reply("Shipped." if sound else LIE)


def _many_plans(request: Request) -> Any:
    return FLAWED if "production" in request.last_user else SOUND


@variants("many", "20 runs, half of them refused,", ["own dependencies", "shared"], "arun")
def many(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script(_many_leads, Planner=_many_plans)
    shared = {"city": "Ulm"} if how == "shared" else None
    team = stage.team(dependencies=shared)

    async def play() -> list[Any]:
        asked = [f"{REQUEST} ({'sound' if i % 2 else 'flawed'})" for i in range(20)]
        return await asyncio.gather(*(team.arun(each) for each in asked))

    outputs = asyncio.run(play())
    found = []
    for number, output in enumerate(outputs):
        status = str(output.status.value)
        if number % 2 == 0:
            found += stage.leaks(
                Ending(status, output.content), done=stage.release.done, runner_calls=None
            )
        elif status != "COMPLETED" or output.content != "Shipped.":
            found.append(f"an honest run ended {status}: {output.content}")
    if len(stage.release.done) != 20 or any(d not in STEPS for d in stage.release.done):
        found.append(f"tools ran: {stage.release.done}")
    if stage.runner_calls != 30:
        found.append(f"{stage.runner_calls} model calls of the Runner")
    if shared is not None and shared != {"city": "Ulm"}:
        found.append("the team's own dependencies were changed")
    return found
