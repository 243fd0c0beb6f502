"""What a factory makes for a request or a job is governed before anybody gets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.agent.factory import AgentFactory
from agno.db.sqlite import SqliteDb
from agno.factory import RequestContext
from agno.models.openai import OpenAIChat
from agno.os import AgentOS
from agno.run.base import RunStatus
from agno.team import Team
from agno.team.factory import TeamFactory
from agno.workflow import Step, Workflow
from agno.workflow.factory import WorkflowFactory
from places import asking

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.hooks.watched import Watched
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell


class Note(Guard):
    inline = True

    def inspect(self, passage: Passage) -> Block | None:
        return Block("a codename") if "bluebird" in passage.text else None


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(db_file=str(tmp_path / "agno.db"))


def desk(model: Any, **fields: Any) -> Agent:
    return Agent(name="Desk", model=model, telemetry=False, **fields)


def made(factory: Any, how: str) -> Any:
    kind = {AgentFactory: Agent, TeamFactory: Team, WorkflowFactory: Workflow}[type(factory)]
    match how:
        case "resolve":
            return factory.resolve(RequestContext(user_id="u"), kind)
        case "resolve async":
            return asyncio.run(factory.resolve_async(RequestContext(user_id="u"), kind))
        case "invoke":
            return factory.invoke(RequestContext(user_id="u"))
    return asyncio.run(factory.invoke_async(RequestContext(user_id="u")))


@pytest.mark.parametrize("how", ["resolve", "resolve async", "invoke", "invoke async"])
def test_an_agent_is_governed_as_it_is_made(
    how: str, db: SqliteDb, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    factory = AgentFactory(id="desk", db=db, factory=lambda ctx: desk(portkey_model))
    assert govern(factory, guards=[Note()], tags={"cost": "c"}) is factory
    one, two = made(factory, how), made(factory, how)
    assert one is not two
    for agent in (one, two):
        assert isinstance(agent, Watched)
        assert agent.run("hi").status == RunStatus.completed
        refused = agent.run("the bluebird")
        assert (refused.status, "a codename" in str(refused.content)) == (RunStatus.error, True)
    assert len(portkey_provider.calls) == 2
    for call in portkey_provider.calls:
        assert "bluebird" not in str(call.body)


def test_an_async_factory_stays_one(db: SqliteDb, portkey_model: PortkeyModel) -> None:
    async def build(ctx: RequestContext) -> Agent:
        return desk(portkey_model)

    factory = govern(AgentFactory(id="desk", db=db, factory=build), guards=[Note()])
    assert factory.is_async()
    assert isinstance(made(factory, "resolve async"), Watched)


def test_a_gated_team_is_made_whole(
    db: SqliteDb, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    done: list[Release] = []

    def build(ctx: RequestContext) -> Team:
        done.append(Release())
        return release_team(portkey_model, done[-1])

    factory = TeamFactory(id="release", db=db, factory=build)
    govern(factory, runner="Runner", gate=Gate())
    tell(portkey_provider, plans=[SOUND])
    assert made(factory, "resolve").run(REQUEST).status == RunStatus.completed
    assert len(done[0].done) == 2


def test_a_workflow_ends_where_a_step_is_blocked(
    db: SqliteDb, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    def build(ctx: RequestContext) -> Workflow:
        steps = [Step(name=name, agent=Agent(name=name, model=portkey_model)) for name in "ab"]
        return Workflow(name="Flow", steps=steps)

    factory = govern(WorkflowFactory(id="flow", db=db, factory=build), guards=[Note()])
    run = made(factory, "resolve").run("the bluebird")
    assert run.status == RunStatus.error
    assert portkey_provider.calls == []


@pytest.mark.parametrize("stream", ["false", "true"])
def test_over_agent_os_each_request_is_governed(
    stream: str, db: SqliteDb, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    factory = AgentFactory(id="desk", db=db, factory=lambda ctx: desk(portkey_model))
    govern(factory, guards=[Note()], tags={"cost": "c"})
    app = AgentOS(agents=[factory], telemetry=False).get_app()

    async def post(*texts: str) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            forms = [{"message": text, "stream": stream} for text in texts]
            return [await client.post("/agents/desk/runs", data=form) for form in forms]

    said = asyncio.run(post("hi", "the bluebird"))
    assert [each.status_code for each in said] == [200, 200]
    assert "a codename" in said[1].text
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("how", ["resolve", "invoke async"])
def test_what_can_not_be_governed_is_refused_as_it_is_made(how: str, db: SqliteDb) -> None:
    foreign = OpenAIChat(id="gpt", api_key="k")
    factory = AgentFactory(id="desk", db=db, factory=lambda ctx: desk(foreign))
    govern(factory)
    with pytest.raises(UngovernedPathError, match=r"Desk\.model is agno's OpenAIChat"):
        made(factory, how)
    odd = govern(AgentFactory(id="odd", db=db, factory=lambda ctx: foreign))
    with pytest.raises(ConfigurationError, match="odd: it made a OpenAIChat, and no Agent"):
        made(odd, how)


def test_what_is_allowed_need_not_be_in_every_product(
    db: SqliteDb, portkey_model: PortkeyModel
) -> None:
    helpers = [None, Agent(name="Helper", model=OpenAIChat(id="gpt", api_key="k"))]
    tools = [[], [asking(helpers[1])]]
    factory = AgentFactory(
        id="desk", db=db, factory=lambda ctx: desk(portkey_model, tools=tools.pop())
    )
    govern(factory, allow=["Desk.tools[0].agent"])
    for _ in range(2):
        assert isinstance(made(factory, "invoke"), Watched)


def test_a_factory_is_governed_once_and_one_way(db: SqliteDb, portkey_model: PortkeyModel) -> None:
    note = Note()
    kept = desk(portkey_model)
    factory = govern(AgentFactory(id="desk", db=db, factory=lambda ctx: kept), guards=[note])
    inner = factory.factory
    assert govern(factory, guards=[note]).factory is inner
    with pytest.raises(ConfigurationError, match=r"desk is governed already, .*another tags"):
        govern(factory, guards=[note], tags={"a": "b"})
    # One that is made once is governed once.
    assert made(factory, "invoke") is made(factory, "resolve")
    assert govern(kept, guards=[note]) is kept


def test_only_what_makes_teams_has_a_gate(db: SqliteDb) -> None:
    for kind in (AgentFactory, WorkflowFactory):
        with pytest.raises(ConfigurationError, match="gate: only a Team can have a gated Runner"):
            govern(kind(id="x", db=db, factory=lambda ctx: None), runner="R", gate=Gate())


def test_the_kill_switch_is_that_of_the_factorys_database(
    db: SqliteDb, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    factory = AgentFactory(id="desk", db=db, factory=lambda ctx: Agent(model=portkey_model))
    agent = made(govern(factory), "resolve")
    StopSwitch(db).stop("desk", reason="wrong prices")
    run = agent.run("hi")
    assert (run.status, portkey_provider.calls) == (RunStatus.error, [])
    assert "wrong prices" in str(run.content)
    assert json.dumps([agent.id, agent.name]) == '["desk", null]'
