"""A member that was refused in a task, or whose answer would be its team's: what is told of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.run.team import TaskUpdatedEvent, TeamRunOutput
from agno.team import Team
from four_forms import FORMS, play
from gathered import go

from agno_portkey import Block, Guard, Passage, PortkeyModel, govern, verdict_of
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall


class NoBluebird(Guard):
    def inspect(self, passage: Passage) -> Block | None:
        return Block("a secret project is named") if "bluebird" in passage.text else None


def desk(model: PortkeyModel, mode: str) -> Team:
    writer = Agent(id="writer", name="Writer", model=model, instructions="You are the Writer")
    team = Team(
        name="Desk",
        members=[writer],
        model=model,
        mode=mode,  # type: ignore[arg-type]
        instructions="You lead",
        db=InMemoryDb(),  # type: ignore[no-untyped-call]
    )
    return govern(team, guards=[NoBluebird()])


def results(request: Request) -> list[str]:
    return [m["content"] for m in request.messages if m["role"] == "tool"]


def lead(request: Request) -> Any:
    """A leader that creates a task, has it done, and says so."""
    heard = results(request)
    if not heard:
        task = {"title": "tell", "description": "tell", "assignee": "writer"}
        return Reply(tool_calls=(ToolCall("create_task", task),))
    if len(heard) == 1:
        task_id = heard[0].split("[")[1].split("]")[0]
        asked = {"task_id": task_id, "member_id": "writer"}
        return Reply(tool_calls=(ToolCall("execute_task", asked),))
    if len(heard) == 2:
        return Reply(tool_calls=(ToolCall("mark_all_complete", {"summary": "All done."}),))
    return "All done."


def lead_to_a_task(request: Request) -> Any:
    """One that says nothing of its tasks once they were tried."""
    return lead(request) if len(results(request)) < 2 else "All done."


@pytest.mark.parametrize("form", FORMS)
def test_a_leader_reads_why_a_task_was_refused_and_not_that_it_is_done(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when("You lead", lead)
    portkey_provider.when("You are the Writer", "It is called bluebird.")
    play(desk(portkey_model, "tasks"), form)
    told = results(portkey_provider.requests[-1])[1]
    assert "failed: " in told
    assert "a secret project is named" in told
    assert "completed" not in told


@pytest.mark.parametrize("form", FORMS)
def test_the_task_is_noted_as_failed_and_an_empty_answer_as_completed(
    form: str,
    tmp_path: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    for answer, status in (("It is called bluebird.", "failed"), ("", "completed")):
        portkey_provider.reset()
        portkey_provider.when("You lead", lead_to_a_task)
        portkey_provider.when("You are the Writer", answer)
        team = desk(portkey_model, "tasks")
        team.db = SqliteDb(db_file=str(tmp_path / f"{status}.db"))
        team.store_events = True
        seen = go(team, form, session_id="s")
        session: Any = team.get_session("s")
        state = session.session_data["session_state"]
        [task] = state["_team_tasks"]["tasks"]
        assert task["status"] == status
        assert ("a secret project is named" in task["result"]) is (status == "failed")
        told = [e for e in seen.events if isinstance(e, TaskUpdatedEvent)]
        assert not told or (told[-1].status, told[-1].result) == (status, task["result"])
        team.db.db_engine.dispose()
        kept = (tmp_path / f"{status}.db").read_bytes()
        assert (b"No content returned" in kept) is (status == "completed")


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_answer_to_a_task_is_told_as_the_host_tells_it(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when("You lead", lead)
    portkey_provider.when("You are the Writer", "")
    play(desk(portkey_model, "tasks"), form)
    assert results(portkey_provider.requests[-1])[1].endswith("completed with no content.")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["run", "arun"])
@pytest.mark.parametrize("continued", [False, True], ids=["first", "continued"])
def test_a_team_that_routes_keeps_the_verdict_that_ended_it(
    continued: bool,
    asynchronous: bool,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    asked = ToolCall("delegate_task_to_member", {"member_id": "writer", "task": "tell"})
    portkey_provider.when("You lead", lambda request: Reply(tool_calls=(asked,)))
    answers = ["Well.", "It is called bluebird."]
    portkey_provider.when("You are the Writer", answers if continued else answers[1:])
    team = desk(portkey_model, "route")
    options: dict[str, Any] = {"session_id": "s"}
    if continued:
        first = asyncio.run(_awaited(team.arun("Go", **options)))
        options |= {"run_id": first.run_id, "input": "Go on"}
        begin: Any = team.acontinue_run if asynchronous else team.continue_run
        begun = begin(**options)
    else:
        begun = team.arun("Go", **options) if asynchronous else team.run("Go", **options)
    output = asyncio.run(_awaited(begun)) if asynchronous else begun
    assert output.status.value == "ERROR"
    stored = TeamRunOutput.from_dict(json.loads(json.dumps(output.to_dict())))
    for each in (output, stored):
        verdict = verdict_of(each)
        assert verdict is not None
        assert verdict.source == "NoBluebird"


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


@pytest.mark.parametrize("asynchronous", [False, True], ids=["stream", "astream"])
def test_a_team_that_routes_stores_the_verdict_that_ended_its_stream(
    asynchronous: bool, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    asked = ToolCall("delegate_task_to_member", {"member_id": "writer", "task": "tell"})
    portkey_provider.when("You lead", Reply(tool_calls=(asked,)))
    portkey_provider.when("You are the Writer", "It is called bluebird.")
    team = desk(portkey_model, "route")
    play(team, "astream" if asynchronous else "stream", session_id="s")
    session: Any = team.get_session("s")
    [stored] = [run for run in session.runs if isinstance(run, TeamRunOutput)]
    verdict = verdict_of(TeamRunOutput.from_dict(json.loads(json.dumps(stored.to_dict()))))
    assert verdict is not None
    assert verdict.source == "NoBluebird"
