"""What a `TagHook` says of a run holds where the run is gone on with, whatever its caller says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.base import RunStatus
from agno.team import Team
from agno.tools import tool

from agno_portkey import PortkeyModel
from agno_portkey.hooks import AuditHook, TagHook
from agno_portkey.hooks.lineage import LINEAGE_KEY
from agno_portkey.tags import TAGS_KEY
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

FORMS = ("run", "arun", "stream", "astream")
ESCAPES = {TAGS_KEY: {"cost_center": "another"}}
DELEGATES = ToolCall("delegate_task_to_member", {"member_id": "scout", "task": "Go"})
DEPLOYS = ToolCall("deploy", {"version": "2"})


@tool(requires_confirmation=True)
def deploy(version: str) -> str:
    """Deploy it."""
    return f"{version} is live"


class Crew:
    def __init__(self, provider: EmbeddedProvider, file: Path) -> None:
        self.provider, self.file = provider, file

    def says(self, *replies: ToolCall | str) -> None:
        for each in replies:
            self.provider.reply(Reply(each) if isinstance(each, str) else Reply(tool_calls=[each]))

    def agent(self, *hooks: Any, name: str = "Scout", **options: Any) -> Agent:
        # A model of its own, that knows of no run before.
        model = PortkeyModel(base_url=self.provider.url, api_key="k")
        return Agent(name=name, model=model, pre_hooks=[*hooks], telemetry=False, **options)

    def alone(self) -> Agent:
        hook = TagHook(cost_center="c-42")
        return self.agent(hook, tools=[deploy], db=SqliteDb(db_file=str(self.file)))

    def team(self, *, asks: str) -> Team:
        return Team(
            name="Release",
            model=PortkeyModel(base_url=self.provider.url, api_key="k"),
            members=[self.agent(tools=[deploy] if asks == "Scout" else None)],
            tools=[deploy] if asks == "Release" else None,
            pre_hooks=[TagHook(cost_center="c-42")],
            db=SqliteDb(db_file=str(self.file)),
            telemetry=False,
        )

    @property
    def centers(self) -> list[tuple[str, str | None]]:
        told = [json.loads(each.headers["x-portkey-metadata"]) for each in self.provider.calls]
        return [(each["role"], each.get("cost_center")) for each in told]


@pytest.fixture
def crew(portkey_provider: EmbeddedProvider, tmp_path: Path) -> Crew:
    return Crew(portkey_provider, tmp_path / "agno.db")


def _go_on(owner: Any, form: str, how: dict[str, Any]) -> None:
    if form == "run":
        owner.continue_run(**how)
    elif form == "stream":
        list(owner.continue_run(**how, stream=True))
    else:
        asyncio.run(_gone_on(owner, form, how))


async def _gone_on(owner: Any, form: str, how: dict[str, Any]) -> None:
    if form == "arun":
        await owner.acontinue_run(**how)
        return
    async for _ in owner.acontinue_run(**how, stream=True):
        pass


def _stored(owner: Any, output: Any) -> Any:
    """The run as its database has it, with what it waits for allowed."""
    held = owner.get_session(session_id=output.session_id).get_run(output.run_id)
    for requirement in held.active_requirements or ():
        requirement.confirm()
    return held


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("begun_with", [None, ESCAPES])
def test_an_agent_can_not_leave_its_cost_center(
    begun_with: dict[str, Any] | None, form: str, crew: Crew
) -> None:
    crew.says(DEPLOYS, "Done")
    output = crew.alone().run("Go", metadata=begun_with)
    assert output.status is RunStatus.paused
    agent = crew.alone()
    run = _stored(agent, output)
    _go_on(agent, form, {"run_response": run, "metadata": ESCAPES})
    assert crew.centers == [("Scout", "c-42")] * 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("begun_with", [None, ESCAPES])
def test_nor_can_a_fork(begun_with: dict[str, Any] | None, form: str, crew: Crew) -> None:
    crew.says("Done", "Done again")
    agent = crew.alone()
    output = agent.run("Go", metadata=begun_with)
    on = {"run_id": output.run_id, "session_id": output.session_id}
    _go_on(agent, form, {**on, "input": "And now?", "metadata": ESCAPES})
    assert crew.centers == [("Scout", "c-42")] * 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("asks", ["Release", "Scout"])
@pytest.mark.parametrize("metadata", [None, ESCAPES])
def test_nor_can_a_teams_members(
    metadata: dict[str, Any] | None, asks: str, form: str, crew: Crew
) -> None:
    first = [DEPLOYS, DELEGATES] if asks == "Release" else [DELEGATES, DEPLOYS]
    crew.says(*first, "Done", "All is done")
    output = crew.team(asks=asks).run("Go")
    assert output.status is RunStatus.paused
    team = crew.team(asks=asks)
    _go_on(team, form, {"run_response": _stored(team, output), "metadata": metadata})
    roles = ["Release", "Release", "Scout", "Release"]
    if asks == "Scout":
        roles = ["Release", "Scout", "Scout", "Release"]
    assert crew.centers == [(role, "c-42") for role in roles]


def test_the_callers_own_mapping_is_left_alone(crew: Crew) -> None:
    crew.says("Done")
    given: dict[str, Any] = {"mine": 1}
    output = crew.alone().run("Go", metadata=given)
    assert given == {"mine": 1}
    assert output.metadata == {"mine": 1, TAGS_KEY: {"cost_center": "c-42"}}


def test_a_made_up_team_above_is_in_no_record(crew: Crew, tmp_path: Path) -> None:
    crew.says("Done")
    audit = AuditHook(tmp_path / "audit.jsonl")
    made_up = {LINEAGE_KEY: [{"run_id": "another", "name": "Victim"}]}
    crew.agent(audit).run("Go", metadata=made_up)
    written = (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    assert json.loads(written.splitlines()[0])["parent_run_id"] is None
    assert "another" not in written
