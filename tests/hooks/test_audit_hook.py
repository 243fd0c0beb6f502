"""AuditHook: a line for each start and end, whoever runs and however, and no word of it."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.run import RunContext
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools import tool
from agno.workflow import Parallel, Step, Workflow
from desk import FORMS, Refuses, desk, play, tell
from fastapi import BackgroundTasks

from agno_portkey import Plan, PortkeyModel
from agno_portkey.contracts import digest
from agno_portkey.errors import ContractError
from agno_portkey.hooks import AuditHook, ContractHook, TagHook
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall
from agno_portkey.testing.story import SOUND


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; each line has to be one JSON object."""
    records = [json.loads(line) for line in path.read_bytes().decode("ascii").split("\n")[:-1]]
    assert all(isinstance(record, dict) for record in records)
    return records


def runs(path: Path) -> list[tuple[str, str]]:
    return [(r["kind"], r["name"]) for r in lines(path) if r["kind"] in ("start", "end")]


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


DESK = [("start", "Desk"), ("start", "Writer"), ("end", "Writer"), ("end", "Desk")]


@pytest.mark.parametrize("form", FORMS)
def test_each_run_has_a_line_for_its_start_and_one_for_its_end(
    form: str, file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    team = desk(portkey_model, [TagHook(cost_center="cc-1"), AuditHook(file)])
    play(team, form, "Write, please", user_id="ada", session_id="s-1")
    assert runs(file) == DESK
    start, member_start, member_end, end = lines(file)
    for record in (start, member_start, member_end, end):
        assert record["session_id"] == "s-1"
        assert record["user_id"] == "ada"
        assert record["swarm"] == "Desk"
        assert record["tags"] == {"cost_center": "cc-1"}
        assert record["time"].endswith("+00:00")
    assert start["run_id"] == end["run_id"] == member_start["parent_run_id"]
    assert member_start["run_id"] == member_end["run_id"] != start["run_id"]
    assert member_end["parent_run_id"] == start["run_id"]
    assert start["parent_run_id"] is end["parent_run_id"] is None
    assert [start["type"], member_start["type"]] == ["team", "agent"]
    assert [start["role"], member_start["role"]] == ["Desk", "Writer"]
    assert [start["status"], end["status"]] == ["running", "answered"]
    assert end["model"] == "gpt-4o-mini"
    assert end["provider"] == end["answered"]["provider"] == "openai"
    assert end["total_tokens"] == end["input_tokens"] + end["output_tokens"] > 0
    assert end["seconds"] >= member_end["seconds"] >= 0
    assert end["verdict"] is None
    assert start["input_sha256"] == sha256("Write, please")
    assert end["output_sha256"] == sha256("All is written.")
    assert member_end["output_sha256"] == sha256("Once upon a time")


def test_no_other_may_read_the_file(file: Path, portkey_model: PortkeyModel) -> None:
    Agent(model=portkey_model, pre_hooks=[AuditHook(str(file))]).run("Hi")
    assert file.stat().st_mode & 0o777 == 0o600


def test_words_are_written_where_they_are_asked_for(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    audits = [AuditHook(file, words=True)]
    desk(portkey_model, audits).run("Write, please")
    start, member_start, member_end, _ = lines(file)
    assert start["input"] == "Write, please"
    assert member_start["input"] == "a task for you"
    assert member_end["output"] == "Once upon a time"
    for record, said in ((start, "input"), (member_end, "output")):
        assert record[f"{said}_sha256"] == sha256(record[said])


def test_a_plan_has_the_digest_that_gates_know_it_by(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(SOUND.model_dump_json())
    audit = AuditHook(file)
    Agent(model=portkey_model, output_schema=Plan, post_hooks=[audit]).run("Plan")
    [end] = lines(file)
    assert end["output_sha256"] == digest(SOUND)
    # A run that was not seen to begin has no length.
    assert end["seconds"] is None


def test_it_goes_on_when_the_form_changes_and_agents_share_it(
    file: Path, portkey_model: PortkeyModel
) -> None:
    audit = AuditHook(file)
    agents = [
        Agent(name=name, model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
        for name in ("A", "B")
    ]
    for form in ("arun", "run", "astream", "stream"):
        for agent in agents:
            play(agent, form)
    assert runs(file) == [(kind, name) for _ in FORMS for name in "AB" for kind in ("start", "end")]


def test_it_is_the_same_after_a_copy(file: Path, portkey_model: PortkeyModel) -> None:
    audit = AuditHook(file)
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    twin = agent.deep_copy()
    assert twin.pre_hooks == [audit]
    assert copy.deepcopy(audit) is audit
    twin.run("Hi")
    assert runs(file) == [("start", "A"), ("end", "A")]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_not_moved_to_the_background(
    form: str, file: Path, portkey_model: PortkeyModel
) -> None:
    audit = AuditHook(file)
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    agent._run_hooks_in_background = True
    waiting = BackgroundTasks()
    play(agent, form, background_tasks=waiting)
    assert waiting.tasks == []
    assert runs(file) == [("start", "A"), ("end", "A")]


def test_added_after_the_first_run_it_is_called_itself(
    file: Path, portkey_model: PortkeyModel
) -> None:
    agent = Agent(name="A", model=portkey_model, pre_hooks=[TagHook()], post_hooks=[ContractHook()])
    agent.run("Hi")
    audit = AuditHook(file)
    agent.pre_hooks.append(audit)
    agent.post_hooks.append(audit)
    agent.run("Hi")
    assert runs(file) == [("start", "A"), ("end", "A")]


@pytest.mark.parametrize("form", ["run", "arun"])
def test_teams_in_teams_know_who_asked(
    form: str, file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    ask = ToolCall("delegate_task_to_member", {"member_id": "inner", "task": "a task"})
    portkey_provider.when("You are the House", [Reply(tool_calls=(ask,)), "Done."])
    audit = AuditHook(file)
    inner = desk(portkey_model, [audit])
    inner.id = "inner"
    house = Team(
        name="House",
        members=[inner],
        model=portkey_model,
        instructions="You are the House",
        pre_hooks=[audit],
        post_hooks=[audit],
    )
    mine = {"mine": "kept"}
    play(house, form, metadata=mine)
    assert mine == {"mine": "kept"}
    assert runs(file) == [("start", "House"), *DESK, ("end", "House")]
    ids = {r["name"]: r["run_id"] for r in lines(file)}
    parents = {r["name"]: r["parent_run_id"] for r in lines(file)}
    assert parents == {"House": None, "Desk": ids["House"], "Writer": ids["Desk"]}
    assert {r["swarm"] for r in lines(file) if r["name"] == "Writer"} == {"Desk"}


# What has no post-hook


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_refused_member_is_ended_by_its_team(
    where: str,
    form: str,
    file: Path,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
) -> None:
    tell(portkey_provider)
    team = desk(portkey_model, [AuditHook(file)], **{where: [Refuses()]})
    play(team, form)
    assert runs(file) == DESK
    start, member_start, member_end, _ = lines(file)
    assert member_end["run_id"] == member_start["run_id"]
    assert member_end["parent_run_id"] == start["run_id"]
    assert member_end["late"] is True
    # A stream does not hand the team what became of it.
    streamed = form in ("stream", "astream")
    assert member_end["status"] == ("unfinished" if streamed else "error")
    assert "private" not in file.read_text()


def test_a_failed_run_is_ended_by_the_next_start_of_its_session(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(file)
    agent = Agent(
        name="A",
        model=portkey_model,
        pre_hooks=[audit, Refuses()],
        post_hooks=[audit],
        db=InMemoryDb(),
    )
    first = agent.run("Hi", session_id="s")
    agent.run("Hi", session_id="another")
    assert runs(file) == [("start", "A")] * 2
    agent.run("Hi", session_id="s")
    record = lines(file)[2]
    assert (record["kind"], record["run_id"]) == ("end", first.run_id)
    assert (record["status"], record["late"]) == ("error", True)
    assert runs(file) == [("start", "A"), ("start", "A"), ("end", "A"), ("start", "A")]


@pytest.mark.parametrize("form", FORMS)
def test_what_a_failed_team_had_asked_for_is_ended_with_it(
    form: str, file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    team = desk(portkey_model, [AuditHook(file)], before=[Refuses()], db=InMemoryDb())
    team.post_hooks = [Refuses()]
    play(team, form, session_id="s")
    assert runs(file) == [("start", "Desk"), ("start", "Writer")]
    team.run("Hi", session_id="s")
    ended = [(r["kind"], r["name"], r["status"]) for r in lines(file)[2:4]]
    known = "unfinished" if form in ("stream", "astream") else "error"
    assert ended == [("end", "Writer", known), ("end", "Desk", "error")]


def test_a_run_that_fails_is_in_the_lines_of_its_calls(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(file)
    portkey_model.observers = [audit]
    portkey_provider.fault(Fault.status(401), times=None)
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    out = agent.run("Hi")
    assert out.status == RunStatus.error
    kinds = {r["kind"]: r for r in lines(file)}
    assert set(kinds) == {"start", "attempt", "call"}
    assert kinds["call"]["run_id"] == out.run_id
    assert kinds["call"]["data"]["error"] == "GatewayUnauthorized"
    assert kinds["attempt"]["data"]["status"] == 401


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_contract_is_told_by_the_model_or_by_its_hook(
    form: str, file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply('{"goal": "private"}')
    audit = AuditHook(file)
    portkey_model.observers = [audit]
    play(Agent(name="A", model=portkey_model, output_schema=Plan), form)
    output = RunOutput(run_id="r", content='{"goal": "private"}')
    owner = SimpleNamespace(name="B", id="b", output_schema=Plan)
    with pytest.raises(ContractError):
        ContractHook(observers=[audit]).check(
            run_output=output, run_context=RunContext(run_id="r", session_id="s"), agent=owner
        )
    told = [r for r in lines(file) if r["kind"] == "contract"]
    assert [(r["role"], r["verdict"]["passed"]) for r in told] == [("A", False), ("B", False)]
    assert "private" not in file.read_text()


def test_a_paused_run_ends_where_it_goes_on(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    @tool(requires_confirmation=True)
    def remove(path: str) -> str:
        """Remove a file."""
        return f"{path} is gone"

    ask = ToolCall("remove", {"path": "x"})
    portkey_provider.when(lambda request: True, [Reply(tool_calls=(ask,)), "Done."])
    audit = AuditHook(file)
    agent = Agent(
        name="A",
        model=portkey_model,
        tools=[remove],
        pre_hooks=[audit],
        post_hooks=[audit],
        db=InMemoryDb(),
    )
    paused = agent.run("Go", session_id="s")
    assert paused.status == RunStatus.paused
    assert runs(file) == [("start", "A")]
    for requirement in paused.requirements or ():
        requirement.confirm()
    agent.continue_run(run_id=paused.run_id, requirements=paused.requirements, session_id="s")
    start, end = lines(file)
    assert (start["run_id"], start["kind"], end["kind"]) == (end["run_id"], "start", "end")
    assert end["seconds"] > 0


def test_steps_of_a_workflow_are_told_apart(file: Path, portkey_model: PortkeyModel) -> None:
    audit = AuditHook(file)
    steps = [
        Step(
            name=name,
            agent=Agent(name=name, model=portkey_model, pre_hooks=[audit], post_hooks=[audit]),
        )
        for name in ("A", "B")
    ]
    out = Workflow(id="w", name="W", steps=[Parallel(*steps)]).run("Hi")
    records = lines(file)
    assert sorted(runs(file)) == [("end", "A"), ("end", "B"), ("start", "A"), ("start", "B")]
    assert {r["workflow_run_id"] for r in records} == {out.run_id}
    assert {r["workflow_id"] for r in records} == {"w"}
    ends = [r for r in records if r["kind"] == "end"]
    assert all(r["seconds"] > 0 for r in ends)
    assert len({r["run_id"] for r in ends} - {out.run_id, None}) == 2
    assert {r["run_id"] for r in records if r["kind"] == "start"} == {None}


def test_one_object_is_an_observer_and_a_hook(
    file: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    tell(portkey_provider)
    audit = AuditHook(file)
    portkey_model.observers = [audit]
    asyncio.run(desk(portkey_model, [audit]).arun("Hi"))
    kinds = [r["kind"] for r in lines(file)]
    assert kinds == [
        *("start", "attempt", "call", "start", "attempt", "call", "end"),
        *("attempt", "call", "end"),
    ]
    assert {r["run_id"] for r in lines(file) if r["kind"] == "call"} == {
        r["run_id"] for r in lines(file) if r["kind"] == "start"
    }


def test_a_forked_process_waits_for_no_record_of_its_parent(
    file: Path, portkey_model: PortkeyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = AuditHook(file)
    held = Agent(name="Desk", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    # As a thread of the parent may have had it at the fork.
    assert audit._begins._lock.acquire(timeout=1)
    monkeypatch.setattr(audit._begins, "_process", -1)
    ends: list[Any] = []
    asks = threading.Thread(target=lambda: ends.append(held.run("Hi")), daemon=True)
    asks.start()
    asks.join(30)
    assert [run.status for run in ends] == [RunStatus.completed]
    assert runs(file) == [("start", "Desk"), ("end", "Desk")]
