"""A run's budget holds for all that is done for the run, also where it is gone on with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.run.team import TeamRunOutput
from agno.team import Team
from agno.tools import tool
from agno.workflow.step import Step
from agno.workflow.workflow import Workflow
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import rows

from agno_portkey import govern, run_facts
from agno_portkey.latest import Latest
from agno_portkey.model import PortkeyModel
from agno_portkey.run_facts import LINEAGE_KEY, ROOT_KEY, HandedDown, outermost_run
from agno_portkey.telemetry.ledger import Budget, Ledger
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall, Usage

Models = Callable[..., PortkeyModel]
FORMS = ("run", "arun", "stream", "astream")
USED = Usage(60, 40)


@tool(requires_confirmation=True)
def deploy(version: str) -> str:
    """Deploy it."""
    return f"{version} is live"


def _delegates(to: str) -> Reply:
    return Reply(
        tool_calls=[ToolCall("delegate_task_to_member", {"member_id": to, "task": "Go"})],
        usage=USED,
    )


DEPLOYS = Reply(tool_calls=[ToolCall("deploy", {"version": "2"})], usage=USED)
DONE = Reply("Done", usage=USED)


def _says(provider: EmbeddedProvider, *replies: Reply) -> None:
    for each in replies:
        provider.reply(each)


class Crew:
    """Makes the same team again, as another process would have it."""

    def __init__(self, booked: Models, ledger: Ledger, file: Path) -> None:
        self.booked, self.ledger, self.file = booked, ledger, file

    def team(self, *, asks: str, nested: bool = False, limit: int = 10_000) -> Team:
        """`asks` is who has the tool that a person confirms."""

        def model() -> PortkeyModel:
            return self.booked(observers=[])

        has: dict[str, list[Any]] = {asks: [deploy]}
        worker = Agent(name="Worker", id="worker", model=model(), tools=has.get("Worker"))
        members: list[Any] = [worker]
        if nested:
            members = [Team(name="Inner", id="inner", model=model(), members=members)]
        team = Team(
            name="Release",
            model=model(),
            members=members,
            tools=has.get("Release"),
            db=SqliteDb(db_file=str(self.file)),
            telemetry=False,
        )
        budgets = [Budget(per="run", limit_tokens=limit)]
        return govern(team, ledger=self.ledger, budgets=budgets)


@pytest.fixture
def crew(booked: Models, ledger: Ledger, tmp_path: Path) -> Crew:
    return Crew(booked, ledger, tmp_path / "agno.db")


def _go_on(owner: Any, form: str, how: Mapping[str, Any]) -> Any:
    if form == "run":
        return owner.continue_run(**how)
    if form == "stream":
        return [*owner.continue_run(**how, stream=True, yield_run_output=True)][-1]

    async def gone_on() -> Any:
        if form == "arun":
            return await owner.acontinue_run(**how)
        events = owner.acontinue_run(**how, stream=True, yield_run_output=True)
        return [event async for event in events][-1]

    return asyncio.run(gone_on())


def _confirmed(output: Any, *, stored_in: Any = None) -> dict[str, Any]:
    """How a paused run is gone on with; from the database, where that is given."""
    if stored_in is not None:
        output = stored_in.get_session(session_id=output.session_id).get_run(output.run_id)
    for requirement in output.active_requirements or ():
        requirement.confirm()
    return {"run_response": output, "session_id": output.session_id}


def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing known of the runs before, as in a process of its own."""
    monkeypatch.setattr(run_facts, "_roots", Latest[str]())


# Gone on with


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_members_that_are_asked_then_spend_the_teams_budget(
    elsewhere: bool,
    form: str,
    crew: Crew,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _says(portkey_provider, DEPLOYS, _delegates("worker"), DONE, _delegates("worker"), DONE)
    team = crew.team(asks="Release", limit=350)
    output = team.run("Go")
    assert output.status is RunStatus.paused
    if elsewhere:
        _elsewhere(monkeypatch)
        team = crew.team(asks="Release", limit=350)
    _go_on(team, form, _confirmed(output, stored_in=team if elsewhere else None))
    booked = rows(crew.ledger)
    # The leader twice, its member, and the leader, who has crossed the line.
    assert [row["role"] for row in booked] == ["Release", "Release", "Worker", "Release"]
    assert {row["run"] for row in booked} == {output.run_id}
    assert len(portkey_provider.calls) == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_members_that_are_gone_on_with_spend_it_too(
    elsewhere: bool,
    nested: bool,
    form: str,
    crew: Crew,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = [_delegates("inner")] if nested else []
    _says(portkey_provider, *asked, _delegates("worker"), DEPLOYS, DONE, DONE, DONE)
    team = crew.team(asks="Worker", nested=nested)
    output = team.run("Go")
    assert output.status is RunStatus.paused
    before = len(portkey_provider.calls)
    if elsewhere:
        _elsewhere(monkeypatch)
        team = crew.team(asks="Worker", nested=nested)
    _go_on(team, form, _confirmed(output, stored_in=team if elsewhere else None))
    booked = rows(crew.ledger)
    assert booked[before]["role"] == "Worker"
    assert {row["run"] for row in booked} == {output.run_id}
    assert len(portkey_provider.calls) == before + (3 if nested else 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", [{"input": "And now?"}, {"fork": True}, {"regenerate": True}])
def test_a_run_that_has_ended_goes_on_with_its_budget(
    how: dict[str, Any], form: str, crew: Crew, portkey_provider: EmbeddedProvider
) -> None:
    _says(portkey_provider, DONE, _delegates("worker"), DONE, DONE, DONE)
    team = crew.team(asks="nobody", limit=350)
    output = team.run("Go")
    on = {"run_id": output.run_id, "session_id": output.session_id}
    again = _go_on(team, form, {**on, **how})
    assert again.run_id != output.run_id
    booked = rows(crew.ledger)
    assert [row["role"] for row in booked] == ["Release", "Release", "Worker", "Release"]
    assert {row["run"] for row in booked} == {output.run_id}
    # A fork of the fork, which has nothing left.
    on["run_id"] = again.run_id
    _go_on(team, form, {**on, **how})
    assert len(portkey_provider.calls) == 4


def test_without_a_ledger_nobody_is_told_of_it(
    booked: Models, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    _says(portkey_provider, DONE, _delegates("worker"), DONE, DONE)
    worker = Agent(name="Worker", id="worker", model=booked(observers=[]))
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = govern(Team(name="T", model=booked(observers=[]), members=[worker], db=db))
    output = team.run("Go")
    on = {"run_id": output.run_id, "session_id": output.session_id}
    [told] = _go_on(team, "run", {**on, "input": "More"}).member_responses
    assert not {ROOT_KEY, LINEAGE_KEY} & (told.metadata or {}).keys()


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_step_that_is_gone_on_with_is_the_run_that_it_was(
    form: str, booked: Models, ledger: Ledger, tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    _says(portkey_provider, _delegates("worker"), DONE, DONE)
    worker = Agent(name="Worker", id="worker", model=booked(observers=[]))
    team = Team(name="T", id="t", model=booked(observers=[]), members=[worker])
    flow = Workflow(name="Flow", steps=[Step(name="one", team=team)])
    govern(flow, ledger=ledger, budgets=[Budget(per="run", limit_tokens=10_000)])
    asyncio.run(flow.arun("Go")) if form == "arun" else flow.run("Go")
    booked_ = rows(ledger)
    assert [row["role"] for row in booked_] == ["T", "Worker", "T"]
    assert len({row["run"] for row in booked_}) == 1


# Made up


def _claims(run: str) -> dict[str, Any]:
    return {LINEAGE_KEY: [{"run_id": run, "name": "Victim"}], ROOT_KEY: run}


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_caller_can_not_book_on_another_run(
    form: str, crew: Crew, portkey_provider: EmbeddedProvider
) -> None:
    _says(portkey_provider, _delegates("worker"), DONE, DONE)
    team = crew.team(asks="nobody")
    how: dict[str, Any] = {"metadata": _claims("another")}
    output = asyncio.run(team.arun("Go", **how)) if form == "arun" else team.run("Go", **how)
    assert [row["run"] for row in rows(crew.ledger)] == [output.run_id] * 3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("asks", ["Release", "Worker"])
def test_nor_by_going_on_with_one(
    asks: str,
    form: str,
    crew: Crew,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = (
        [DEPLOYS, _delegates("worker")] if asks == "Release" else [_delegates("worker"), DEPLOYS]
    )
    _says(portkey_provider, *first, DONE, DONE)
    output = crew.team(asks=asks).run("Go")
    assert output.status is RunStatus.paused
    _elsewhere(monkeypatch)
    team = crew.team(asks=asks)
    how = {**_confirmed(output, stored_in=team), "metadata": _claims("another")}
    _go_on(team, form, how)
    assert [row["run"] for row in rows(crew.ledger)] == [output.run_id] * 4


def test_what_was_handed_down_is_a_text_anywhere_else() -> None:
    handed = HandedDown("the run")
    metadata = {ROOT_KEY: handed}
    assert outermost_run(RunOutput(run_id="own", metadata=deepcopy(metadata))) == "the run"
    stored = json.loads(json.dumps(metadata))
    assert outermost_run(RunOutput(run_id="other", metadata=stored)) == "other"
    assert json.dumps(metadata) == json.dumps(stored)


def test_what_was_handed_down_does_not_leave_the_process_as_such() -> None:
    import pickle

    assert type(pickle.loads(pickle.dumps(HandedDown("the run")))) is str


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each),
    max_leaves=5,
)


@given(lineage=_JSON, root=_JSON)
def test_nothing_that_a_caller_can_send_is_believed(lineage: Any, root: Any) -> None:
    metadata = {LINEAGE_KEY: lineage, ROOT_KEY: root}
    assert outermost_run(RunOutput(run_id="mine", metadata=metadata)) == "mine"
    assert outermost_run(TeamRunOutput(run_id="mine", metadata=metadata)) == "mine"
