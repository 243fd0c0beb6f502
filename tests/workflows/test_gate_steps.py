"""A gate's step in a governed workflow: what it lets pass, what it stops, and who may run then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.workflow import Condition, Step
from agno.workflow.types import StepInput, StepOutput
from flows import FORMS, ends_in_error
from gated_flow import SHAPES, STEPS, Cast, Scene, asked_of, said_by

from agno_portkey import Gate, PortkeyModel, verdict_of
from agno_portkey.contracts import canonical, digest
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, tell

# Every form, and every shape both ways round.
EVERYWHERE = [(form, "flat") for form in FORMS] + [
    (form, shape) for shape in SHAPES if shape != "flat" for form in ("run", "astream")
]
NOT_PASSED = "the gate's step has not passed before the Runner's"


@pytest.mark.parametrize(("form", "shape"), EVERYWHERE)
def test_a_plan_that_passes_is_run_as_it_was_judged(
    form: str,
    shape: str,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, SHAPES[shape])
    ended = scene.play(form)
    assert ended.run.status == RunStatus.completed
    assert scene.done == STEPS
    assert canonical(SOUND) in said_by("gate", ended.run.step_results)
    handed = asked_of(portkey_provider, "Runner")[0].last_user
    assert canonical(SOUND) in handed
    assert REQUEST in handed
    for role in ("Critic", "Judge"):
        assert all(canonical(SOUND) in call.last_user for call in asked_of(portkey_provider, role))
    [decided] = scene.kept()
    assert (decided.passed, decided.swarm, decided.plan_digest) == (True, "Flow", digest(SOUND))
    assert (decided.run_id, decided.session_id) == (ended.run.run_id, "s")
    assert decided.fingerprint
    assert [event.verdict.passed for event in scene.gates_heard() if event.verdict] == [True]


@pytest.mark.parametrize(("form", "shape"), EVERYWHERE)
def test_a_plan_that_does_not_pass_ends_the_workflow(
    form: str,
    shape: str,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    # A Critic that the plan gets past: the Judge decides.
    portkey_provider.when(lambda request: request.schema_name == "Critique", '{"summary": "fine"}')
    scene = Scene(tmp_path, portkey_model, SHAPES[shape])
    ended = scene.play(form)
    assert ended.run.status == RunStatus.error
    assert not ended.events or ends_in_error(ended)
    assert (scene.done, asked_of(portkey_provider, "Runner")) == ([], [])
    verdict = verdict_of(ended.run)
    assert verdict is not None
    assert "its score is 3, and 8 is needed" in verdict.reason
    assert "its score is 3, and 8 is needed" in str(ended.run.content)
    [decided] = scene.kept()
    assert not decided.passed
    assert [left.plan_digest for left in scene.charter.books.clearances.waiting()] == [
        digest(FLAWED)
    ]


def _left_out(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, Condition(name="C", evaluator=False, steps=[gate]), cast.runner]


def _too_early(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, cast.runner, gate]


@pytest.mark.parametrize("shape", [_left_out, _too_early])
@pytest.mark.parametrize("form", FORMS)
def test_without_the_gates_step_the_runner_does_not_run(
    form: str,
    shape: Any,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, shape)
    ended = scene.play(form)
    assert ended.run.status == RunStatus.error
    assert NOT_PASSED in str(ended.run.content)
    assert (scene.done, asked_of(portkey_provider, "Runner")) == ([], [])


def _swap(step_input: StepInput) -> StepOutput:
    return StepOutput(content=FLAWED)


def _swapped(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, _swap, gate, cast.runner]


def _swapped_inside(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, Condition(name="C", evaluator=True, steps=[_swap]), gate, cast.runner]


@pytest.mark.parametrize("shape", [_swapped, _swapped_inside])
@pytest.mark.parametrize("form", FORMS)
def test_another_plan_than_was_judged_is_refused(
    form: str,
    shape: Any,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, shape)
    ended = scene.play(form)
    assert ended.run.status == RunStatus.error
    assert "hand on another plan than was judged" in str(ended.run.content)
    assert (scene.done, asked_of(portkey_provider, "Runner")) == ([], [])


def _swapped_after(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, gate, _swap, cast.runner]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_swapped_after_the_gate_does_not_reach_the_runner(
    form: str, tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, _swapped_after)
    assert scene.play(form).run.status == RunStatus.completed
    assert scene.done == STEPS
    assert "production" not in asked_of(portkey_provider, "Runner")[0].last_user


def test_a_second_plan_in_the_same_run_is_not_what_was_cleared(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(
        tmp_path,
        portkey_model,
        lambda cast, gate: [
            *cast.agents,
            gate,
            Step(name="again", agent=cast.planner),
            cast.runner,
        ],
    )
    ended = scene.play("run")
    assert ended.run.status == RunStatus.error
    assert NOT_PASSED in str(ended.run.content)
    assert scene.done == []


def test_the_runner_runs_once_for_each_pass(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(
        tmp_path,
        portkey_model,
        lambda cast, gate: [*cast.agents, gate, cast.runner, Step(name="twice", agent=cast.runner)],
    )
    ended = scene.play("run")
    assert ended.run.status == RunStatus.error
    assert "step 'twice' stopped the workflow" in str(ended.run.content)
    assert scene.done == STEPS


def test_the_runner_does_not_run_outside_of_the_workflow(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model)
    ended = scene.cast.runner.run(REQUEST)
    assert ended.status == RunStatus.error
    assert "the Runner was not asked by its governed workflow" in str(ended.content)
    # The others do as ever.
    assert scene.cast.planner.run(REQUEST).status == RunStatus.completed
    assert scene.done == []


def test_each_run_of_the_workflow_needs_a_pass_of_its_own(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(tmp_path, portkey_model)
    assert scene.play("run", run_id="one").run.status == RunStatus.completed
    assert scene.play("run", run_id="one").run.status == RunStatus.error
    assert scene.done == STEPS


def test_others_who_hold_the_runners_tools_can_not_use_them(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.testing import Reply, ToolCall

    def give(cast: Cast) -> None:
        cast.critic.tools = [cast.release.deploy]

    asked = {"version": "2.1", "target": "staging"}
    portkey_provider.when(
        lambda r: r.schema_name == "Critique" and not r.tool_results,
        Reply(tool_calls=(ToolCall("deploy", asked),)),
    )
    tell(portkey_provider, plans=[SOUND])
    # Once before anything is cleared, and once while the Runner holds its clearance.
    scene = Scene(
        tmp_path,
        portkey_model,
        lambda cast, gate: [*cast.agents, gate, Step(name="late", agent=cast.critic), cast.runner],
        prepare=give,
    )
    assert scene.play("run").run.status == RunStatus.completed
    refused = [r for call in asked_of(portkey_provider, "Critic") for r in call.tool_results]
    assert len(refused) == 2
    assert all("deploy was refused" in said for said in refused)
    assert scene.done == STEPS


def test_agents_keep_their_own_dependencies(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])

    def prepare(cast: Cast) -> None:
        cast.planner.dependencies = {"city": "Ulm"}
        cast.planner.instructions = f"{cast.planner.instructions} We are in {{city}}."

    scene = Scene(tmp_path, portkey_model, prepare=prepare)
    assert scene.play("run").run.status == RunStatus.completed
    assert "We are in Ulm." in asked_of(portkey_provider, "Planner")[0].system


@pytest.mark.parametrize("form", FORMS)
def test_in_a_plain_workflow_the_gates_step_stops_it(
    form: str, tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, plain=True)
    with pytest.raises(RuntimeError, match="govern the workflow that the step is in"):
        scene.play(form)
    assert (scene.done, asked_of(portkey_provider, "Runner")) == ([], [])


def test_a_critic_that_finds_something_blocking_stops_it_too(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[FLAWED])
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=0))
    ended = scene.play("run")
    assert ended.run.status == RunStatus.error
    assert "nothing is tested before it is deployed" in str(ended.run.content)
