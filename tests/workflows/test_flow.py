"""Governed workflows as the host uses them: copied, changed, resumed, cancelled, in background."""

from __future__ import annotations

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.cancel import cancel_run
from agno.run.workflow import WorkflowRunOutput
from agno.team import Team
from agno.tools import tool
from agno.workflow import Parallel, Router, Step, Steps, Workflow
from agno.workflow.step import UnresolvableCallableError
from agno.workflow.types import HumanReview, StepInput
from flows import FORMS, SECRET, Stage, agent, ends_in_error, governed

from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.govern import govern
from agno_portkey.guardrails import Block, Guard, Passage, Rewrite, verdict_of
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.verdict import Verdict
from agno_portkey.workflows import STEP_KEY, GovernedStep, StepStopped, executors
from agno_portkey.workflows.parts import functions, steps_of
from agno_portkey.workflows.stopped import Stop, from_error, from_run, from_stop, mark

Provider = EmbeddedProvider


class Secrets(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if SECRET in passage.text else None


class Masks(Guard):
    on = "input"
    rewrites = True
    inline = True

    def inspect(self, passage: Passage) -> Rewrite | None:
        return Rewrite("[masked]", "named") if passage.text == f"ask {SECRET}" else None


def _refused(model: PortkeyModel, **options: Any) -> Agent:
    return agent("First", model, pre_hooks=[Secrets(on="input")], **options)


def _asked(provider: Provider, name: str) -> int:
    return sum(f"You are {name}." in str(call.body["messages"]) for call in provider.calls)


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_of_a_copy_stops_as_well(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    first, second = _refused(portkey_model), agent("Second", portkey_model)
    inner = Workflow(name="Inner", steps=[Steps(name="S", steps=[first, second])])
    stage = Stage(tmp_path, [inner, second])
    stage.workflow = stage.workflow.deep_copy().deep_copy()
    ended = stage.play(form)
    assert ended.run.status == RunStatus.error
    assert not ended.events or ends_in_error(ended)
    assert portkey_provider.calls == []
    assert SECRET not in stage.rows


def test_what_stopped_a_run_stands_in_its_metadata(
    tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    stage = Stage(tmp_path, [_refused(portkey_model)])
    run = stage.play("run", metadata={"ticket": "7"}).run
    verdict = verdict_of(run)
    assert verdict is not None
    assert (verdict.source, verdict.reason) == ("Secrets", "a project is named")
    assert run.metadata is not None
    assert (run.metadata["ticket"], run.metadata[STEP_KEY]) == ("7", "First")
    assert stage.stored().metadata == run.metadata


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_team_stops_its_workflow(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    member = agent("Member", portkey_model)
    team = Team(
        name="First", model=portkey_model, members=[member], post_hooks=[Secrets(on="output")]
    )
    portkey_provider.reply(f"It is {SECRET}.")
    stage = Stage(tmp_path, [team, agent("Second", portkey_model)])
    ended = stage.play(form, "hello")
    assert ended.run.content == "step 'First' stopped the workflow: a project is named"
    assert len(portkey_provider.calls) == 1
    assert SECRET not in stage.rows


@pytest.mark.parametrize("form", ["run", "arun"])
def test_the_answer_that_a_plain_hook_refused_goes_nowhere(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    from agno.exceptions import OutputCheckError

    def no_names(run_output: Any) -> None:
        raise OutputCheckError("a name")

    portkey_provider.when("You are First", f"It is {SECRET}.")
    first = agent("First", portkey_model, post_hooks=[no_names])
    stage = Stage(tmp_path, [first, agent("Second", portkey_model)])
    ended = stage.play(form, "hello")
    assert _asked(portkey_provider, "Second") == 0
    assert ended.run.status == RunStatus.error
    assert SECRET not in ended.shown
    assert SECRET not in stage.rows


@pytest.mark.parametrize("form", FORMS)
def test_a_request_that_a_guard_rewrote_is_stored_rewritten(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    model = PortkeyModel(
        base_url=portkey_model.base_url,
        portkey_provider="openai",
        api_key="test-key",
        custom_host=portkey_provider.url,
        guards=[Masks()],
    )
    portkey_provider.when("You are First", "fine")
    stage = Stage(tmp_path, [agent("First", model)])
    ended = stage.play(form, f"ask {SECRET}")
    assert ended.run.status == RunStatus.completed
    assert SECRET not in stage.rows


@pytest.mark.parametrize("form", FORMS)
def test_no_step_of_another_branch_begins_once_one_is_refused(
    form: str, portkey_model: PortkeyModel, portkey_provider: Provider
) -> None:
    step = Step(name="late", agent=agent("Second", portkey_model))
    governed(Workflow(name="Flow", steps=[step]))
    run = WorkflowRunOutput(run_id="r")
    mark(run, Stop("First", Verdict(False, "Secrets", ("no",))))
    with pytest.raises(StepStopped, match="'First' stopped"):
        _play_step(step, form, run)
    assert portkey_provider.calls == []


def _play_step(step: Step, form: str, run: WorkflowRunOutput) -> None:
    async def collected() -> None:
        async for _ in step.aexecute_stream(StepInput(input="x"), workflow_run_response=run):
            pass

    match form:
        case "run":
            step.execute(StepInput(input="x"), workflow_run_response=run)
        case "arun":
            asyncio.run(step.aexecute(StepInput(input="x"), workflow_run_response=run))
        case "stream":
            list(step.execute_stream(StepInput(input="x"), workflow_run_response=run))
        case _:
            asyncio.run(collected())


@pytest.mark.parametrize("form", FORMS)
def test_the_other_branches_of_a_parallel_are_not_fed_on(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    beside = agent("Beside", portkey_model)
    steps = [Parallel(_refused(portkey_model), beside, name="P"), agent("Second", portkey_model)]
    ended = Stage(tmp_path, steps).play(form)
    assert _asked(portkey_provider, "Second") == 0
    assert ended.run.content == "step 'First' stopped the workflow: a project is named"


def test_a_workflow_in_the_background_ends_in_error(
    tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    stage = Stage(tmp_path, [_refused(portkey_model), agent("Second", portkey_model)])

    async def run() -> None:
        begun = await stage.workflow.arun(f"ask {SECRET}", session_id="s", background=True)
        tasks = [t for t in asyncio.all_tasks() if "workflow-background" in t.get_name()]
        assert begun.status == RunStatus.pending
        assert len(tasks) == 1
        await tasks[0]

    asyncio.run(run())
    assert stage.stored().status == RunStatus.error
    assert "a project is named" in str(stage.stored().content)
    assert portkey_provider.calls == []


@pytest.mark.parametrize("form", FORMS)
def test_a_cancelled_workflow_is_cancelled_and_not_failed(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    def cancels(request: Any) -> str:
        cancel_run("r")
        return "too late"

    portkey_provider.when("You are First", cancels)
    stage = Stage(tmp_path, [agent("First", portkey_model), agent("Second", portkey_model)])
    ended = stage.play(form, run_id="r")
    assert ended.run.status == RunStatus.cancelled
    assert _asked(portkey_provider, "Second") == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_run_that_goes_on_after_a_confirmation_is_stopped_as_well(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    review = HumanReview(requires_confirmation=True)
    first = Step(name="First", agent=_refused(portkey_model), human_review=review)
    stage = Stage(tmp_path, [first, agent("Second", portkey_model)])
    paused = stage.play("run").run
    assert paused.status == RunStatus.paused
    paused.step_requirements[0].confirm()
    _continue(stage.workflow, form, paused)
    assert stage.stored().status == RunStatus.error
    assert stage.stored().content == "step 'First' stopped the workflow: a project is named"
    assert portkey_provider.calls == []


@tool(requires_confirmation=True)
def deploy() -> str:
    """Deploy it."""
    return "deployed"


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_an_agent_that_goes_on_after_a_confirmation_is_stopped_as_well(
    form: str,
    shown: bool,
    tmp_path: Path,
    portkey_provider: Provider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_provider.when("You are First", Reply(tool_calls=[ToolCall("deploy", {})]))
    first = agent("First", portkey_model, tools=[deploy])
    steps = [Step(name="First", agent=first), agent("Second", portkey_model)]
    stage = Stage(tmp_path, steps, stream_executor_events=shown)
    paused = stage.play("run", "hello").run
    assert paused.status == RunStatus.paused
    requirement = paused.step_requirements[0].executor_requirements[0]
    requirement["tool_execution"]["confirmed"] = True
    portkey_provider.fault(Fault.status(400), times=None)
    _continue(stage.workflow, form, paused)
    assert stage.stored().status == RunStatus.error
    assert "step 'First' stopped the workflow" in str(stage.stored().content)
    assert _asked(portkey_provider, "Second") == 0


def _continue(workflow: Workflow, form: str, paused: WorkflowRunOutput) -> None:
    options: dict[str, Any] = {"run_response": paused, "session_id": "s"}

    async def events() -> None:
        async for _ in await workflow.acontinue_run(**options, stream=True):
            pass

    match form:
        case "run":
            assert workflow.continue_run(**options).status == RunStatus.error
        case "arun":
            assert asyncio.run(workflow.acontinue_run(**options)).status == RunStatus.error
        case "stream":
            list(workflow.continue_run(**options, stream=True))
        case _:
            asyncio.run(events())


def test_everyone_at_any_depth_is_governed_with_the_workflows_name(
    portkey_model: PortkeyModel,
) -> None:
    one, two, three = (agent(name, portkey_model) for name in ("One", "Two", "Three"))
    inner = Workflow(name="Inner", steps=[two, Parallel(one, name="P")])
    flow = Workflow(name="Flow", steps=[one, Router(name="R", choices=[[inner]], selector=str)])
    flow.steps.append(three)
    assert govern(flow) is flow
    assert [owner.model.seat.swarm for owner in (one, two, three)] == ["Flow"] * 3
    assert all(isinstance(step, GovernedStep) for step in steps_of(flow))
    assert all(isinstance(step, GovernedStep) for step in steps_of(inner))
    assert {where for _, where in executors(flow)} >= {"Flow, step 'One'", "Inner, step 'Two'"}
    # Again changes nothing.
    assert govern(flow) is flow
    assert {where for _, where in functions(flow)} == {"Flow, 'R'.selector"}


def _change_step(flow: Workflow, stranger: Agent) -> None:
    flow.steps[0].agent = stranger


def _add_step(flow: Workflow, stranger: Agent) -> None:
    flow.steps.append(stranger)


def _add_workflow(flow: Workflow, stranger: Agent) -> None:
    flow.steps.append(Workflow(name="New", steps=[stranger]))


@pytest.mark.parametrize("change", [_change_step, _add_step, _add_workflow])
def test_a_step_that_came_later_is_refused(
    change: Any, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    flow = governed(Workflow(name="Flow", steps=[agent("First", portkey_model)]))
    change(flow, agent("Stranger", portkey_model))
    with pytest.raises(UngovernedPathError, match="changed after"):
        flow.run("hello")
    with pytest.raises(UngovernedPathError, match="changed after"):
        flow.deep_copy()
    assert portkey_provider.calls == []


@pytest.mark.parametrize("form", FORMS)
def test_a_selector_can_not_bring_in_a_step_of_its_own(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    brought: list[Any] = []
    router = Router(
        name="R",
        choices=[agent("First", portkey_model)],
        selector=lambda _: [Steps(name="S", steps=[*brought])],
    )
    stage = Stage(tmp_path, [router])
    # Only now: what a selector holds is governed with its workflow.
    brought.append(Step(name="new", agent=agent("Stranger", portkey_model)))
    ended = stage.play(form)
    assert ended.run.status == RunStatus.error
    assert "R.selector" in str(ended.run.content)
    assert portkey_provider.calls == []


class Elsewhere:
    """An agent that runs elsewhere, as a remote one does."""

    name = "Elsewhere"


def test_what_can_not_be_governed_is_listed_and_nothing_is_changed(
    portkey_model: PortkeyModel,
) -> None:
    paused = HumanReview(on_error="pause")
    one = agent("One", portkey_model)
    inner = Workflow(name="Inner", steps=lambda step_input: "made here")
    steps = [
        Step(name="a", agent=one, skip_on_failure=True),
        Step(name="b", agent=one, human_review=paused),
        Step(name="c", agent=Elsewhere()),
        Step(name="d", workflow=inner),
        lambda step_input: "fine",
    ]
    flow = Workflow(name="Flow", agent=one, steps=steps)
    with pytest.raises(UngovernedPathError) as refused:
        govern(flow)
    listed = str(refused.value).splitlines()[1:]
    assert len(listed) == 5
    for part in (
        "'a' has skip",
        "'b' has on_error",
        "'c': Elsewhere",
        "Inner.steps is one",
        "give a",
    ):
        assert any(part in line for line in listed), part
    assert type(flow) is Workflow
    assert getattr(one.model, "seat", None) is None


def test_a_step_that_the_host_would_leave_out_is_refused(portkey_model: PortkeyModel) -> None:
    step = Step(name="one", agent=agent("One", portkey_model), add_workflow_history=True)
    with pytest.raises(ConfigurationError, match="give the workflow a db"):
        governed(Workflow(name="Flow", steps=[step]))


def test_subclasses_stay_what_they_are(tmp_path: Path, portkey_model: PortkeyModel) -> None:
    class Mine(Workflow):
        pass

    class MyStep(Step):
        pass

    flow = governed(Mine(name="Flow", steps=[MyStep(name="one", agent=_refused(portkey_model))]))
    assert isinstance(flow.deep_copy(), Mine)
    assert isinstance(flow.steps[0], MyStep)
    assert flow.run(f"ask {SECRET}").status == RunStatus.error


def test_a_stop_can_be_pickled_and_copied() -> None:
    stopped = from_stop(Stop("one", Verdict(False, "Secrets", ("no",)), "InputBlocked"))
    for twin in (pickle.loads(pickle.dumps(stopped)), copy.deepcopy(stopped)):
        assert twin.stop == stopped.stop
        assert str(twin) == "step 'one' stopped the workflow: no"


@pytest.mark.parametrize("form", FORMS)
def test_a_nested_workflow_whose_runs_are_not_stored_stops_as_well(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    inner = Workflow(name="Inner", steps=[_refused(portkey_model)])
    steps = [inner, agent("Second", portkey_model)]
    ended = Stage(tmp_path, steps, store_executor_outputs=False).play(form, f"ask {SECRET}")
    assert ended.run.status == RunStatus.error
    assert "a project is named" in str(ended.run.content)
    assert portkey_provider.calls == []


def test_a_reason_is_said_once_and_never_guessed() -> None:
    stopped = from_error("one", RuntimeError("no"))
    assert from_error("two", stopped) is stopped
    assert from_error("one", KeyError()).stop.verdict.reason == "KeyError"
    silent = RunOutput(content=None, status=RunStatus.error)
    assert from_run("one", silent).stop.verdict.reason == "its run ended with status ERROR"


@pytest.mark.parametrize("form", FORMS)
def test_a_placeholder_of_the_host_raises_as_before(form: str, tmp_path: Path) -> None:
    def missing(step_input: StepInput) -> str:
        raise UnresolvableCallableError("gone")

    with pytest.raises(UnresolvableCallableError, match="gone"):
        Stage(tmp_path, [missing]).play(form)


@pytest.mark.parametrize("form", FORMS)
def test_what_a_later_step_refused_is_not_stored_as_an_earlier_ones_output(
    form: str, tmp_path: Path, portkey_provider: Provider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when("You are Zero", f"It is {SECRET}.")
    zero = agent("Zero", portkey_model)
    stage = Stage(tmp_path, [zero, _refused(portkey_model)], store_events=True)
    ended = stage.play(form, "hello")
    assert ended.run.content == "step 'First' stopped the workflow: a project is named"
    results: Any = stage.stored().step_results
    assert results[0].content == "[blocked by Secrets]"
    assert SECRET not in stage.rows
