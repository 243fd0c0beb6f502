"""A database that is given after `govern`, as an AgentOS gives its own, holds placeholders too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS, play

from agno_portkey import PortkeyModel, govern
from agno_portkey.testing import EmbeddedProvider

MAIL = "ann.lee@corp.internal"


def stored(db: Any) -> str:
    return json.dumps([session.to_dict() for session in db.get_sessions()], default=str)


def sent(provider: EmbeddedProvider) -> str:
    return json.dumps([call.body for call in provider.calls])


def echo(provider: EmbeddedProvider) -> None:
    provider.when(lambda request: True, lambda request: f"You wrote: {request.last_user}")


def _agent(model: PortkeyModel) -> Any:
    return Agent(name="Desk", model=model, telemetry=False, add_history_to_context=True)


def _team(model: PortkeyModel) -> Any:
    members: list[Any] = [Agent(name="Writer", model=model, telemetry=False)]
    return Team(name="Desk", members=members, model=model, telemetry=False)


@pytest.mark.parametrize("background", ["false", "true"])
@pytest.mark.parametrize(("kind", "make"), [("agents", _agent), ("teams", _team)])
def test_the_database_of_a_server_holds_placeholders(
    kind: str,
    make: Any,
    background: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    db: Any = InMemoryDb()
    owner = govern(make(portkey_model), pii="pseudonymize")
    app = AgentOS(**{kind: [owner]}, db=db, telemetry=False).get_app()
    echo(portkey_provider)

    async def asked() -> list[Any]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            path, said = f"/{kind}/{owner.id}/runs", []
            for text in (f"I am at {MAIL}", "And now?"):
                form = {"message": text, "stream": "false", "session_id": "s"}
                answer = await client.post(path, data={**form, "background": background})
                said.append(answer.json())
                others = asyncio.all_tasks() - {asyncio.current_task()}
                if background == "true" and others:
                    await asyncio.wait(others, timeout=20)
            return said

    first, second = asyncio.run(asked())
    if background == "false":
        assert first["content"] == f"You wrote: I am at {MAIL}"
        assert second["status"] == "COMPLETED"
    assert len(portkey_provider.calls) == 2
    assert MAIL not in sent(portkey_provider)
    assert MAIL not in stored(db)
    assert "<EMAIL_ADDRESS_1" in stored(db)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_said_before_is_read_back(
    form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    db: Any = InMemoryDb()
    owner = govern(_agent(portkey_model), pii="pseudonymize")
    owner.db = db
    echo(portkey_provider)
    assert play(owner, form, f"I am at {MAIL}", session_id="s").content == (
        f"You wrote: I am at {MAIL}"
    )
    assert play(owner, form, "And now?", session_id="s").status == RunStatus.completed
    assert MAIL not in sent(portkey_provider) + stored(db)
    assert "<EMAIL_ADDRESS_1>" in json.dumps(portkey_provider.calls[-1].body)
    session = owner.get_session("s")
    assert session is not None
    assert MAIL in json.dumps(session.to_dict(), default=str)


def test_without_personal_data_to_keep_it_is_taken_as_it_is(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    db: Any = InMemoryDb()
    owner = govern(_agent(portkey_model))
    owner.db = db
    echo(portkey_provider)
    assert owner.run("Hi").status == RunStatus.completed
    assert owner.db is db


def _flow(model: PortkeyModel, **options: Any) -> Any:
    steps: list[Any] = [Step(name="one", agent=_agent(model))]
    return Workflow(name="Flow", steps=steps, telemetry=False, **options)


def on_disk(folder: Path) -> str:
    held = (file.read_bytes() for file in folder.glob("late.db*"))
    return b"".join(held).decode("latin-1")


@pytest.mark.parametrize("background", ["false", "true"])
def test_the_database_that_a_server_gives_a_workflow(
    background: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    flow = govern(_flow(portkey_model), pii="pseudonymize")
    db = SqliteDb(db_file=str(tmp_path / "late.db"))
    app = AgentOS(workflows=[flow], db=db, telemetry=False).get_app()
    echo(portkey_provider)

    async def asked() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            form = {"message": f"I am at {MAIL}", "stream": "false", "session_id": "s"}
            path = f"/workflows/{flow.id}/runs"
            answer = await client.post(path, data={**form, "background": background})
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if background == "true" and others:
                await asyncio.wait(others, timeout=20)
            return answer.json()

    said = asyncio.run(asked())
    if background == "false":
        assert said["content"] == f"You wrote: I am at {MAIL}"
    assert len(portkey_provider.calls) == 1
    assert MAIL not in sent(portkey_provider)
    assert MAIL not in on_disk(tmp_path)
    assert "<EMAIL_ADDRESS_1" in on_disk(tmp_path)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_a_workflow_that_is_given_a_database_and_its_copies(
    streams: bool,
    copied: bool,
    nested: bool,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    flow = _flow(portkey_model)
    inner = flow
    if nested:
        flow = Workflow(name="Outer", steps=[flow], telemetry=False)
    flow = govern(flow, pii="pseudonymize")
    db = SqliteDb(db_file=str(tmp_path / "late.db"))
    inner.db = flow.db = db
    if copied:
        flow = flow.deep_copy()
    echo(portkey_provider)
    said = flow.run(f"I am at {MAIL}", session_id="s", stream=streams)
    if streams:
        assert [*said]
    stored_run = flow.get_last_run_output(session_id="s")
    assert stored_run is not None
    assert stored_run.content == f"You wrote: I am at {MAIL}"
    assert len(portkey_provider.calls) == 1
    assert MAIL not in on_disk(tmp_path)
    assert "<EMAIL_ADDRESS_1" in on_disk(tmp_path)
    # A database of which values were hidden before is not taken again.
    again = flow.db
    flow.db = again
    assert flow.db is again
    flow.db = None
    assert flow.db is None


def test_the_database_of_a_workflow_inside_another(
    tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    inner = _flow(portkey_model, db=SqliteDb(db_file=str(tmp_path / "late.db")))
    flow: Any = govern(Workflow(name="Outer", steps=[inner], telemetry=False), pii="pseudonymize")
    echo(portkey_provider)
    assert flow.run(f"I am at {MAIL}").content == f"You wrote: I am at {MAIL}"
    assert MAIL not in on_disk(tmp_path)


def test_without_personal_data_to_keep_a_workflow_takes_it_as_it_is(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    db: Any = InMemoryDb()
    flow = govern(_flow(portkey_model))
    flow.db = db
    assert flow.db is db
