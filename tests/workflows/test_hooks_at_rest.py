"""A guard by hand in the hooks of whoever runs in a step: its workflow keeps what it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.run.agent import RunContentEvent
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Loop, Parallel, Step, Workflow
from agno.workflow.agent import WorkflowAgent
from flows import FORMS, Stage, agent

from agno_portkey.guardrails import Block, Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

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


class Wrong(Guard):
    inline = True

    def inspect(self, passage: Passage) -> None:
        raise KeyError(passage.text)


GUARDS = pytest.mark.parametrize("guard", [Mask, Whole, Wrong])
# The forms in which a workflow keeps the runs of its steps.
RUNS_KEPT = ("run", "astream")
EACH_FORM = pytest.mark.parametrize("form", FORMS)

# Who is asked first, with the guard.
ASKED = {
    "agent": lambda model, guard: agent("Writer", model, pre_hooks=[guard]),
    "team": lambda model, guard: Team(
        name="Desk", members=[agent("Scout", model)], model=model, pre_hooks=[guard]
    ),
}
PLACES: dict[str, Any] = {
    "step": lambda asked: [Step(name="one", **asked)],
    "loop": lambda asked: [Loop(name="L", steps=[Step(name="one", **asked)], max_iterations=1)],
    "parallel": lambda asked: [Parallel(Step(name="one", **asked), name="P")],
    "nested": lambda asked: [Workflow(name="Inner", steps=[Step(name="one", **asked)])],
    "deep": lambda asked: [
        Workflow(name="Outer", steps=[Workflow(name="Inner", steps=[Step(name="one", **asked)])])
    ],
}


def stored(stage: Stage, guard: type[Guard], provider: EmbeddedProvider) -> None:
    """Nothing holds the word, and the run holds what the guard has left of it."""
    run = stage.stored()
    masks = guard is Mask
    assert run.status == (RunStatus.completed if masks else RunStatus.error)
    assert bool(provider.calls) is masks
    assert WORD not in str([call.body for call in provider.calls])
    assert run.input == (f"the {MASK}" if masks else f"[blocked by {guard.__name__}]")
    assert WORD not in stage.rows


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("who", ASKED)
@GUARDS
@EACH_FORM
def test_what_was_asked_is_stored_as_the_hook_left_it(
    form: str,
    guard: type[Guard],
    who: str,
    place: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    asked = ASKED[who](portkey_model, guard())
    steps = PLACES[place]({who: asked})
    stage = Stage(tmp_path, steps, store_events=True, store_executor_outputs=form in RUNS_KEPT)
    ended = stage.play(form, SAID)
    stored(stage, guard, portkey_provider)
    assert WORD not in str(ended.run.input)


@pytest.mark.parametrize("place", ["step", "parallel", "deep"])
@EACH_FORM
def test_what_was_said_is_stored_as_the_hook_left_it(
    form: str,
    place: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """In a stream it has been shown in pieces when the hook is asked."""
    portkey_provider.when("You are Writer", f"all of {SAID} is well")
    portkey_provider.when("You are Second", "second was here")
    writer = agent("Writer", portkey_model, post_hooks=[Mask()])
    steps = [*PLACES[place]({"agent": writer}), agent("Second", portkey_model)]
    stage = Stage(tmp_path, steps, store_events=True, store_executor_outputs=form in RUNS_KEPT)
    stage.play(form, "go")
    assert stage.stored().status == RunStatus.completed
    assert MASK in stage.rows
    assert WORD not in stage.rows
    if form in ("stream", "astream"):
        # The pieces of who said nothing of it are there as they were.
        events = stage.stored().events or []
        said = "".join(str(e.content) for e in events if isinstance(e, RunContentEvent))
        assert said.strip() == "second was here"


@GUARDS
@EACH_FORM
def test_what_a_workflows_agent_was_asked(
    form: str,
    guard: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    call = Reply(tool_calls=[ToolCall("run_workflow", {"query": "look it up"})])
    portkey_provider.when("You are Desk", [call, "all is well"])
    desk = WorkflowAgent(model=portkey_model, instructions="You are Desk.")
    desk.pre_hooks = [guard()]
    second = agent("Second", portkey_model)
    stage = Stage(tmp_path, [second], agent=desk, store_events=True)
    stage.play(form, SAID)
    stored(stage, guard, portkey_provider)


class Mute(Guard):
    """Lets nothing be said."""

    inline, on = True, "output"

    def inspect(self, passage: Passage) -> Block:
        return Block("nothing may be said")


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("hooked", [True, False])
@pytest.mark.parametrize("place", PLACES)
@EACH_FORM
def test_what_was_asked_and_rewritten_before_the_answer_was_refused(
    form: str,
    place: str,
    hooked: bool,
    runs: bool,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """Of a run that fails in a stream there is no output, but for the event that ends it."""
    portkey_model.guards = (Mute(),) if hooked else (Mask(), Mute())
    writer = agent("Writer", portkey_model, pre_hooks=[Mask()] if hooked else [])
    steps = PLACES[place]({"agent": writer})
    stage = Stage(tmp_path, steps, store_events=True, store_executor_outputs=runs)
    stage.play(form, SAID)
    run = stage.stored()
    assert run.status == RunStatus.error
    assert "nothing may be said" in str(run.content)
    assert len(portkey_provider.calls) == 1
    assert run.input == f"the {MASK}"
    assert WORD not in stage.rows
