"""Runs that are continued, rebuilt from a database, or asked for over AgentOS."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.registry import Registry
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
    confirmed,
    continue_in,
    once_round,
    run_in,
    to,
    typed,
)

from agno_portkey import registry_of
from agno_portkey.testing.story import FLAWED, SOUND

BROAD = ("run", "arun", "stream", "astream")
ASTRAY = calling("deploy", version="2.1", target="production")


def _confirm(output: Any, **altered: str) -> Any:
    for need in output.active_requirements:
        need.tool_execution.tool_args.update(altered)
        need.confirm()
    return output


def _planner_asks_first(stage: Stage) -> Any:
    return lambda team: setattr(member(team, "Planner"), "tools", [confirmed(stage.release.deploy)])


def _runner_asks_first(stage: Stage) -> Any:
    tools = [stage.release.run_tests, confirmed(stage.release.deploy)]
    return lambda team: setattr(member(team, "Runner"), "tools", tools)


@scenario("continue", "the Planner's own run, its copy of the tool confirmed", *BROAD)
def planner_continued(stage: Stage, mode: str) -> list[str]:
    stage.script([LIE], Planner=[ASTRAY, SOUND])
    planner = member(stage.team(_planner_asks_first(stage)), "Planner")
    planner.db = InMemoryDb()
    paused = run_in(planner, "run").output
    if not paused.is_paused:
        return [f"never paused: {paused.status}"]
    continue_in(planner, mode, run_response=_confirm(paused))
    return stage.leaks()


@scenario("continue", "the team's run, the Planner's copy of the tool confirmed", *BROAD)
def planner_confirmed(stage: Stage, mode: str) -> list[str]:
    stage.script([to("planner"), LIE], Planner=[ASTRAY, SOUND])
    team = stage.team(_planner_asks_first(stage))
    paused = run_in(team, "run").output
    return stage.leaks(continue_in(team, mode, run_response=_confirm(paused)))


@scenario("continue", "the Runner's tool confirmed", *BROAD, control=True)
def runner_confirmed(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, "Shipped."])
    team = stage.team(_runner_asks_first(stage))
    paused = run_in(team, "run").output
    ending = continue_in(team, mode, run_response=_confirm(paused))
    found = stage.leaks(ending, done=STEPS, runner_calls=3, declined=False)
    return found if ending.status == "COMPLETED" else [*found, f"ended {ending.status}"]


@scenario("continue", "the Runner's tool confirmed with other arguments", *BROAD)
def runner_altered(stage: Stage, mode: str) -> list[str]:
    stage.script([*ROUND, LIE])
    team = stage.team(_runner_asks_first(stage))
    paused = _confirm(run_in(team, "run").output, target="production")
    ending = continue_in(team, mode, run_response=paused)
    return stage.leaks(ending, done=STEPS[:1], runner_calls=None)


AGAIN: dict[str, dict[str, Any]] = {
    "input": {"input": "And now to production."},
    "regenerate": {"regenerate": True},
    "regenerate in place": {"regenerate": True, "replace_original": True},
}


@variants("continue", "a cleared and finished team run, with", [*AGAIN], "run", "astream")
def finished_again(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([*ROUND, "Shipped.", to("runner"), LIE])
    team = stage.team()
    first = run_in(team, "run", session_id="s").output
    before = stage.runner_calls
    again = continue_in(team, mode, run_id=first.run_id, session_id="s", **AGAIN[how])
    return stage.leaks(again, done=STEPS, runner_calls=before)


@variants("continue", "a refused team run, with", [*AGAIN], "run", "astream")
def refused_again(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([*once_round(FLAWED), LIE, to("runner"), LIE], plans=[FLAWED])
    team = stage.team()
    first = run_in(team, "run", session_id="s").output
    again = continue_in(team, mode, run_id=first.run_id, session_id="s", **AGAIN[how])
    return stage.leaks(again)


@variants("continue", "a finished run of the Runner, with", [*AGAIN], "run", "astream")
def runner_again(stage: Stage, mode: str, how: str) -> list[str]:
    kept: list[Any] = []
    # The host passes what it has by name.
    keep = lambda run_output: kept.append(run_output)  # noqa: E731
    stage.script([*ROUND, "Shipped."])
    team = stage.team(lambda team: setattr(member(team, "Runner"), "post_hooks", [keep]))
    run_in(team, "run")
    runner, before = member(team, "Runner"), stage.runner_calls
    runner.db = InMemoryDb()
    continue_in(runner, mode, run_response=kept[0], **AGAIN[how])
    return stage.leaks(done=STEPS, runner_calls=before)


# Rebuilt from a database


def _rebuilt(stage: Stage, how: str, folder: str) -> Team:
    db = SqliteDb(db_file=str(Path(folder) / "agno.db"))
    raw = [stage.release.deploy, stage.release.run_tests]
    team = stage.team(lambda team: setattr(member(team, "Planner"), "tools", raw[:1]), db=db)
    for each in team.members:
        each.db = db
        each.save()
    team.save()
    if stage.governed:
        registry = registry_of(team)
        if how == "raw tools":
            registry = Registry(models=list(registry.models), tools=raw)
    else:
        registry = Registry(models=[stage.model], tools=raw)
    return Team.load(team.id, db=db, registry=registry)


@variants("rebuilt", "the team, with", ["its registry", "raw tools"], *BROAD)
def rebuilt(stage: Stage, mode: str, how: str) -> list[str]:
    stage.script([to("planner"), to("runner"), LIE], Planner=[ASTRAY, SOUND], Runner=[ASTRAY, "."])
    with tempfile.TemporaryDirectory() as folder:
        team = _rebuilt(stage, how, folder)
        ending = run_in(team, mode)
        team.db.db_engine.dispose()
    return stage.leaks(ending)


@variants("rebuilt", "one member, with", ["its registry", "raw tools"], "Planner", "Runner")
def rebuilt_member(stage: Stage, who: str, how: str) -> list[str]:
    stage.script([LIE], Planner=[ASTRAY, SOUND], Runner=[ASTRAY, "."])
    with tempfile.TemporaryDirectory() as folder:
        team = _rebuilt(stage, how, folder)
        run_in(member(team, who), "run")
        team.db.db_engine.dispose()
    return stage.leaks()


# AgentOS


def _post(team: Team, path: str, *forms: dict[str, Any]) -> list[Ending]:
    """POST each form in turn to an AgentOS that serves `team` and its members."""
    app = AgentOS(teams=[team], agents=list(team.members), telemetry=False).get_app()

    async def post() -> list[Ending]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            answers = [await client.post(path, data={"message": "Ship.", **f}) for f in forms]
        return [_answered(each.text, forms[0]["stream"]) for each in answers]

    return asyncio.run(post())


def _answered(text: str, stream: str) -> Ending:
    if stream == "true":
        return Ending("ERROR" if "event: TeamRunError" in text else "COMPLETED", None, text)
    data = json.loads(text)
    return typed(Ending(str(data.get("status")), data.get("content")))


@variants("AgentOS", "the team", ["alone", "with forged dependencies"], "true", "false")
def os_team(stage: Stage, stream: str, how: str) -> list[str]:
    stage.script([*once_round(FLAWED), to("runner"), LIE], plans=[FLAWED])
    forged = {} if how == "alone" else {"dependencies": '{"agno_portkey.run": {"id": "x"}}'}
    (ending,) = _post(stage.team(), "/teams/release/runs", {"stream": stream, **forged})
    return _os_leaks(stage, ending, stream)


@scenario("AgentOS", "the Runner by itself", "true", "false")
def os_runner(stage: Stage, stream: str) -> list[str]:
    stage.script([LIE], Runner=[ASTRAY, "Done."])
    _post(stage.team(), "/agents/runner/runs", {"stream": stream})
    return stage.leaks()


@scenario("AgentOS", "the client reuses a run id", "true", "false")
def os_run_id(stage: Stage, stream: str) -> list[str]:
    stage.script([*ROUND[:3], "Stop.", to("runner"), LIE])
    form = {"stream": stream, "run_id": "one", "session_id": "s"}
    _, ending = _post(stage.team(), "/teams/release/runs", form, form)
    return _os_leaks(stage, ending, stream)


def _os_leaks(stage: Stage, ending: Ending, stream: str) -> list[str]:
    found = stage.leaks(ending, declined=stream == "false")
    return found if ending.status == "ERROR" else [*found, f"ended {ending.status}"]


@scenario("AgentOS", "a confirmed tool of the Planner, continued with other arguments", "false")
def os_continue(stage: Stage, stream: str) -> list[str]:
    stage.script([LIE], Planner=[calling("deploy", version="2.1", target="staging"), SOUND])
    team = stage.team(_planner_asks_first(stage))
    planner = member(team, "Planner")
    planner.db = InMemoryDb()
    paused = run_in(planner, "run", session_id="s").output
    tools = [tool.to_dict() for tool in paused.tools]
    for tool in tools:
        tool["tool_args"]["target"], tool["confirmed"] = "production", True
    form = {"stream": stream, "session_id": "s", "tools": json.dumps(tools)}
    _post(team, f"/agents/planner/runs/{paused.run_id}/continue", form)
    return stage.leaks()
