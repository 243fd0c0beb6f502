"""Workflows with an agent of their own, which runs the workflow or answers by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowErrorEvent
from agno.workflow import Workflow
from agno.workflow.agent import WorkflowAgent
from flows import FORMS, SECRET, Ended, Stage, agent, ends_in_error

from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

RUN = Reply(tool_calls=[ToolCall("run_workflow", {"query": f"look up {SECRET}"})])


class Secrets(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if SECRET in passage.text else None


def _stage(path: Path, model: PortkeyModel, guard: Guard | None = None) -> Stage:
    hooks = [guard] if guard else []
    steps = [agent("First", model, pre_hooks=hooks), agent("Second", model)]
    workflow_agent = WorkflowAgent(model=model, instructions="You are Desk.")
    return Stage(path, steps, agent=workflow_agent)


def _asked(provider: EmbeddedProvider, name: str) -> int:
    return sum(f"You are {name}." in str(call.body["messages"]) for call in provider.calls)


def _ends_in_error(ended: Ended) -> bool:
    return not ended.events or isinstance(ended.events[-1], WorkflowErrorEvent)


@pytest.mark.parametrize("form", FORMS)
def test_an_honest_one_completes(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.when("You are Desk", [RUN, "all is well"])
    portkey_provider.when("You are Second", "second was here")
    ended = _stage(tmp_path, portkey_model).play(form, "hello")
    assert ended.run.status == RunStatus.completed
    assert ended.run.content == "second was here"


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_step_ends_the_run_whatever_the_agent_says_then(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    # It also tries again, with words that would pass.
    again = Reply(tool_calls=[ToolCall("run_workflow", {"query": "look up the weather"})])
    portkey_provider.when("You are Desk", [RUN, again, "all is well"])
    stage = _stage(tmp_path, portkey_model, Secrets(on="input"))
    ended = stage.play(form, "hello")
    assert _asked(portkey_provider, "First") == 0
    assert _asked(portkey_provider, "Second") == 0
    assert ended.run.status == RunStatus.error
    assert ended.run.content == "step 'First' stopped the workflow: a project is named"
    assert stage.stored().status == RunStatus.error
    assert _ends_in_error(ended)


@pytest.mark.parametrize("refusal", ["guard", "gateway"])
@pytest.mark.parametrize("form", FORMS)
def test_an_agent_that_fails_ends_the_run_in_error(
    refusal: str,
    form: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    stage = _stage(tmp_path, portkey_model)
    assert stage.workflow.agent is not None
    if refusal == "guard":
        stage.workflow.agent.pre_hooks = [Secrets(on="input"), *stage.workflow.agent.pre_hooks]
    else:
        portkey_provider.fault(Fault.status(400), times=None)
    ended = stage.play(form, f"ask {SECRET}" if refusal == "guard" else "hello")
    assert _asked(portkey_provider, "First") == 0
    assert ended.run.status == RunStatus.error
    assert "the workflow's agent" in str(ended.run.content)
    assert stage.stored().status == RunStatus.error
    assert not ended.events or ends_in_error(ended)


@pytest.mark.parametrize("form", ["stream", "astream"])
def test_an_agent_that_fails_after_the_workflow_has_run_does_not_undo_it(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    def break_down(request: Any) -> str:
        portkey_provider.fault(Fault.status(400), times=None)
        return "second was here"

    portkey_provider.when("You are Desk", [RUN])
    portkey_provider.when("You are Second", break_down)
    ended = _stage(tmp_path, portkey_model).play(form, "hello")
    assert ended.run.status == RunStatus.completed
    assert ended.run.content == "second was here"


def test_a_copy_of_the_agent_keeps_its_hooks(
    tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    stage = _stage(tmp_path, portkey_model)
    assert stage.workflow.agent is not None
    stage.workflow.agent.pre_hooks = [Secrets(on="input")]
    stage.workflow.agent.add_workflow_history = False
    stage.workflow = stage.workflow.deep_copy()
    assert isinstance(stage.workflow, Workflow)
    assert stage.workflow.agent is not None
    assert stage.workflow.agent.add_workflow_history is False
    assert stage.play("run", f"ask {SECRET}").run.status == RunStatus.error
    assert portkey_provider.calls == []
