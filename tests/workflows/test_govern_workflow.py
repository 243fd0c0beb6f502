"""`govern` of a workflow: everyone in it, what its functions hold, and gated teams in its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.openai import OpenAIChat
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Parallel, Step, Workflow
from agno.workflow.types import StepInput
from flows import SECRET, agent

from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.gates import Gate
from agno_portkey.govern import govern
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider


class Secrets(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a project is named") if SECRET in passage.text else None


SECRETS = Secrets(on="input")


def test_guards_and_tags_reach_everyone(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    member = agent("Member", portkey_model)
    team = Team(name="Crew", model=portkey_model, members=[member])
    inner = Workflow(name="Inner", steps=[agent("Deep", portkey_model)])
    flow = Workflow(name="Flow", steps=[Parallel(team, inner, name="P")])
    assert govern(flow, guards=[SECRETS], tags={"cost": "7"}) is flow
    assert govern(flow, guards=[SECRETS], tags={"cost": "7"}) is flow
    seats = [team.model.seat, member.model.seat, inner.steps[0].agent.model.seat]
    assert {seat.swarm for seat in seats} == {"Flow"}
    assert flow.run(f"ask {SECRET}").status == RunStatus.error
    assert portkey_provider.calls == []
    assert flow.run("hello").status == RunStatus.completed
    assert [m.tags for m in (team.model, member.model)] == [{"cost": "7"}] * 2
    with pytest.raises(ConfigurationError, match="in another way"):
        govern(flow)


def test_agents_that_functions_hold_are_governed(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    held = agent("Held", portkey_model)

    def ask(step_input: StepInput) -> Any:
        return held.run(str(step_input.input))

    flow = govern(Workflow(name="Flow", steps=[ask]), guards=[SECRETS])
    assert flow.run(f"ask {SECRET}").status == RunStatus.error
    assert portkey_provider.calls == []


def test_foreign_models_are_refused_wherever_they_are(portkey_model: PortkeyModel) -> None:
    foreign = Agent(name="Foreign", model=OpenAIChat(api_key="x"))

    def ask(step_input: StepInput) -> Any:
        return foreign.run(str(step_input.input))

    one = agent("One", portkey_model)
    for steps in ([one, foreign], [one, ask], [one, Workflow(name="In", steps=[foreign])]):
        with pytest.raises(UngovernedPathError, match="agno's OpenAIChat"):
            govern(Workflow(name="Flow", steps=list(steps)))
    assert getattr(one.model, "seat", None) is None


def test_a_workflow_that_is_one_function_is_refused() -> None:
    with pytest.raises(UngovernedPathError, match="give a list"):
        govern(Workflow(name="Flow", steps=lambda execution_input: "done"))


def test_a_workflow_has_no_gate_of_its_own(portkey_model: PortkeyModel) -> None:
    flow = Workflow(name="Flow", steps=[agent("One", portkey_model)])
    with pytest.raises(ConfigurationError, match="no Runner of its own"):
        govern(flow, runner="One", gate=Gate())


def test_who_is_governed_already_stays_so(portkey_model: PortkeyModel) -> None:
    one = govern(agent("One", portkey_model), guards=[SECRETS])
    seat = one.model.seat
    flow = govern(Workflow(name="Flow", steps=[one, agent("Two", portkey_model)]))
    assert one.model.seat is seat
    assert flow.run(f"ask {SECRET}").status == RunStatus.error


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_agentos_runs_a_governed_copy(
    stream: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    db = SqliteDb(db_file=str(tmp_path / "os.db"))
    steps = [Step(name="one", agent=agent("First", portkey_model)), agent("Two", portkey_model)]
    flow = govern(Workflow(id="flow", name="Flow", db=db, steps=steps), guards=[SECRETS])
    transport = httpx.ASGITransport(AgentOS(workflows=[flow]).get_app())
    data = {"message": f"ask {SECRET}", "stream": stream}
    async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
        answer = await client.post("/workflows/flow/runs", data=data)
    assert answer.status_code == 200
    assert "a project is named" in answer.text
    assert SECRET not in answer.text
    if stream == "true":
        assert answer.text.count("event: WorkflowError") == 1
        assert "WorkflowCompleted" not in answer.text
    else:
        assert answer.json()["status"] == "ERROR"
    assert portkey_provider.calls == []
