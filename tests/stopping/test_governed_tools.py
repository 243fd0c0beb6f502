"""The Runner's tools refuse while their swarm is stopped, whoever runs them: a model or nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools import Toolkit
from agno.tools.function import Function, FunctionCall
from four_forms import FORMS

from agno_portkey import Event, Gate, PortkeyModel, govern
from agno_portkey.errors import ToolRefused
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell


class Stage:
    """The story's team, with its switch; `tools` makes the Runner's of those of the release."""

    def __init__(
        self, model: PortkeyModel, tools: Callable[[Release], list[Any]] | None = None
    ) -> None:
        self.release = Release()
        self.heard: list[Event] = []
        self.team = release_team(model, self.release, db=InMemoryDb())
        self.runner = self.team.members[3]
        if tools is not None:
            self.runner.tools = tools(self.release)
        govern(self.team, runner="Runner", gate=Gate(), observers=[self.heard.append])
        self.switch: StopSwitch = self.team.model.seat.brake.switch

    def cleared(self) -> Any:
        """The context of a run of the Runner that the gate has cleared."""
        charter = self.team.model.seat.charter
        run = charter.open("team", "Release")
        charter.runs.join("runner", run, "runner", "Runner")
        run.propose(SOUND)
        run.clear("runner")
        return SimpleNamespace(run_id="runner", session_state=None, dependencies=None)


def kit(release: Release) -> list[Any]:
    return [Toolkit(name="kit", tools=[release.run_tests, release.deploy])]


def functions(release: Release) -> list[Any]:
    return [Function.from_callable(tool) for tool in (release.run_tests, release.deploy)]


def confirmed(release: Release) -> list[Any]:
    asked = Function.from_callable(release.deploy)
    asked.requires_confirmation = True
    return [release.run_tests, asked]


def called(tool: Any, context: Any, form: str, **arguments: str) -> Any:
    """The tool as the host or another tool of its runs it, without a model."""
    function = tool if isinstance(tool, Function) else tool.functions["run_tests"]
    function = function.model_copy(deep=True)
    function._run_context = context
    call = FunctionCall(function=function, arguments=arguments)
    result = call.execute() if form == "run" else asyncio.run(call.aexecute())
    return result.error or result.result


@pytest.mark.parametrize("form", ["run", "arun"])
@pytest.mark.parametrize("tools", [None, kit, functions])
def test_a_protected_tool_that_no_model_runs_refuses_in_a_stopped_swarm(
    tools: Callable[[Release], list[Any]] | None, form: str, portkey_model: PortkeyModel
) -> None:
    stage = Stage(portkey_model, tools)
    context, tool = stage.cleared(), stage.runner.tools[0]
    stage.switch.stop("Release", reason="enough")
    with pytest.raises(ToolRefused, match=r"run_tests was refused: .* \(enough\)"):
        called(tool, context, form, suite="smoke")
    assert stage.release.done == []
    [told] = [event for event in stage.heard if event.kind == "stop"]
    assert (told.run_id, told.role, told.data["tool"]) == ("runner", "Runner", "run_tests")
    stage.switch.resume("Release")
    assert called(tool, context, form, suite="smoke") == "smoke: 42 passed"
    assert stage.release.done == [("run_tests", {"suite": "smoke"})]


def test_a_tool_that_is_governed_again_has_the_brake_of_its_new_team(
    portkey_model: PortkeyModel,
) -> None:
    shared: list[Any] = []

    def same(release: Release) -> list[Any]:
        shared[:] = shared or functions(release)
        return shared

    before = Stage(portkey_model, same)
    after = Stage(portkey_model, same)
    before.switch.stop("Release")
    assert called(shared[0], after.cleared(), "run", suite="smoke") == "smoke: 42 passed"
    after.switch.stop("Release")
    with pytest.raises(ToolRefused, match="was refused: the swarm Release is stopped"):
        called(shared[0], after.cleared(), "run", suite="smoke")


@pytest.mark.parametrize("form", FORMS)
def test_confirmed_tool_executed_by_continue_run_after_a_stop(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    stage = Stage(portkey_model, confirmed)
    paused = stage.team.run(REQUEST, session_id="s")
    assert paused.is_paused
    sent = len(portkey_provider.calls)
    stage.switch.stop("Release", reason="enough")
    for need in paused.active_requirements:
        need.confirm()
    assert continued(stage.team, form, run_response=paused) != RunStatus.completed
    assert stage.release.done == [("run_tests", {"suite": "smoke"})]
    assert len(portkey_provider.calls) == sent
    told = {event.data.get("tool") for event in stage.heard if event.kind == "stop"}
    assert "deploy" in told


def continued(team: Team, form: str, **options: Any) -> RunStatus | None:
    """How a run ends that is continued in one of the four forms."""
    if form == "run":
        return team.continue_run(**options).status
    if form == "arun":
        return asyncio.run(_whole(team, options)).status
    options |= {"stream": True, "stream_events": True, "yield_run_output": True}
    if form == "stream":
        events = [*team.continue_run(**options)]
    else:
        events = asyncio.run(_events(team, options))
    return getattr(events[-1], "status", None)


async def _whole(team: Team, options: dict[str, Any]) -> Any:
    return await team.acontinue_run(**options)


async def _events(team: Team, options: dict[str, Any]) -> list[Any]:
    return [event async for event in team.acontinue_run(**options)]
