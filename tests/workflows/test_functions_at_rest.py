"""What a function of a workflow has made is stored as the guards after it have left it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.run.workflow import WorkflowCompletedEvent, WorkflowRunOutput
from agno.team import Team
from agno.workflow import Loop, Parallel, Step, Steps, Workflow
from agno.workflow.types import StepInput, StepOutput
from flows import FORMS, Stage, agent
from pydantic import BaseModel

from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.workflows.stopped import keep, settle

WORD, MASK = "bluebird", "<name>"


class Mask(Guard):
    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        text = passage.text.replace(WORD, MASK)
        return None if text == passage.text else Rewrite(text)


class Found(BaseModel):
    name: str
    pages: int = 12


def _text(step_input: StepInput) -> str:
    return f"Found the {WORD}."


def _output(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"Found the {WORD}.")


def _mapping(step_input: StepInput) -> Any:
    return StepOutput(content={"found": [{"name": f"the {WORD}"}], "pages": 12})


def _model(step_input: StepInput) -> Any:
    return StepOutput(content=Found(name=f"the {WORD}"))


def _json(step_input: StepInput) -> str:
    return json.dumps({"found": f"the {WORD}\n"})


CASES = {
    "text": lambda after: [Step(name="one", executor=_text), after],
    "output": lambda after: [Step(name="one", executor=_output), after],
    "mapping": lambda after: [Step(name="one", executor=_mapping), after],
    "model": lambda after: [Step(name="one", executor=_model), after],
    "JSON": lambda after: [Step(name="one", executor=_json), after],
    "steps": lambda after: [Steps(name="S", steps=[Step(name="one", executor=_text), after])],
    "loop": lambda after: [Loop(name="L", steps=[_text, after], max_iterations=1)],
    "parallel": lambda after: [Parallel(_text, _output, name="P"), after],
    "nested": lambda after: [Workflow(name="Inner", steps=[_text, after])],
    "before a nested one": lambda after: [_text, Workflow(name="Inner", steps=[after])],
    "before one in a nested one": lambda after: [
        _text,
        Workflow(
            name="Inner",
            steps=[Workflow(name="Deep", steps=[after])],
            store_executor_outputs=False,
        ),
    ],
}


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FORMS)
def test_a_functions_result_is_stored_as_it_was_rewritten(
    form: str,
    case: str,
    runs: bool,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    portkey_model.guards = (Mask(),)
    steps = CASES[case](agent("Writer", portkey_model))
    stage = Stage(tmp_path, steps, store_events=True, store_executor_outputs=runs)
    ended = stage.play(form, "go")
    # Those of the steps' runs are kept only where the workflow is to keep them.
    assert bool(ended.run.step_executor_runs) is runs
    completed = [e for e in ended.events if getattr(e, "workflow_name", None) == "Flow"]
    told = [e for e in completed if isinstance(e, WorkflowCompletedEvent)]
    assert [bool(e.step_executor_runs) for e in told] == [runs] * len(told)
    assert ended.run.status == RunStatus.completed
    asked = json.dumps([call.body for call in portkey_provider.calls])
    assert WORD not in asked
    assert MASK in stage.rows
    assert WORD not in stage.rows


@pytest.mark.parametrize("form", ["run", "astream"])
def test_a_functions_result_that_a_team_was_given(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(),)
    team = Team(name="Desk", members=[Agent(name="Scout")], model=portkey_model)
    stage = Stage(tmp_path, [Step(name="one", executor=_text), Step(name="two", team=team)])
    assert stage.play(form, "go").run.status == RunStatus.completed
    assert MASK in stage.rows
    assert WORD not in stage.rows


@pytest.mark.parametrize("form", ["run", "astream"])
def test_what_a_guard_keeps_or_nobody_looked_at_is_stored_as_it_was(
    form: str, tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (Mask(keep_raw=True),)
    stage = Stage(tmp_path, CASES["text"](agent("Writer", portkey_model)))
    stage.play(form, "go")
    assert WORD in stage.rows


def test_outputs_in_lists_are_found_too() -> None:
    made = StepOutput(content=f"Found the {WORD}.", executor_type="function")
    run = WorkflowRunOutput(step_results=[[made]])
    keep(run, {f"Found the {WORD}.": f"Found the {MASK}."})
    settle(run)
    assert made.content == f"Found the {MASK}."
