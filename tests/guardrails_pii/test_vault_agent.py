"""A real agent through the real gateway, before and after a restart, and once forgotten."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from agno.agent import Agent
from agno.db.base import SessionType
from agno.db.sqlite import SqliteDb
from agno.session import AgentSession
from vault_records import ALICE
from vault_sessions import KEY

from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.stored import vaulted
from agno_portkey.guardrails.pii.vaults import Vaults
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply


class Pseudonyms(Guard):
    """What the guard of this package will do, in little."""

    rewrites = True
    stream = "whole"

    def __init__(self, vaults: Vaults) -> None:
        super().__init__(keep_raw=True)
        self._vaults = vaults

    def inspect(self, passage: Passage) -> Rewrite:
        vault = self._vaults.of(passage.scene.session_id, passage.scene.user_id)
        if passage.direction == "output":
            return Rewrite(vault.show(passage.text), "shown")
        at = passage.text.find(ALICE)
        spans = [] if at < 0 else [Span(at, at + len(ALICE), "PERSON", 1.0)]
        return Rewrite(vault.hide(passage.text, spans), "hidden")


@pytest.fixture
def host(portkey_model: PortkeyModel, tmp_path: Path) -> Callable[[Vaults], Agent]:
    def make(vaults: Vaults) -> Agent:
        model = copy.copy(portkey_model)
        model.guards = [Pseudonyms(vaults)]
        db = vaulted(SqliteDb(db_file=str(tmp_path / "agno.db")), vaults)
        return Agent(model=model, db=db, add_history_to_context=True, num_history_runs=5)

    return make


def test_an_agent_and_its_history(
    host: Callable[[Vaults], Agent], portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    def vaults() -> Vaults:
        return Vaults(str(tmp_path / "vaults.db"), keys=[KEY], timeout=30)

    portkey_provider.reply(Reply("Hello &lt;PERSON_1&gt;, <PERSON_2>"))
    portkey_provider.reply(Reply("Again, PERSON_1"))
    first = host(vaults())
    run = first.run(f"I am {ALICE}", session_id="one", user_id="ann")
    assert run.content == f"Hello {ALICE}, <PERSON_2>"
    # After a restart, with the key.
    agent = host(vaults())
    run = agent.run("and who am I? <PERSON_1>", session_id="one", user_id="ann")
    assert run.content == f"Again, {ALICE}"
    assert [m.content for m in run.messages or []] == [
        f"I am {ALICE}",
        f"Hello {ALICE}, <PERSON_2>",
        "and who am I? <PERSON_1>",
        f"Again, {ALICE}",
    ]
    for request in portkey_provider.requests:
        assert "Alice" not in json.dumps(request.body)
    sent = [m["content"] for m in portkey_provider.requests[-1].body["messages"]]
    assert sent == [
        "I am <PERSON_1>",
        "Hello <PERSON_1>, <LITERAL_1>",
        "and who am I? <LITERAL_2>",
    ]
    for file in tmp_path.iterdir():
        assert b"Alice" not in file.read_bytes(), file
    # Another session of another user reads nothing of it.
    stored = SqliteDb(db_file=str(tmp_path / "agno.db")).get_session("one", SessionType.AGENT)
    assert isinstance(stored, AgentSession)
    [said, *_] = [m.content for m in (stored.runs or [])[0].messages or []]
    portkey_provider.reply(Reply("I can't tell"))
    run = agent.run(f"what is {said}", session_id="two", user_id="ben")
    assert "Alice" not in json.dumps(run.to_dict(), default=str)
    assert agent.get_session("two", user_id="ben").runs[0].input.input_content == f"what is {said}"
    # And nobody, once it is forgotten.
    last = vaults()
    assert last.forget("one") == 1
    history = host(last).get_session("one", user_id="ann")
    assert history is not None
    assert "Alice" not in json.dumps(history.to_dict(), default=str)
    assert said in json.dumps(history.to_dict(), default=str)
