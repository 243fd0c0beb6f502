"""How a gate's step is set: its mode, its checks, a person's approval, and what govern refuses."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from agno.agent import Agent
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Parallel, Step, Workflow
from gated_flow import STEPS, Cast, Scene, asked_of

from agno_portkey import Gate, PortkeyModel, govern, registry_of
from agno_portkey.contracts import canonical
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import Case, Check
from agno_portkey.gates.approving import approve
from agno_portkey.gates.step import gate_step
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import FLAWED, REQUEST, SOUND, tell
from agno_portkey.verdict import Verdict


@pytest.mark.parametrize("mode", ["observe", "off"])
@pytest.mark.parametrize("form", ["run", "astream"])
def test_what_is_not_enforced_changes_nothing(
    form: str,
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", mode)
    tell(portkey_provider, plans=[FLAWED])
    scene = Scene(tmp_path, portkey_model)
    assert scene.play(form).run.status == RunStatus.completed
    [first, *_] = asked_of(portkey_provider, "Runner")
    # As without a gate: what the step before it has said.
    assert '"decision"' in first.last_user
    assert canonical(FLAWED) not in first.last_user
    refused = [e.verdict for e in scene.gates_heard() if e.verdict and not e.verdict.passed]
    assert bool(refused) is (mode == "observe")
    assert [each.mode for each in scene.kept()] == (["observe"] if mode == "observe" else [])


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_plain_workflow_is_let_through_where_gates_are_not_enforced(
    mode: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_GATE_MODE", mode)
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, plain=True)
    assert scene.play("run").run.status == RunStatus.completed
    assert len(asked_of(portkey_provider, "Runner")) > 0


@dataclass(frozen=True, kw_only=True)
class Waiting(Check):
    """Passes once somebody lets it."""

    asks: ClassVar[bool] = True
    begun: threading.Event = field(default_factory=threading.Event, repr=False)
    leave: threading.Event = field(default_factory=threading.Event, repr=False)

    def decide(self, case: Case) -> Verdict:
        self.begun.set()
        return self.verdict(*(() if self.leave.wait(20) else ("nobody let it",)))


def test_a_check_that_takes_long_does_not_hold_up_the_event_loop(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    check = Waiting()
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=8, checks=(check,)))

    async def both() -> Any:
        running = asyncio.create_task(scene.flow.arun(REQUEST, session_id="s"))
        # Only a loop that is free gets here while the check waits.
        await asyncio.to_thread(check.begun.wait, 30)
        check.leave.set()
        return await running

    ended = asyncio.run(both())
    assert ended.status == RunStatus.completed
    assert scene.done == STEPS


def test_a_plan_that_a_person_has_to_approve_is_run_after_that(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, gate=Gate(min_score=8, approval=True))
    ended = scene.play("run").run
    assert ended.status == RunStatus.error
    books = scene.charter.books
    [waits] = books.clearances.waiting()
    assert waits.id in str(ended.content)
    assert asked_of(portkey_provider, "Runner") == []
    approve(books, waits.id, by="ann")
    other = scene.play("run", session_id="another").run
    assert other.status == RunStatus.error
    assert scene.play("run").run.status == RunStatus.completed
    assert scene.done == STEPS
    # Used up.
    assert scene.play("run").run.status == RunStatus.error
    assert scene.done == STEPS


def test_a_clearance_that_is_brought_is_used_up_by_its_run(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    # A refused plan first, which a person approves against the gate.
    tell_flawed = Scene(tmp_path, portkey_model, gate=Gate(min_score=10))
    assert tell_flawed.play("run").run.status == RunStatus.error
    books = tell_flawed.charter.books
    [waits] = books.clearances.waiting()
    approve(books, waits.id, by="ann", reason="it is fine")
    brought = {"metadata": {"agno_portkey.clearance": waits.id}}
    assert tell_flawed.play("run", **brought).run.status == RunStatus.completed
    assert tell_flawed.done == STEPS
    again = tell_flawed.play("run", **brought).run
    assert again.status == RunStatus.error
    assert "it is good for one run alone" in str(again.content)
    assert tell_flawed.done == STEPS


def test_what_another_runs_gate_got_can_not_be_brought(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    from agno.workflow import Condition

    runs = [False]
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(
        tmp_path,
        portkey_model,
        lambda cast, gate: [
            *cast.agents,
            gate,
            Condition(name="C", evaluator=lambda _: runs[0], steps=[cast.runner]),
        ],
    )
    first = scene.play("run").run
    assert (first.status, scene.done) == (RunStatus.completed, [])
    clearances = scene.charter.books.clearances
    [left] = [clearances.get(row["id"]) for row in clearances._store.rows(state="granted")]
    assert left.team_run_id == first.run_id
    runs[0] = True
    second = scene.play("run", metadata={"agno_portkey.clearance": left.id}).run
    assert second.status == RunStatus.error
    assert f"the run {first.run_id} holds clearance" in str(second.content)
    assert scene.done == []


def test_a_database_that_is_gone_keeps_the_gate_closed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    from agno_portkey.gates.clearance import Clearances

    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model)

    def fail(*args: Any, **options: Any) -> None:
        raise OSError("no")

    with monkeypatch.context() as broken:
        broken.setattr(Clearances, "claim", fail)
        ended = scene.play("run").run
    assert "the gate's database failed" in str(ended.content)
    with monkeypatch.context() as broken:
        broken.setattr(Clearances, "put", fail)
        ended = scene.play("run").run
    assert "the gate's database failed" in str(ended.content)
    assert (scene.done, asked_of(portkey_provider, "Runner")) == ([], [])


def test_a_council_that_is_a_team_is_held_as_well(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.testing import Reply, ToolCall

    def council(cast: Cast, gate: Step) -> list[Any]:
        team = Team(name="Council", model=cast.model, members=[*cast.agents])
        return [Step(name="council", team=team), gate, cast.runner]

    calls = [
        Reply(tool_calls=(ToolCall("delegate_task_to_member", {"member_id": one, "task": "go"}),))
        for one in ("planner", "critic", "judge")
    ]
    portkey_provider.when(
        lambda request: "delegate_task_to_member" in request.tools, [*calls, "All of them agree."]
    )
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model, council)
    assert scene.play("run").run.status == RunStatus.completed
    assert scene.done == STEPS
    team: Any = scene.flow.steps[0].team  # type: ignore[index,union-attr]
    # By itself it runs as ever, and clears nothing.
    assert team.run(REQUEST).status == RunStatus.completed
    team.members = [*team.members, Agent(name="Late", model=portkey_model)]
    late = scene.play("run").run
    assert late.status == RunStatus.error
    assert "Council was changed after it was governed" in str(late.content)


REFUSED: dict[str, tuple[Any, str]] = {
    "no plan": (lambda c, g: [c.critic, c.judge, g, c.runner], "output_schema=Plan"),
    "no judgement": (lambda c, g: [c.planner, g, c.runner], "output_schema=Judgement"),
    "no runner": (lambda c, g: [*c.agents, g], "has a step of its own"),
    "two gates": (
        lambda c, g: [*c.agents, g, Gate(name="two").step(runner="Runner"), c.runner],
        "two steps are gates",
    ),
    "inside": (
        lambda c, g: [*c.agents, Workflow(name="In", steps=[g, c.runner])],
        "govern that one first",
    ),
    "judged inside": (
        lambda c, g: [c.planner, Workflow(name="In", steps=[c.judge]), g, c.runner],
        "output_schema=Judgement",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_govern_refuses_what_could_not_hold(
    case: str, tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    shape, said = REFUSED[case]
    with pytest.raises(ConfigurationError, match=said):
        Scene(tmp_path, portkey_model, shape)


def test_the_runner_is_named_apart_and_governed_here(portkey_model: PortkeyModel) -> None:
    cast, twin = Cast(portkey_model), Cast(portkey_model)
    step = Gate().step(runner="Runner")
    with pytest.raises(ConfigurationError, match="names 2 agents"):
        govern(Workflow(name="F", steps=[*cast.agents, step, cast.runner, twin.runner]))
    govern(twin.runner)
    with pytest.raises(ConfigurationError, match="is governed already"):
        govern(Workflow(name="F", steps=[*twin.agents, step, twin.runner]))


def test_who_was_governed_before_may_not_hold_the_runners_tools(
    portkey_model: PortkeyModel,
) -> None:
    cast = Cast(portkey_model)
    cast.critic.tools = [cast.release.deploy]
    govern(cast.critic)
    step = Gate().step(runner=cast.runner)
    with pytest.raises(UngovernedPathError, match="it would run without the gate"):
        govern(Workflow(name="F", steps=[*cast.agents, step, cast.runner]))


def test_a_step_belongs_to_one_workflow(portkey_model: PortkeyModel) -> None:
    cast, twin = Cast(portkey_model), Cast(portkey_model)
    step = gate_step([Gate(name="one"), Gate(name="two")], runner="Runner")
    govern(Workflow(name="F", steps=[*cast.agents, step, cast.runner]))
    with pytest.raises(ConfigurationError, match="in another governed workflow"):
        govern(Workflow(name="G", steps=[*twin.agents, step, twin.runner]))


@pytest.mark.parametrize("runner", [None, ""])
def test_a_step_needs_a_runner(runner: Any) -> None:
    with pytest.raises(ConfigurationError, match="runner"):
        Gate().step(runner=runner)


def test_a_gate_is_no_argument_for_a_workflow(portkey_model: PortkeyModel) -> None:
    cast = Cast(portkey_model)
    flow = Workflow(name="F", steps=[*cast.agents, cast.runner])
    with pytest.raises(ConfigurationError, match=r"gate\.step"):
        govern(flow, gate=Gate(), runner="Runner")


def test_a_workflow_inside_may_have_a_gate_of_its_own(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND])
    scene = Scene(tmp_path, portkey_model)
    outer = govern(Workflow(name="Outer", steps=[Parallel(scene.flow, name="P")]))
    assert outer.run(REQUEST).status == RunStatus.completed
    assert scene.done == STEPS


def test_a_copy_as_servers_make_them_is_held_as_well(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(tmp_path, portkey_model)
    assert asyncio.run(_arun(scene.flow.deep_copy())).status == RunStatus.completed
    assert scene.done == STEPS
    assert scene.flow.deep_copy().run(REQUEST).status == RunStatus.error
    assert scene.done == STEPS


def test_a_server_runs_it_behind_its_gate(
    tmp_path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider, plans=[SOUND, FLAWED])
    scene = Scene(tmp_path, portkey_model)
    app = AgentOS(workflows=[scene.flow], telemetry=False).get_app()

    async def ask() -> tuple[str, str]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            shown = await client.get("/workflows/flow")
            form = {"message": REQUEST, "stream": "false"}
            told = await client.post("/workflows/flow/runs", data=form)
            refused = await client.post("/workflows/flow/runs", data=form)
            assert shown.status_code == 200
            return told.json()["status"], refused.json()["status"]

    assert asyncio.run(ask()) == ("COMPLETED", "ERROR")
    assert scene.done == STEPS
    assert registry_of(scene.flow).get_function("gate") is not None


async def _arun(flow: Workflow) -> Any:
    return await flow.arun(REQUEST)
