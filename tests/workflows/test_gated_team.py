"""A gated team as a workflow's step: its Runner runs what the gate has cleared, and no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowErrorEvent, WorkflowRunOutput
from agno.team.mode import TeamMode
from agno.workflow import Parallel, Step, Workflow
from agno.workflow.types import StepInput
from flows import FORMS, agent

from agno_portkey import Event, Gate, PortkeyModel, govern, verdict_of
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, Release, release_team, tell

STEPS = [("run_tests", {"suite": "smoke"}), ("deploy", {"version": "2.1", "target": "staging"})]
LIE = "Release 2.1 is live, I saw to it."


class Scene:
    """A team behind its gate, in a step of a workflow that is governed too or is not."""

    def __init__(
        self, model: PortkeyModel, *, whole: bool = True, shape: str = "step", **team: Any
    ) -> None:
        self.release = Release()
        self.heard: list[Event] = []
        self.team = release_team(model, self.release, **team)
        gate = Gate(min_score=8, max_rounds=1)
        govern(self.team, runner="Runner", gate=gate, observers=[self.heard.append])
        self.later = later = list[str]()

        def note(step_input: StepInput) -> str:
            later.append(str(step_input.previous_step_content))
            return "noted"

        step: Any = Step(name="ship", team=self.team)
        if shape == "parallel":
            step = Parallel(agent("Beside", model), step, name="both")
        elif shape == "nested":
            step = Workflow(name="Inner", steps=[step])
        self.flow = Workflow(name="Flow", steps=[step, note])
        if whole:
            govern(self.flow)

    def play(self, form: str) -> RunStatus:
        """How the workflow ends."""
        if form == "run":
            return self.flow.run(REQUEST).status
        if form == "arun":
            return asyncio.run(self._whole()).status
        events = asyncio.run(self._events()) if form == "astream" else self._streamed()
        failed = isinstance(events[-1], WorkflowErrorEvent)
        return RunStatus.error if failed else RunStatus(events[-1].status.upper())

    def _streamed(self) -> list[Any]:
        return [*self.flow.run(REQUEST, stream=True, stream_events=True)]

    async def _whole(self) -> WorkflowRunOutput:
        return await self.flow.arun(REQUEST)

    async def _events(self) -> list[Any]:
        return [e async for e in self.flow.arun(REQUEST, stream=True, stream_events=True)]


def runner_calls(provider: EmbeddedProvider) -> int:
    return sum("You are the Runner" in request.system for request in provider.calls)


@pytest.mark.parametrize("shape", ["step", "parallel", "nested"])
@pytest.mark.parametrize("form", FORMS)
def test_a_plan_that_the_gate_does_not_pass_is_not_run(
    form: str, shape: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[FLAWED], last_word=LIE)
    scene = Scene(portkey_model, shape=shape)
    status = scene.play(form)
    assert (scene.release.done, runner_calls(portkey_provider)) == ([], 0)
    assert status == RunStatus.error
    assert scene.later == []
    assert [event.kind for event in scene.heard].count("declined") == 1


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("shape", ["step", "parallel", "nested"])
@pytest.mark.parametrize("form", FORMS)
def test_a_plan_that_passes_is_run_step_by_step(
    form: str,
    shape: str,
    whole: bool,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND], last_word="It is live.")
    scene = Scene(portkey_model, whole=whole, shape=shape)
    assert scene.play(form) == RunStatus.completed
    assert scene.release.done == STEPS
    assert runner_calls(portkey_provider) == 3
    [later] = scene.later
    assert "It is live." in later


@pytest.mark.parametrize("shape", ["step", "parallel", "nested"])
@pytest.mark.parametrize("form", FORMS)
def test_in_a_plain_workflow_the_runner_waits_for_the_gate_as_well(
    form: str, shape: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[FLAWED], last_word=LIE)
    scene = Scene(portkey_model, whole=False, shape=shape)
    scene.play(form)
    assert (scene.release.done, runner_calls(portkey_provider)) == ([], 0)
    assert LIE not in "".join(scene.later)


def test_the_same_team_in_two_steps_needs_a_judgement_for_each(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(portkey_model)
    twice = [Step(name="one", team=scene.team), Step(name="two", team=scene.team)]
    flow = govern(Workflow(name="Twice", steps=twice))
    ended = flow.run(REQUEST)
    assert ended.status == RunStatus.error
    assert "step 'two' stopped the workflow" in str(ended.content)
    verdict = verdict_of(ended)
    assert verdict is not None
    assert "its score is 3, and 8 is needed" in verdict.reasons
    assert scene.release.done == STEPS


def test_two_runs_of_one_team_at_once_are_two_runs(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(portkey_model)
    steps = [Step(name="one", team=scene.team), Step(name="two", team=scene.team)]
    flow = govern(Workflow(name="Both", steps=[Parallel(*steps, name="both")]))
    assert flow.run(REQUEST).status == RunStatus.completed
    assert sorted(scene.release.done) == sorted([*STEPS, *STEPS])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("plan", "done"), [(SOUND, STEPS), (FLAWED, [])])
def test_in_tasks_mode_no_task_is_done_before_the_plan_has_been_run(
    plan: Any,
    done: list[Any],
    form: str,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.when("Ask the Planner", _in_tasks)
    tell(portkey_provider, plans=[plan])
    scene = Scene(portkey_model, mode=TeamMode.tasks, max_iterations=12)
    status = scene.play(form)
    assert scene.release.done == done
    assert (status == RunStatus.completed) is bool(done)
    leads = [r.tool_results for r in portkey_provider.calls if "Ask the Planner" in r.system]
    assert "refused by the gate" not in str(leads)


def _in_tasks(request: Request) -> Any:
    """A leader that makes a task of each member's part, has it done, and says that all are."""
    names, said = ("planner", "critic", "judge", "runner"), request.tool_results
    if len(said) == 8:
        return _call("mark_all_complete", summary="It is live.")
    if len(said) > 8:
        return "It is live."
    name = names[len(said) // 2]
    if len(said) % 2 == 0:
        return _call("create_task", title=name, description="Ship", assignee=name)
    task = said[-1].partition("[")[2].partition("]")[0]
    return _call("execute_task", task_id=task, member_id=name)


def _call(tool: str, **arguments: str) -> Reply:
    return Reply(tool_calls=(ToolCall(tool, arguments),))
