"""A database that is given after `govern`, as an AgentOS gives its own, holds the switch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.json import JsonDb
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS, play

from agno_portkey import PortkeyModel, govern
from agno_portkey.stopping import DATABASE_VARIABLE, StopSwitch
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(db_file=str(tmp_path / "agno.db"))


def _agent(model: PortkeyModel) -> Any:
    return govern(Agent(name="Desk", model=model, telemetry=False))


def _team(model: PortkeyModel) -> Any:
    member = Agent(name="Writer", model=model, telemetry=False)
    return govern(Team(name="Desk", members=[member], model=model, telemetry=False))


def _workflow(model: PortkeyModel) -> Any:
    writer = Agent(name="Writer", model=model, telemetry=False)
    flow = Workflow(name="Desk", steps=[Step(name="write", agent=writer)], telemetry=False)
    return govern(flow)


OWNERS: dict[str, Callable[[PortkeyModel], Any]] = {
    "agents": _agent,
    "teams": _team,
    "workflows": _workflow,
}


def stop(db: Any) -> StopSwitch:
    switch = StopSwitch(db)
    switch.stop("Desk")
    return switch


@pytest.mark.parametrize("kind", OWNERS)
def test_the_database_of_a_server_stops_whom_it_serves(
    kind: str, db: SqliteDb, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    owner = OWNERS[kind](portkey_model)
    # Before the first run: what is known of a switch counts for half a second.
    app = AgentOS(**{kind: [owner]}, db=db, telemetry=False).get_app()
    switch = stop(db)

    async def asked() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            path = f"/{kind}/{owner.id}/runs"
            return (await client.post(path, data={"message": "Hi", "stream": "false"})).json()

    refused = asyncio.run(asked())
    assert refused["status"] == "ERROR"
    assert "Desk is stopped" in str(refused)
    assert portkey_provider.calls == []
    switch.resume("Desk")


@pytest.mark.parametrize("form", FORMS)
def test_it_holds_in_every_form_and_for_tools(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    ran: list[str] = []
    db = InMemoryDb()

    def look() -> str:
        """Look, while somebody stops the swarm."""
        ran.append("look")
        return "seen"

    def stopping() -> str:
        """Give the database, and stop the swarm in it."""
        owner.db = db
        StopSwitch(db).stop("Desk")
        return "done"

    owner = Agent(name="Desk", model=portkey_model, tools=[stopping, look], telemetry=False)
    govern(owner)
    for name in ("stopping", "look"):
        portkey_provider.reply(Reply(tool_calls=(ToolCall(name),)))
    assert play(owner, form).status == RunStatus.error
    assert ran == []
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_tool_alone_is_stopped_too(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    ran: list[str] = []
    db = InMemoryDb()

    def look() -> str:
        """Look."""
        ran.append("look")
        return "seen"

    owner = govern(Agent(name="Desk", model=portkey_model, tools=[look], telemetry=False))

    def stop_and_ask(request: Any) -> Reply:
        owner.db = db
        StopSwitch(db).stop("Desk")
        return Reply(tool_calls=(ToolCall("look"),))

    portkey_provider.reply(stop_and_ask)
    assert play(owner, form).status == RunStatus.error
    assert ran == []


def test_without_a_database_nothing_is_asked(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    owner = _agent(portkey_model)
    portkey_provider.reply("Hello.")
    assert owner.run("Hi").content == "Hello."
    assert not owner.model.seat.brake.holds


def test_one_that_can_hold_no_stops_is_said_once(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    owner = _agent(portkey_model)
    owner.db = JsonDb(db_path=str(tmp_path))
    for _ in range(2):
        portkey_provider.reply("Hello.")
        assert owner.run("Hi").content == "Hello."
    assert caplog.text.count("there is no kill switch: database: JsonDb can't hold stops") == 1
    # A better one may come.
    owner.db = InMemoryDb()
    stop(owner.db)
    assert owner.run("Hi").status == RunStatus.error


def test_the_first_database_stays_that_of_the_switch(portkey_model: PortkeyModel) -> None:
    owner = _agent(portkey_model)
    first = owner.db = InMemoryDb()
    brake = owner.model.seat.brake
    assert brake.holds
    assert brake.refusal() is None
    owner.db = InMemoryDb()
    stop(first)
    # What was read of it a moment ago does not count any more for one made anew.
    brake.switch.found.read()
    refusal = brake.refusal()
    assert refusal is not None
    assert "Desk is stopped" in refusal.reason


def test_the_environment_says_where_it_is_whatever_is_given_later(
    tmp_path: Path, db: SqliteDb, monkeypatch: pytest.MonkeyPatch, portkey_model: PortkeyModel
) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, f"sqlite:///{tmp_path / 'stops.db'}")
    owner = _agent(portkey_model)
    owner.db = db
    stop(db)
    assert owner.model.seat.brake.refusal() is None
    stop(f"sqlite:///{tmp_path / 'stops.db'}")
    owner.model.seat.brake.switch.read()
    assert owner.model.seat.brake.refusal() is not None
