"""What a team's run shares with its members' runs: dependencies, metadata, and the run's id."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.team import Team
from agno.workflow import Step, Workflow
from host_model import WAYS, asking, go, pin, says


class Ticket:
    """Something that has an identity."""


def crew(team_hook: Any, member_hook: Any, **fields: Any) -> Team:
    member = Agent(name="worker", id="worker", model=says("done"), pre_hooks=[member_hook])
    leader = says(asking("worker"), "finished")
    return Team(name="crew", model=leader, members=[member], pre_hooks=[team_hook], **fields)


@pytest.mark.parametrize("mode", ["coordinate", "route"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pin(
    "a mapping that the team's pre-hook puts into run_context.dependencies reaches members, "
    "with the very objects in it",
    "runs.py",
    "hooks/gate.py",
)
async def test_dependencies_travel_by_reference(way: str, nested: bool, mode: str) -> None:
    ticket, seen = Ticket(), []

    def open_run(run_context: Any) -> None:
        run_context.dependencies = {**(run_context.dependencies or {}), "ticket": ticket}

    def member_hook(run_context: Any) -> None:
        seen.append((run_context.dependencies or {}).get("ticket"))

    team = crew(open_run, member_hook, mode=mode)
    if nested:
        team.pre_hooks = [member_hook]
        team.id = "inner"
        leader = says(asking("inner"), "finished")
        team = Team(name="outer", model=leader, members=[team], pre_hooks=[open_run], mode=mode)
    await go(team, way)
    assert seen == [ticket] * (2 if nested else 1)


@pytest.mark.parametrize("way", WAYS)
@pin("broadcast members get the dependencies as well", "hooks/gate.py")
async def test_dependencies_reach_broadcast_members(way: str) -> None:
    ticket, seen = Ticket(), []

    def open_run(run_context: Any) -> None:
        run_context.dependencies = {"ticket": ticket}

    def member_hook(run_context: Any) -> None:
        seen.append(run_context.dependencies["ticket"])

    team = crew(open_run, member_hook, mode="broadcast")
    team.model.answers[0].tool_calls[0]["function"] = {
        "name": "delegate_task_to_members",
        "arguments": '{"task": "do it"}',
    }
    await go(team, way)
    assert seen == [ticket]


@pytest.mark.parametrize("way", WAYS)
@pin("each run copies the team's own dependencies: a new key does not stay", "hooks/gate.py")
async def test_own_dependencies_are_copied_per_run(way: str) -> None:
    own: dict[str, Any] = {"region": "eu"}

    def add(run_context: Any) -> None:
        run_context.dependencies["ticket"] = Ticket()

    team = crew(add, lambda: None, dependencies=own)
    await go(team, way)
    assert own == {"region": "eu"}


@pytest.mark.parametrize("way", WAYS)
@pin("members get a mapping of their own: what they add does not reach the team", "runs.py")
async def test_members_dependencies_are_a_copy(way: str) -> None:
    contexts: list[Any] = []

    def keep(run_context: Any) -> None:
        run_context.dependencies = {**(run_context.dependencies or {}), "ticket": 1}
        contexts.append(run_context)

    def add(run_context: Any) -> None:
        run_context.dependencies["stray"] = True

    await go(crew(keep, add), way)
    assert contexts[0].dependencies == {"ticket": 1}


@pin(
    "the steps of a workflow share one dependencies mapping: a hook that changes it in place "
    "changes the next step's, one that replaces it does not",
    "hooks/gate.py",
)
async def test_workflow_steps_share_one_mapping() -> None:
    seen: list[dict[str, Any]] = []

    def in_place(run_context: Any) -> None:
        seen.append(dict(run_context.dependencies))
        run_context.dependencies["in place"] = True

    def replaced(run_context: Any) -> None:
        seen.append(dict(run_context.dependencies))
        run_context.dependencies = {**run_context.dependencies, "replaced": True}

    def step(name: str, hook: Any) -> Step:
        agent = Agent(name=name, model=says(), pre_hooks=[hook])
        return Step(name=name, agent=agent)

    flow = Workflow(
        name="flow", steps=[step("a", replaced), step("b", in_place), step("c", replaced)]
    )
    flow.run("x", dependencies={"own": 1})
    assert seen == [{"own": 1}, {"own": 1}, {"own": 1, "in place": True}]


@pytest.mark.parametrize("way", WAYS)
@pin("members inherit the metadata that the team's pre-hook sets", "hooks/tags.py", "tags.py")
async def test_metadata_is_inherited(way: str) -> None:
    def tag(run_context: Any) -> None:
        run_context.metadata = {**(run_context.metadata or {}), "tags": {"cost": "42"}}

    team = crew(tag, lambda: None)
    await go(team, way)
    member_call = team.members[0].model.calls[0]
    assert member_call["run_response"].metadata["tags"] == {"cost": "42"}


@pytest.mark.parametrize("way", WAYS)
@pin(
    "a run's own output is made before its pre-hooks: metadata set in one is not in it",
    "hooks/tags.py",
)
async def test_own_output_misses_the_metadata_of_its_pre_hook(way: str) -> None:
    def tag(run_context: Any) -> None:
        run_context.metadata = {**(run_context.metadata or {}), "tags": {"cost": "42"}}

    model = says()
    await go(Agent(name="a", model=model, pre_hooks=[tag]), way)
    assert "tags" not in (model.calls[0]["run_response"].metadata or {})


@pytest.mark.parametrize("way", WAYS)
@pin("each member run has an id of its own, the same in hooks and model calls", "runs.py")
async def test_member_run_ids(way: str) -> None:
    ids: list[str] = []

    def note(run_context: Any) -> None:
        ids.append(run_context.run_id)

    team = crew(note, note)
    await go(team, way)
    team_id, member_id = ids
    assert team_id != member_id
    assert {call["run_response"].run_id for call in team.model.calls} == {team_id}
    assert {call["run_response"].run_id for call in team.members[0].model.calls} == {member_id}


@pytest.mark.parametrize("way", WAYS)
@pin("a member's session state is not the place for a ticket: it is merged back", "runs.py")
async def test_session_state_comes_back_from_members(way: str) -> None:
    contexts: list[Any] = []

    def write(run_context: Any) -> None:
        run_context.session_state["by member"] = True

    await go(crew(lambda run_context: contexts.append(run_context), write), way)
    assert contexts[0].session_state["by member"] is True


@pytest.mark.parametrize("kind", ["agent", "team"])
@pytest.mark.parametrize("way", ["run", "arun"])
@pin(
    "in a workflow's step the hooks' run_context carries the workflow's run id; the step's own "
    "is on its output and its model calls, and workflow_id tells that it is so",
    "hooks/base.py",
    "hooks/gate.py",
    "hooks/tags.py",
)
async def test_run_ids_in_a_workflow(way: str, kind: str) -> None:
    contexts: list[Any] = []
    outputs: list[str] = []
    model = says()
    owner: dict[str, Any] = {
        "name": "own",
        "model": model,
        "pre_hooks": [lambda run_context: contexts.append(run_context)],
        "post_hooks": [lambda run_output: outputs.append(run_output.run_id)],
    }
    step = Agent(**owner) if kind == "agent" else Team(members=[], **owner)
    flow = Workflow(name="flow", id="flow", steps=[Step(name="step", **{kind: step})])
    run = flow.run("x") if way == "run" else await flow.arun("x")
    assert contexts[0].run_id == run.run_id
    assert contexts[0].workflow_id == "flow"
    assert outputs == [model.calls[0]["run_response"].run_id]
    assert outputs != [run.run_id]


@pytest.mark.parametrize("way", WAYS)
@pin("outside a workflow the run id is one and the same everywhere", "hooks/base.py", "runs.py")
async def test_run_ids_outside_a_workflow(way: str) -> None:
    contexts: list[Any] = []
    model = says()
    agent = Agent(model=model, pre_hooks=[lambda run_context: contexts.append(run_context)])
    outcome = await go(agent, way)
    assert contexts[0].run_id == outcome.run.run_id == model.calls[0]["run_response"].run_id
    assert contexts[0].workflow_id is None
