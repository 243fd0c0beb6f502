"""What a run was asked that is stopped before its guards are: stored as not looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.team import Team
from agno.workflow import Step, Workflow
from four_forms import FORMS
from gathered import MASK, WORD, Mask, go, stored

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.contracts import Judgement, Plan
from agno_portkey.guardrails import Guard
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

SAID = f"tell of {WORD}"
WITHHELD = "[withheld: Mask had not looked at it]"
EACH_FORM = pytest.mark.parametrize("form", FORMS)


def _agent(model: PortkeyModel, **options: Any) -> Agent:
    return Agent(name="Role", model=model, store_events=True, **options)


def _team(model: PortkeyModel, **options: Any) -> Team:
    member = Agent(name="Member", model=model)
    return Team(name="Crew", model=model, members=[member], store_events=True, **options)


def _flow(model: PortkeyModel, **options: Any) -> Workflow:
    step = Step(name="one", agent=Agent(name="Role", model=model))
    return Workflow(name="Flow", steps=[step], store_events=True, **options)


OWNERS: dict[str, Any] = {"Role": _agent, "Crew": _team, "Flow": _flow}


def on_disk(folder: Path, db: SqliteDb) -> str:
    """All bytes of the database's files."""
    db.db_engine.dispose()
    return b"".join(file.read_bytes() for file in folder.iterdir()).decode("latin-1")


@pytest.fixture
def db(tmp_path: Path) -> SqliteDb:
    return SqliteDb(db_file=str(tmp_path / "agno.db"))


@pytest.mark.parametrize("name", OWNERS)
@EACH_FORM
def test_what_was_asked_of_who_is_stopped(
    form: str,
    name: str,
    db: SqliteDb,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    owner = govern(OWNERS[name](portkey_model, db=db), guards=[Mask()])
    StopSwitch(db).stop(name, reason="enough")
    go(owner, form, SAID, session_id="s")
    [session] = db.get_sessions()  # type: ignore[misc]
    [run] = session.runs  # type: ignore[union-attr]
    assert str(getattr(run.status, "value", run.status)) == "ERROR"
    assert portkey_provider.calls == []
    kept = on_disk(tmp_path, db)
    assert WORD not in kept
    assert WITHHELD in kept
    assert "enough" in kept


@pytest.mark.parametrize("settings", [{"keep_raw": True}, {"mode": "observe"}])
@EACH_FORM
def test_a_guard_that_has_no_say_in_what_is_stored_withholds_nothing(
    form: str,
    settings: Any,
    db: SqliteDb,
    tmp_path: Path,
    portkey_model: PortkeyModel,
) -> None:
    role = govern(_agent(portkey_model, db=db), guards=[Mask(**settings)])
    StopSwitch(db).stop("Role")
    go(role, form, SAID, session_id="s")
    kept = on_disk(tmp_path, db)
    assert SAID in kept
    assert WITHHELD not in kept


@EACH_FORM
def test_what_a_tool_gave_back_before_a_stop(
    form: str,
    db: SqliteDb,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """What the guards have seen by then stays as they left it."""

    def look(what: str) -> str:
        """Look something up, and have all stopped."""
        role.model.seat.brake.switch.stop("Role")
        return f"found {what} of {WORD}"

    portkey_provider.reply(Reply(tool_calls=[ToolCall("look", {"what": "it"})]))
    role: Any = govern(_agent(portkey_model, db=db, tools=[look]), guards=[Mask()])
    go(role, form, SAID, session_id="s")
    assert len(portkey_provider.calls) == 1
    kept = on_disk(tmp_path, db)
    assert f"tell of {MASK}" in kept
    assert WITHHELD in kept
    assert WORD not in kept


@EACH_FORM
def test_what_was_asked_of_a_runner_whose_gate_is_closed(
    form: str,
    db: SqliteDb,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    guards: list[Guard] = [Mask()]
    planner = Agent(name="Planner", model=portkey_model, output_schema=Plan)
    judge = Agent(name="Judge", model=portkey_model, output_schema=Judgement)
    runner = Agent(name="Runner", model=portkey_model)
    team = Team(name="Crew", model=portkey_model, members=[planner, judge, runner])
    govern(team, runner=runner, gate=Gate(), guards=guards)
    # As a server has it that knows it from the database: by itself, and without its hooks.
    runner.team_id, runner.pre_hooks, runner.db = None, [], db
    seen = go(runner, form, SAID, session_id="s")
    assert seen.failed
    assert portkey_provider.calls == []
    kept = stored(db)
    assert WORD not in kept
    assert WITHHELD in kept
