"""What a run was asked that ended, for whatever reason, before its guards were asked."""

from __future__ import annotations

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.team import Team
from four_forms import FORMS
from gathered import MASK, WORD, Mask, go, stored

from agno_portkey import Gate, Policy, PortkeyModel, govern
from agno_portkey.contracts import Judgement, Plan
from agno_portkey.secrets import EnvironmentSecrets, Secret
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall

SAID = f"tell of {WORD}"
WITHHELD = "[withheld: Mask had not looked at it]"
EACH_FORM = pytest.mark.parametrize("form", FORMS)
NOT_ALLOWED = Policy(models={"everyone": ["o3"], "mode": "observe"})


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


@EACH_FORM
def test_of_who_may_not_ask_the_model(
    form: str,
    db: InMemoryDb,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    role = Agent(name="Role", model=portkey_model, db=db)
    govern(role, guards=[Mask()], policy=NOT_ALLOWED)
    monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "enforce")
    assert go(role, form, SAID, session_id="s").failed
    assert portkey_provider.calls == []
    kept = stored(db)
    assert WORD not in kept
    assert WITHHELD in kept


@EACH_FORM
def test_what_a_tool_gave_back_before_the_model_was_not_allowed(
    form: str,
    db: InMemoryDb,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the guards have seen by then stays as they left it."""

    def look(what: str) -> str:
        """Look something up."""
        monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "enforce")
        return f"found {what} of {WORD}"

    portkey_provider.reply(Reply(tool_calls=[ToolCall("look", {"what": "it"})]))
    role = Agent(name="Role", model=portkey_model, db=db, tools=[look])
    govern(role, guards=[Mask()], policy=NOT_ALLOWED)
    assert go(role, form, SAID, session_id="s").failed
    kept = stored(db)
    assert f"tell of {MASK}" in kept
    assert WITHHELD in kept
    assert WORD not in kept


@EACH_FORM
def test_of_a_leader_whose_run_the_gate_does_not_know(
    form: str, db: InMemoryDb, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    planner = Agent(name="Planner", model=portkey_model, output_schema=Plan)
    judge = Agent(name="Judge", model=portkey_model, output_schema=Judgement)
    runner = Agent(name="Runner", model=portkey_model)
    team = Team(name="Crew", model=portkey_model, members=[planner, judge, runner], db=db)
    govern(team, runner=runner, gate=Gate(), guards=[Mask()])
    # As it comes from a database: without its hooks.
    team.pre_hooks, team.post_hooks = [], []
    assert go(team, form, SAID, session_id="s").failed
    assert portkey_provider.calls == []
    kept = stored(db)
    assert WORD not in kept
    assert WITHHELD in kept


@EACH_FORM
def test_where_nobody_can_say_whom_a_call_would_ask(
    form: str,
    db: InMemoryDb,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that is none of a guard's, contract's or gate's."""
    monkeypatch.setenv("SLUG", "openai")
    slug = Secret("SLUG", EnvironmentSecrets(), ttl=0, grace=0)
    model = PortkeyModel(base_url=portkey_provider.url, portkey_provider=slug, profile="hosted")
    role = Agent(name="Role", model=model, db=db)
    govern(role, guards=[Mask()], policy=NOT_ALLOWED)
    monkeypatch.delenv("SLUG")
    assert go(role, form, SAID, session_id="s").failed
    assert portkey_provider.calls == []
    kept = stored(db)
    assert WORD not in kept
    assert WITHHELD in kept


@EACH_FORM
def test_what_the_guards_were_asked_about_stays_as_they_left_it(
    form: str, db: InMemoryDb, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_provider.fault(Fault.status(400), times=None)
    role = Agent(name="Role", model=portkey_model, db=db)
    govern(role, guards=[Mask()])
    assert go(role, form, SAID, session_id="s").failed
    kept = stored(db)
    assert f"tell of {MASK}" in kept
    assert WITHHELD not in kept
    assert WORD not in kept
