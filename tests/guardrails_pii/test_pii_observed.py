"""Where personal data is only observed, or not looked at, what is stored stays as it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.base import BaseDb
from agno.db.in_memory import InMemoryDb
from agno.db.sqlite import SqliteDb
from cryptography.fernet import Fernet
from four_forms import FORMS, play
from vault_sessions import held

from agno_portkey import govern
from agno_portkey.guardrails.pii import Analyzer, PIIGuardrail, Vaults
from agno_portkey.guardrails.pii.vault_store import MemoryStore
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event

ASKED = "I am Maria Garcia"


def agent(folder: Path, model: PortkeyModel, guard: PIIGuardrail) -> Agent:
    db = SqliteDb(db_file=str(folder / "agno.db"))
    return govern(Agent(name="A", model=model, db=db, add_history_to_context=True), pii=guard)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("said", ["observe", "off", "observe by variable", "off by variable"])
def test_nothing_is_hidden_in_the_database_while_it_is_only_observed(
    form: Any,
    said: str,
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mode, _, variable = said.partition(" by ")
    if variable:
        monkeypatch.setenv("AGNO_PORTKEY_GUARDS_MODE", mode)
    enforcement: Any = "enforce" if variable else mode
    portkey_provider.when(lambda request: True, "Noted.")
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer, enforcement=enforcement)
    play(agent(tmp_path, portkey_model, guard), form, ASKED, session_id="s")
    assert b"Maria Garcia" in held(tmp_path)
    assert b"<PERSON_" not in held(tmp_path)
    assert "behind placeholders" not in caplog.text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("session", ["s", None])
@pytest.mark.parametrize("variable", [False, True], ids=["setting", "variable"])
def test_an_observing_guard_tells_of_values_and_keeps_none(
    form: Any,
    session: str | None,
    variable: bool,
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Event] = []
    if variable:
        monkeypatch.setenv("AGNO_PORTKEY_GUARDS_MODE", "observe")
    store = MemoryStore(10)
    portkey_model.guards = (
        PIIGuardrail(
            "pseudonymize",
            analyzer=analyzer,
            vaults=Vaults(store, keys=[Fernet.generate_key()]),
            enforcement="enforce" if variable else "observe",
            observers=[heard.append],
        ),
    )
    # Whatever was hidden in a session of that name before, nothing of it is opened now.
    portkey_provider.when(lambda request: True, "Hello <PERSON_1>.")
    ended = play(Agent(model=portkey_model), form, ASKED, session_id=session)
    assert "<PERSON_1>" in f"{ended.content}{ended.text_shown}"
    assert "Maria Garcia" in str(portkey_provider.requests[-1].body)
    assert [*store.marks()] == []
    [told] = [event for event in heard if event.data["rewritten"]]
    [found] = told.verdict.evidence["found"]
    assert found["types"] == {"PERSON": 1}
    assert found["as"] == "rewrite"


def test_what_was_hidden_before_is_still_restored(
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portkey_provider.when(lambda request: True, "Noted.")
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[Fernet.generate_key()])
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer, vaults=vaults)
    asked = agent(tmp_path, portkey_model, guard)
    asked.run(ASKED, session_id="s")
    assert b"Garcia" not in held(tmp_path)
    monkeypatch.setenv("AGNO_PORTKEY_GUARDS_MODE", "observe")
    session = asked.get_session(session_id="s")
    assert session is not None
    assert "Maria Garcia" in str(session.to_dict())
    asked.run("Who am I?", session_id="s")
    assert "Maria Garcia" in str(portkey_provider.requests[-1].body)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = (record.getMessage() for record in caplog.records)
    return [each for each in told if "behind placeholders" in each]


def test_vaults_that_end_with_the_process_are_told_of_once(
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    with caplog.at_level(logging.WARNING, "agno_portkey"):
        for _ in range(2):
            agent(tmp_path, portkey_model, guard)
    [told] = warnings_of(caplog)
    assert "SqliteDb" in told
    assert "restart" in told
    assert "vaults=Vaults(database=..., keys=[...])" in told
    assert "vaults: <address>" in told


@pytest.mark.parametrize("db", [InMemoryDb(), SqliteDb(db_url="sqlite:///:memory:"), None])
def test_what_ends_with_the_process_may_lose_them(
    db: BaseDb | None,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = PIIGuardrail("pseudonymize", analyzer=analyzer)
    govern(Agent(name="A", model=portkey_model, db=db), pii=guard)
    assert warnings_of(caplog) == []


def test_vaults_in_a_database_are_not_told_of(
    tmp_path: Path,
    analyzer: Analyzer,
    portkey_model: PortkeyModel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    vaults = Vaults(str(tmp_path / "vaults.db"), keys=[Fernet.generate_key()])
    agent(
        tmp_path,
        portkey_model,
        PIIGuardrail("pseudonymize", analyzer=analyzer, vaults=vaults),
    )
    assert warnings_of(caplog) == []
