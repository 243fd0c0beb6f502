"""Runs in the background have a span as long as they last; a workflow says if a step failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agno.db.sqlite import SqliteDb
from agno.run.background import await_background_runs
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Loop, Parallel, Step, StepInput, StepOutput, Workflow
from opentelemetry import trace
from seen_spans import Seen, attribute
from shapes import FORMS, Stage, no_bluebird, play

from agno_portkey import govern
from agno_portkey.telemetry import names
from agno_portkey.testing import EmbeddedProvider, Fault, ToolCall


@pytest.fixture
def stage(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Stage:
    return Stage(portkey_provider, tmp_path)


def _owner(kind: str, stage: Stage, **options: Any) -> Any:
    how = {"db": SqliteDb(db_file=str(stage.folder / "agno.db")), "telemetry": False}
    if kind == "agent":
        return stage.agent(**options, **how)
    if kind == "team":
        return Team(
            name="Helper", model=stage.model(), members=[stage.agent("M")], **options, **how
        )
    agent = stage.agent("One", **options)
    return Workflow(name="Helper", steps=[Step(name="one", agent=agent)], **how)


KINDS = ("agent", "team", "workflow")


async def _all_over() -> None:
    """Wait for what is in the background on this loop, whoever began it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await await_background_runs()


async def _in_the_background(owner: Any) -> tuple[Any, RunStatus]:
    output = await owner.arun("Hi", background=True)
    status = output.status
    # Nothing of what follows is in its span.
    assert not trace.get_current_span().get_span_context().is_valid
    await _all_over()
    return output, status


@pytest.mark.parametrize("governed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_its_span_lasts_as_long_as_the_run(
    kind: str, governed: bool, seen: Seen, stage: Stage
) -> None:
    stage.says("Hello")
    owner = _owner(kind, stage)
    if governed:
        govern(owner, guards=[no_bluebird])
    output, status = asyncio.run(_in_the_background(owner))
    assert (status, output.status) == (RunStatus.pending, RunStatus.completed)
    spans = seen.spans()
    assert spans.traces == 1
    assert not spans.failed()
    [run] = spans.named("invoke_workflow" if kind == "workflow" else "invoke_agent Helper")
    assert attribute(run, names.RUN_ID) == output.run_id
    for each in spans.named("chat"):
        assert run.start_time <= each.start_time
        assert each.end_time <= run.end_time


@pytest.mark.parametrize("kind", ["agent", "team"])
def test_a_governed_stream_in_the_background_is_let_through(
    kind: str, seen: Seen, stage: Stage
) -> None:
    async def streamed() -> list[Any]:
        owner = govern(_owner(kind, stage), guards=[no_bluebird])
        events = owner.arun("Hi", stream=True, background=True)
        told = [event async for event in events]
        await _all_over()
        return told

    stage.says("Hello")
    told = "".join(map(str, asyncio.run(streamed())))
    assert "Hello" in told, told
    spans = seen.spans()
    assert spans.traces == 1
    assert not spans.failed()


@pytest.mark.parametrize("kind", ["agent", "team"])
def test_one_that_failed_there_is_marked(kind: str, seen: Seen, stage: Stage) -> None:
    stage.provider.fault(Fault.status(400))
    output, _ = asyncio.run(_in_the_background(_owner(kind, stage)))
    assert output.status is RunStatus.error
    assert "invoke_agent Helper" in seen.spans().failed()


@pytest.mark.parametrize("kind", ["agent", "team"])
def test_one_whose_loop_ends_before_it_is_cancelled(kind: str, seen: Seen, stage: Stage) -> None:
    async def begun_only() -> None:
        asked = asyncio.Event()

        async def waits() -> str:
            """Wait."""
            asked.set()
            await asyncio.Event().wait()
            return "never"

        stage.calls(ToolCall("waits"))
        await _owner(kind, stage, tools=[waits]).arun("Hi", background=True)
        await asked.wait()

    asyncio.run(begun_only())
    spans = seen.spans()
    [run] = spans.named("invoke_agent Helper")
    assert attribute(run, names.CANCELLED) is True
    assert not spans.failed()


def test_two_at_once_are_told_apart(seen: Seen, stage: Stage) -> None:
    async def both() -> list[Any]:
        stage.says("Hello", "Hello")
        owners = [stage.agent(name, db=db) for name in ("One", "Two")]
        outputs = [await owner.arun("Hi", background=True) for owner in owners]
        await _all_over()
        return outputs

    db = SqliteDb(db_file=str(stage.folder / "agno.db"))
    one, two = asyncio.run(both())
    spans = seen.spans()
    assert spans.traces == 2
    for output, name in ((one, "One"), (two, "Two")):
        [run] = spans.named(f"invoke_agent {name}")
        assert attribute(run, names.RUN_ID) == output.run_id


# Steps


def _fails(step_input: StepInput) -> StepOutput:
    return StepOutput(content="no", success=False, error="it is broken")


def _works(step_input: StepInput) -> StepOutput:
    return StepOutput(content="yes")


FLOWS: dict[str, list[Any]] = {
    "alone": [_fails],
    "before another": [_fails, _works],
    "in parallel": [Parallel(Step(name="a", executor=_works), Step(name="b", executor=_fails))],
    "in a loop": [Loop(name="loop", steps=[Step(name="a", executor=_fails)], max_iterations=1)],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", FLOWS.values(), ids=FLOWS)
def test_a_workflow_whose_step_failed_is_marked(
    steps: list[Any], form: str, seen: Seen, stage: Stage
) -> None:
    play(Workflow(name="Flow", steps=steps, telemetry=False), form)
    [flow] = seen.spans().named("invoke_workflow")
    assert not flow.status.is_ok
    assert attribute(flow, names.ERROR_TYPE) == "error"
    assert flow.status.description is None


@pytest.mark.parametrize("form", FORMS)
def test_one_whose_steps_are_done_is_not(form: str, seen: Seen, stage: Stage) -> None:
    play(Workflow(name="Flow", steps=[_works, _works], telemetry=False), form)
    assert not seen.spans().failed()
