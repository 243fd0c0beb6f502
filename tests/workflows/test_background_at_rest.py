"""What a workflow is asked in the background is not stored before its guards were asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.run.cancel import acancel_run
from agno.run.concurrency import background_run_slot, set_background_max_concurrency
from agno.workflow import Step, Workflow
from agno.workflow.agent import WorkflowAgent
from agno.workflow.types import HumanReview, UserInputField
from flows import Stage, agent
from test_hooks_at_rest import MASK, SAID, WORD, Mask, Whole
from test_requests_at_rest import on_disk

from agno_portkey.guardrails import Guard
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

WITHHELD = "[withheld: {} had not looked at it]"


def _step(writer: Agent) -> list[Any]:
    return [Step(name="one", agent=writer)]


def _nested(writer: Agent) -> list[Any]:
    return [Workflow(name="Inner", steps=_step(writer))]


def _after_a_function(writer: Agent) -> list[Any]:
    return [lambda step_input: "looked up", *_step(writer)]


@pytest.fixture
def one_at_a_time() -> Iterator[None]:
    """One run in the background at once: the others wait."""
    set_background_max_concurrency(1)
    yield
    set_background_max_concurrency(None)


async def ended() -> None:
    """Wait for what goes on in the background."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


async def played(stage: Stage, *, stream: bool) -> str:
    """Run it in the background; what was on disk before its first step."""
    options: dict[str, Any] = {"session_id": "s", "background": True}
    flow: Any = stage.workflow
    if stream:
        begun = flow.arun(SAID, stream=True, stream_events=True, **options)
        await anext(begun)
        first = on_disk(stage)
        async for _ in begun:
            pass
    else:
        await flow.arun(SAID, **options)
        first = on_disk(stage)
    await ended()
    return first


@pytest.mark.parametrize("steps", [_step, _nested, _after_a_function])
@pytest.mark.parametrize("guard", [Mask, Whole])
@pytest.mark.parametrize("hooked", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_what_was_asked_in_the_background(
    stream: bool,
    hooked: bool,
    guard: type[Guard],
    steps: Any,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = () if hooked else (guard(),)
    writer = agent("Writer", portkey_model, pre_hooks=[guard()] if hooked else [])
    stage = Stage(tmp_path, steps(writer))
    first = asyncio.run(played(stage, stream=stream))
    assert WITHHELD.format(guard.__name__) in first
    assert WORD not in first
    run = stage.stored()
    if steps is _after_a_function:
        # The guards were asked about what the function made, and never about this.
        assert run.input == SAID
    else:
        assert run.input == (f"the {MASK}" if guard is Mask else "[blocked by Whole]")
        assert WORD not in on_disk(stage)


@pytest.mark.parametrize("stream", [True, False])
def test_who_is_asked_is_given_it(
    stream: bool, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(),)
    stage = Stage(tmp_path, _step(agent("Writer", portkey_model)))
    asyncio.run(played(stage, stream=stream))
    [call] = portkey_provider.calls
    assert f"the {MASK}" in str(call.body)
    assert stage.stored().status == RunStatus.completed


@pytest.mark.parametrize("settings", [{"keep_raw": True}, {"mode": "observe"}, {"on": "output"}])
@pytest.mark.parametrize("stream", [True, False])
def test_guards_without_a_say_in_what_is_stored_withhold_nothing(
    stream: bool, settings: Any, tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(**settings),)
    stage = Stage(tmp_path, _step(agent("Writer", portkey_model)))
    assert SAID in asyncio.run(played(stage, stream=stream))


def test_what_was_asked_of_a_run_that_was_cancelled_before_it_began(
    one_at_a_time: None,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (Mask(),)
    stage = Stage(tmp_path, _step(agent("Writer", portkey_model)))

    async def play() -> None:
        flow: Any = stage.workflow
        async with background_run_slot():
            run = await flow.arun(SAID, session_id="s", background=True)
            await acancel_run(run.run_id)
            await ended()

    asyncio.run(play())
    run = stage.stored()
    assert run.status == RunStatus.cancelled
    assert run.input == WITHHELD.format("Mask")
    assert WORD not in on_disk(stage)
    assert portkey_provider.calls == []


@pytest.mark.parametrize("guard", [Mask, Whole])
def test_what_a_workflows_agent_was_asked_in_the_background(
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_provider.when("You are Desk", "all is well")
    portkey_model.guards = (guard(),)
    desk = WorkflowAgent(model=portkey_model, instructions="You are Desk.")
    stage = Stage(tmp_path, [agent("Second", portkey_model)], agent=desk)
    assert WORD not in asyncio.run(played(stage, stream=False))
    assert stage.stored().input == (f"the {MASK}" if guard is Mask else "[blocked by Whole]")
    assert WORD not in on_disk(stage)


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_person_answered_to_a_run_that_goes_on_in_the_background(
    stream: bool, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(),)
    fields: Any = [UserInputField(name="q", field_type="str")]
    review = HumanReview(requires_user_input=True, user_input_schema=fields)
    step = Step(name="one", agent=agent("Writer", portkey_model), human_review=review)
    stage = Stage(tmp_path, [step])
    run = stage.play("run", "go").run
    [asked] = run.steps_requiring_user_input
    asked.set_user_input(q=SAID)

    async def go_on() -> None:
        flow: Any = stage.workflow
        if stream:
            async for _ in await flow.acontinue_run(run, background=True, stream=True):
                pass
        else:
            await flow.acontinue_run(run, background=True)
        await ended()

    asyncio.run(go_on())
    assert stage.stored().status == RunStatus.completed
    assert MASK in str([call.body for call in portkey_provider.calls])
    assert stage.stored().input == "go"
    assert WORD not in on_disk(stage)


def test_without_guards_a_run_is_stored_as_it_was_asked(
    tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    stage = Stage(tmp_path, _step(agent("Writer", portkey_model)))
    assert SAID in asyncio.run(played(stage, stream=False))
