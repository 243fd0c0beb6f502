"""Agno's workflows: what a step that fails does there, and where it can be made to stop them."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import fields
from typing import Any

import pytest
from agno.agent import Agent
from agno.exceptions import InputCheckError, OutputCheckError
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowErrorEvent, WorkflowStartedEvent
from agno.workflow import Condition, Loop, Parallel, Router, Step, Steps, Workflow
from agno.workflow.agent import WorkflowAgent
from agno.workflow.step import UnresolvableCallableError
from agno.workflow.types import HumanReview, OnError, StepInput, StepOutput
from agno.workflow.workflow import STEP_TYPE_MAPPING
from host_model import WAYS, pin, says

STEPS = "workflows/steps.py"
FLOW = "workflows/flow.py"
PARTS = "workflows/parts.py"
STOPPED = "workflows/stopped.py"


class Halt(OutputCheckError, UnresolvableCallableError):
    """An error of both kinds, as ours is."""


class Log(list[str]):
    def step(self, name: str, error: Exception | None = None, **options: Any) -> Step:
        def run(step_input: StepInput) -> str:
            self.append(name)
            if error is not None:
                raise error
            return f"{name} ran"

        return Step(name=name, executor=run, **options)


CONTAINERS = {
    "plain": lambda step: step,
    "steps": lambda step: Steps(name="S", steps=[step]),
    "loop": lambda step: Loop(name="L", steps=[step], max_iterations=2),
    "parallel": lambda step: Parallel(step, name="P"),
    "condition": lambda step: Condition(name="C", evaluator=True, steps=[step]),
    "router": lambda step: Router(name="R", choices=[step], selector=lambda _: "one"),
    "nested": lambda step: Step(name="N", workflow=Workflow(name="Inner", steps=[step])),
}


async def _play(flow: Workflow, way: str, text: str = "hello") -> tuple[Any, list[Any]]:
    """The error that came out of a workflow, if any, and what it gave back."""
    shown: list[Any] = []
    try:
        match way:
            case "run":
                shown.append(flow.run(text))
            case "arun":
                shown.append(await flow.arun(text))
            case "stream":
                shown.extend(flow.run(text, stream=True, stream_events=True))
            case _:
                async for event in flow.arun(text, stream=True, stream_events=True):
                    shown.append(event)
    except Exception as error:
        return error, shown
    return None, shown


@pin("An error of both kinds is not tried again, and passes through every container.", STOPPED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("container", CONTAINERS)
async def test_an_unresolvable_check_error_comes_through(container: str, way: str) -> None:
    log = Log()
    failing = log.step("one", Halt("no"), skip_on_failure=True)
    flow = Workflow(name="Flow", steps=[CONTAINERS[container](failing), log.step("two")])
    error, _ = await _play(flow, way)
    assert isinstance(error, Halt)
    assert log == ["one"]


@pin("A check error by itself is tried again, and the workflow goes on.", STEPS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_check_error_is_tried_again_and_passed_over(way: str) -> None:
    log = Log()
    flow = Workflow(name="Flow", steps=[log.step("one", OutputCheckError("no")), log.step("two")])
    error, _ = await _play(flow, way)
    assert error is None
    assert log == ["one"] * 4 + ["two"]


def _refuse(run_input: Any) -> None:
    raise InputCheckError("no")


def _agent(name: str, *answers: Any, **options: Any) -> Agent:
    return Agent(name=name, model=says(*answers), **options)


@pin("A refused agent step does not stop a workflow; streams try it four times.", STEPS, FLOW)
@pytest.mark.parametrize("way", WAYS)
async def test_a_refused_agent_is_passed_over(way: str) -> None:
    second = _agent("Second")
    refusals = Log()

    def refuse(run_input: Any) -> None:
        refusals.append("asked")
        raise InputCheckError("no")

    flow = Workflow(name="Flow", steps=[_agent("First", pre_hooks=[refuse]), second])
    error, _ = await _play(flow, way)
    assert error is None
    assert len(refusals) == (4 if way.endswith("stream") else 1)
    assert len(second.model.calls) == 1


class Noting(Step):
    """Notes which of the host's inner methods are called."""

    def _process_step_output(self, response: Any) -> StepOutput:
        NOTES.append(("_process_step_output", getattr(response, "status", None)))
        return super()._process_step_output(response)

    def _executor_error_message(self, error_event: Any) -> str:
        NOTES.append(("_executor_error_message", error_event.content))
        raise Halt("no")


NOTES: list[tuple[str, Any]] = []


@pin("A failed run reaches these two methods of its step, and nothing before them.", STEPS)
@pytest.mark.parametrize("way", WAYS)
async def test_where_a_failed_run_comes_by(way: str) -> None:
    NOTES.clear()
    STEP_TYPE_MAPPING[Noting] = STEP_TYPE_MAPPING[Step]
    flow = Workflow(name="Flow", steps=[Noting(name="one", agent=_agent("A", pre_hooks=[_refuse]))])
    error, _ = await _play(flow, way)
    if way.endswith("stream"):
        assert isinstance(error, Halt)
        assert NOTES == [("_executor_error_message", "no")]
    else:
        assert [("_process_step_output", RunStatus.error)] == NOTES


@pin("A workflow looks its steps up by their very class.", PARTS)
async def test_a_class_of_steps_has_to_be_known() -> None:
    class Unknown(Step):
        pass

    flow = Workflow(name="Flow", steps=[Unknown(name="one", agent=_agent("A"))])
    error, _ = await _play(flow, "run")
    assert isinstance(error, KeyError)


@pin("What runs a step gives it its input first, and all else by name.", STEPS)
@pytest.mark.parametrize("way", WAYS)
async def test_how_a_step_is_called(way: str) -> None:
    class Asked(Step):
        def execute(self, step_input: StepInput, **options: Any) -> StepOutput:
            seen.append(options["workflow_run_response"])
            return super().execute(step_input, **options)

        async def aexecute(self, step_input: StepInput, **options: Any) -> StepOutput:
            seen.append(options["workflow_run_response"])
            return await super().aexecute(step_input, **options)

        def execute_stream(self, step_input: StepInput, **options: Any) -> Any:
            seen.append(options["workflow_run_response"])
            return super().execute_stream(step_input, **options)

        def aexecute_stream(self, step_input: StepInput, **options: Any) -> Any:
            seen.append(options["workflow_run_response"])
            return super().aexecute_stream(step_input, **options)

    seen: list[Any] = []
    STEP_TYPE_MAPPING[Asked] = STEP_TYPE_MAPPING[Step]
    for wrap in CONTAINERS.values():
        flow = Workflow(name="Flow", steps=[wrap(Asked(name="one", agent=_agent("A")))])
        before = len(seen)
        error, _ = await _play(flow, way)
        assert error is None
        assert len(seen) > before
    assert {type(run).__name__ for run in seen} == {"WorkflowRunOutput"}


@pin("A workflow's inner methods are handed the run and its context by name.", FLOW)
@pytest.mark.parametrize("way", WAYS)
async def test_how_a_workflow_runs_itself(way: str) -> None:
    class Seen(Workflow):
        def _execute(self, *args: Any, **options: Any) -> Any:
            seen.append(options)
            return super()._execute(*args, **options)

        def _aexecute(self, *args: Any, **options: Any) -> Any:
            seen.append(options)
            return super()._aexecute(*args, **options)

        def _execute_stream(self, *args: Any, **options: Any) -> Any:
            seen.append(options)
            return super()._execute_stream(*args, **options)

        def _aexecute_stream(self, *args: Any, **options: Any) -> Any:
            seen.append(options)
            return super()._aexecute_stream(*args, **options)

    seen: list[dict[str, Any]] = []
    await _play(Seen(name="Flow", steps=[_agent("A")]), way)
    (options,) = seen
    assert options["workflow_run_response"].run_id == options["run_context"].run_id


@pin("A failed stream writes its run, and then says so in a WorkflowErrorEvent, its last.", FLOW)
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_how_a_failed_stream_ends(way: str) -> None:
    flow = Workflow(name="Flow", steps=[Log().step("one", Halt("no"))])
    _, shown = await _play(flow, way)
    assert isinstance(shown[0], WorkflowStartedEvent)
    assert isinstance(shown[-1], WorkflowErrorEvent)
    assert shown[-1].run_id == shown[0].run_id
    assert sum(isinstance(event, WorkflowErrorEvent) for event in shown) == 1


@pin("Copies of a workflow keep its class, its steps' functions, and no step's class.", PARTS, FLOW)
def test_what_copies_keep() -> None:
    class Mine(Workflow):
        pass

    def pick(step_input: StepInput) -> str:
        return "one"

    STEP_TYPE_MAPPING[Noting] = STEP_TYPE_MAPPING[Step]
    step = Noting(name="one", agent=_agent("A", pre_hooks=[_refuse]))
    twin = Mine(name="Flow", steps=[Router(name="R", choices=[step], selector=pick)]).deep_copy()
    router = twin.steps[0]
    assert type(twin) is Mine
    assert router.selector is pick
    assert type(router.choices[0]) is Step
    assert router.choices[0].agent.pre_hooks == [_refuse]


@pin("A copy of a WorkflowAgent loses all but its model and instructions.", "workflows/agent.py")
def test_what_a_copy_of_a_workflow_agent_loses() -> None:
    desk = WorkflowAgent(model=says())
    desk.pre_hooks = [_refuse]
    assert desk.deep_copy().pre_hooks is None


@pin("The failed stream of a workflow's agent passes for an empty answer.", "workflows/agent.py")
async def test_a_workflow_agent_that_fails_in_a_stream() -> None:
    desk = WorkflowAgent(model=says())
    desk.pre_hooks = [_refuse]
    flow = Workflow(name="Flow", agent=desk, steps=[_agent("A")])
    error, shown = await _play(flow, "stream")
    assert error is None
    assert not any(isinstance(event, WorkflowErrorEvent) for event in shown)


@pin("A step with history in a workflow without a db is left out.", PARTS)
async def test_a_step_that_is_left_out() -> None:
    log = Log()
    steps = [log.step("one", add_workflow_history=True), log.step("two")]
    await _play(Workflow(name="Flow", steps=steps), "run")
    assert log == ["two"]


@pin("Containers make steps of what is none before they run; routers anew each time.", PARTS)
def test_how_containers_prepare() -> None:
    made = _agent("A")
    for box in (
        Steps(name="S", steps=[made]),
        Loop(name="L", steps=[made]),
        Parallel(made, name="P"),
        Condition(name="C", evaluator=True, steps=[made], else_steps=[made]),
    ):
        box._prepare_steps()
        first = box.steps[0]
        box._prepare_steps()
        assert box.steps[0] is first
        assert isinstance(first, Step)
    router = Router(name="R", choices=[made, [made]], selector=lambda _: "A")
    router._prepare_steps()
    first = router.steps[0]
    assert isinstance(router.steps[1], Steps)
    router._prepare_steps()
    assert router.steps[0] is not first
    router.choices = list(router.steps)
    router._prepare_steps()
    assert router.steps == router.choices


@pin("Nothing is asked of a person when a step fails, unless it is said so.", STEPS)
def test_a_failed_step_is_skipped_by_default() -> None:
    assert HumanReview().on_error == OnError.skip
    assert inspect.signature(Step.__init__).parameters["skip_on_failure"].default is False


@pin("Whatever may run in a step is in one of these fields.", PARTS)
def test_the_fields_of_a_step() -> None:
    assert {f.name for f in fields(Step)} == {
        "name",
        "agent",
        "team",
        "executor",
        "workflow",
        "step_id",
        "description",
        "max_retries",
        "skip_on_failure",
        "strict_input_validation",
        "add_workflow_history",
        "num_history_runs",
        "human_review",
        "_retry_count",
    }


@pin("Pre-hooks in a step are told the workflow's run id; the run itself has its own.", FLOW)
@pytest.mark.parametrize("way", WAYS)
async def test_the_run_id_in_a_step(way: str) -> None:
    told: list[Any] = []

    def before(run_input: Any, run_context: Any) -> None:
        told.append(run_context)

    def after(run_output: Any) -> None:
        told.append(run_output)

    made = _agent("A", pre_hooks=[before], post_hooks=[after])
    flow = Workflow(id="flow", name="Flow", steps=[made])
    await asyncio.wait_for(_play(flow, way), 30)
    context, output = told
    assert context.workflow_id == "flow"
    assert context.run_id != output.run_id
    assert made.model.calls[0]["run_response"].run_id == output.run_id
