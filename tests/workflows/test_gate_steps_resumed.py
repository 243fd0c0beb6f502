"""Workflows with a gate's step that wait for a person and go on, here or in a new process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowRunOutput
from agno.tools import tool
from agno.workflow import Step
from agno.workflow.types import HumanReview
from flows import FORMS, Ended
from gated_flow import STEPS, Cast, Scene, asked_of

from agno_portkey import PortkeyModel
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import SOUND, tell

ASKED = HumanReview(requires_confirmation=True)
RESTARTED = [(form, False) for form in FORMS] + [("run", True), ("astream", True)]


def _before_the_runner(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, gate, Step(name="run", agent=cast.runner, human_review=ASKED)]


def _before_the_gate(cast: Cast, gate: Step) -> list[Any]:
    gate.human_review = HumanReview(requires_confirmation=True, on_error="fail")
    return [*cast.agents, gate, cast.runner]


def _confirmed(cast: Cast) -> None:
    """Give the Runner a deploy that a person has to confirm."""
    bare = cast.release.deploy

    def deploy(version: str, target: str) -> str:
        return bare(version, target)

    cast.runner.tools = [cast.release.run_tests, tool(requires_confirmation=True)(deploy)]


def _paused(ended: Ended) -> WorkflowRunOutput:
    run = ended.run
    assert run.status == RunStatus.paused
    return run


def _say_yes(run: WorkflowRunOutput) -> WorkflowRunOutput:
    for need in run.step_requirements or []:
        if need.executor_requirements:
            for asked in need.executor_requirements:
                told = asked if isinstance(asked, dict) else asked.to_dict()
                told["confirmation"] = True
                told["tool_execution"]["confirmed"] = True
            need.executor_requirements = [
                each if isinstance(each, dict) else each.to_dict()
                for each in need.executor_requirements
            ]
        else:
            need.confirm()
    return run


@pytest.mark.parametrize(("form", "restarted"), RESTARTED)
def test_what_was_cleared_before_a_person_was_asked_is_run_after_it(
    form: str,
    restarted: bool,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _before_the_runner)
    paused = _say_yes(_paused(scene.play(form)))
    assert asked_of(portkey_provider, "Runner") == []
    later = Scene(tmp_path, portkey_model, _before_the_runner) if restarted else scene
    assert later.go_on(form, paused).run.status == RunStatus.completed
    assert later.done == STEPS


def test_it_is_run_once_by_whichever_process_is_first(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _before_the_runner)
    paused = _say_yes(_paused(scene.play("run")))
    again = WorkflowRunOutput.from_dict(paused.to_dict())
    later = Scene(tmp_path, portkey_model, _before_the_runner)
    assert later.go_on("run", paused).run.status == RunStatus.completed
    ended = scene.go_on("run", again).run
    assert ended.status == RunStatus.error
    assert "the run " in str(ended.content)
    assert (later.done, scene.done) == (STEPS, [])


def test_what_was_changed_meanwhile_needs_a_new_pass(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _before_the_runner)
    paused = _say_yes(_paused(scene.play("run")))

    def change(cast: Cast) -> None:
        cast.runner.instructions = "You are the Runner. Deploy to wherever you like."

    later = Scene(tmp_path, portkey_model, _before_the_runner, prepare=change)
    ended = later.go_on("run", paused).run
    assert ended.status == RunStatus.error
    assert "other models, prompts, tools or policy" in str(ended.content)
    assert later.done == []


def test_what_was_revoked_meanwhile_is_not_run(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _before_the_runner)
    paused = _say_yes(_paused(scene.play("run")))
    held = (paused.metadata or {})["agno_portkey.cleared"]
    scene.charter.books.clearances.revoke(held, by="ann", reason="a freeze")
    ended = scene.go_on("run", paused).run
    assert ended.status == RunStatus.error
    assert "was revoked by ann (a freeze)" in str(ended.content)
    assert scene.done == []


def test_a_run_that_waited_before_its_gate_knows_no_plan_after_a_restart(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _before_the_gate)
    paused = _say_yes(_paused(scene.play("run")))
    later = Scene(tmp_path, portkey_model, _before_the_gate)
    other = WorkflowRunOutput.from_dict(paused.to_dict())
    ended = later.go_on("run", other).run
    assert ended.status == RunStatus.error
    assert "there is no plan yet" in str(ended.content)
    assert later.done == []
    assert scene.go_on("run", paused).run.status == RunStatus.completed
    assert scene.done == STEPS


@pytest.mark.parametrize(("form", "restarted"), RESTARTED)
def test_a_runner_whose_tool_was_confirmed_goes_on(
    form: str,
    restarted: bool,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, prepare=_confirmed)
    paused = _say_yes(_paused(scene.play(form)))
    assert scene.done == STEPS[:1]
    later = Scene(tmp_path, portkey_model, prepare=_confirmed) if restarted else scene
    ended = later.go_on(form, paused)
    assert ended.run.status == RunStatus.completed, ended.run.content
    assert later.done == (STEPS[1:] if restarted else STEPS)
