"""What people ask of a workflow, and answer when it waits for them, is stored as its guards say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowRunOutput
from agno.workflow import Step
from agno.workflow.agent import WorkflowAgent
from agno.workflow.types import HumanReview, StepRequirement, UserInputField
from flows import FORMS, Stage, agent

from agno_portkey.guardrails import Block, Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.workflows.requests import clean_requests

WORD, MASK = "bluebird", "<name>"
SAID = f"the {WORD}"


class Mask(Guard):
    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(WORD, MASK)
        return None if text == passage.text else Rewrite(text)


class Whole(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project") if WORD in passage.text else None


GUARDS = pytest.mark.parametrize("guard", [Mask, Whole])
EACH_FORM = pytest.mark.parametrize("form", FORMS)


def on_disk(stage: Stage) -> str:
    """All bytes of the database's files."""
    held = (file.read_bytes() for file in stage.path.parent.glob("sessions.db*"))
    return b"".join(held).decode("latin-1")


def go_on(stage: Stage, form: str, run: WorkflowRunOutput) -> WorkflowRunOutput:
    """The run that was paused, after it was continued."""
    flow: Any = stage.workflow

    async def awaited() -> None:
        if form == "arun":
            await flow.acontinue_run(run)
        else:
            [e async for e in await flow.acontinue_run(run, stream=True, stream_events=True)]

    match form:
        case "run":
            flow.continue_run(run)
        case "stream":
            [*flow.continue_run(run, stream=True, stream_events=True)]
        case _:
            asyncio.run(awaited())
    return stage.stored()


def sent(provider: EmbeddedProvider) -> str:
    return str([call.body for call in provider.calls])


@pytest.mark.parametrize("runs", [True, False])
@GUARDS
@EACH_FORM
def test_what_a_workflows_agent_was_asked(
    form: str,
    guard: type[Guard],
    runs: bool,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    call = Reply(tool_calls=[ToolCall("run_workflow", {"query": "look it up"})])
    portkey_provider.when("You are Desk", [call, "all is well"] if runs else ["all is well"])
    portkey_provider.when("You are Second", "second was here")
    portkey_model.guards = (guard(),)
    desk = WorkflowAgent(model=portkey_model, instructions="You are Desk.")
    stage = Stage(tmp_path, [agent("Second", portkey_model)], agent=desk, store_events=True)
    ended = stage.play(form, SAID)
    masks = guard is Mask
    assert ended.run.status == (RunStatus.completed if masks else RunStatus.error)
    assert WORD not in sent(portkey_provider)
    assert WORD not in on_disk(stage)
    kept = f"the {MASK}" if masks else "[blocked by Whole]"
    assert stage.stored().input == kept
    second = sum("You are Second." in str(call.body) for call in portkey_provider.calls)
    assert second == (runs and masks)


@GUARDS
@EACH_FORM
def test_what_a_step_was_told_by_a_person(
    form: str,
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    fields: Any = [UserInputField(name="q", field_type="str"), UserInputField("n", "int")]
    review = HumanReview(requires_user_input=True, user_input_schema=fields)
    step = Step(name="one", agent=agent("Writer", portkey_model), human_review=review)
    stage = Stage(tmp_path, [step], store_events=True)
    run = stage.play(form, "go").run
    [asked] = run.steps_requiring_user_input
    asked.set_user_input(q=SAID, n=12)
    run = go_on(stage, form, run)
    assert run.status == (RunStatus.completed if guard is Mask else RunStatus.error)
    assert WORD not in sent(portkey_provider)
    assert WORD not in on_disk(stage)
    assert len(portkey_provider.calls) == (guard is Mask)
    [asked] = run.step_requirements or []
    assert asked.user_input is not None
    if guard is Mask:
        assert run.input == "go"
        assert asked.user_input["n"] == 12
        assert MASK in sent(portkey_provider)
    else:
        assert asked.user_input["q"] == "[blocked by Whole]"


@GUARDS
@EACH_FORM
def test_what_was_wrong_with_a_steps_output(
    form: str,
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (guard(),)
    review: Any = HumanReview(requires_output_review=True, on_reject="retry")
    step = Step(name="one", agent=agent("Writer", portkey_model), human_review=review)
    stage = Stage(tmp_path, [step], store_events=True)
    run = stage.play(form, "go").run
    [asked] = run.steps_requiring_output_review
    asked.reject(feedback=SAID)
    run = go_on(stage, form, run)
    assert run.status == (RunStatus.paused if guard is Mask else RunStatus.error)
    assert WORD not in sent(portkey_provider)
    assert WORD not in on_disk(stage)
    assert len(portkey_provider.calls) == 1 + (guard is Mask)
    if guard is Mask:
        assert "Feedback from reviewer" in sent(portkey_provider)
        assert MASK in sent(portkey_provider)
    else:
        first = (run.step_requirements or [])[0]
        assert first.rejection_feedback == "[blocked by Whole]"


@GUARDS
@EACH_FORM
def test_what_was_asked_before_a_person_added_to_it(
    form: str,
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """The request stands inside of what its guards were shown, after what was asked earlier."""
    portkey_provider.when(lambda request: True, "fine")
    portkey_model.guards = (guard(),)
    writer = agent("Writer", portkey_model)
    stage = Stage(tmp_path, [Step(name="one", agent=writer)], add_workflow_history_to_steps=True)
    assert stage.play(form, "go").run.status == RunStatus.completed
    run = stage.play(form, SAID).run
    assert run.status == (RunStatus.completed if guard is Mask else RunStatus.error)
    assert WORD not in sent(portkey_provider)
    assert WORD not in stage.rows


def test_an_answer_that_is_not_kept_can_be_read_back() -> None:
    """The host refuses a whole session whose stored answers do not fit their fields."""
    field = UserInputField("n", "int", allowed_values=[12345678])
    asked = StepRequirement("one", requires_user_input=True, user_input_schema=[field])
    asked.set_user_input(n=12345678)
    run = WorkflowRunOutput(input={"n": 1}, step_requirements=[asked])
    clean_requests(run, {"12345678": "<number>", "n": "<name>"})
    again = StepRequirement.from_dict(asked.to_dict())
    assert again.user_input == {"n": "<number>"}
    assert run.input == {"<name>": 1}
