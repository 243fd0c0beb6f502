"""A team that is refused after its member has answered ends with the refusal as its content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.team import Team
from four_forms import FORMS
from gathered import WORD, Whole, go

from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails import raise_on_block
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


@pytest.mark.parametrize("words", ["", "I ask the scout. "])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_stored_of_a_refused_team_is_the_refusal(
    form: str,
    words: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    scout = Agent(id="scout", model=replace(portkey_model), instructions="You scout")
    portkey_model.guards = (Whole(),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    team = Team(id="desk", members=[scout], model=portkey_model, instructions="You lead", db=db)
    task = ToolCall("delegate_task_to_member", {"member_id": "scout", "task": "go"})
    portkey_provider.when("You scout", f"It is {WORD}.")
    portkey_provider.when("You lead", [Reply(words, tool_calls=(task,)), "All done."])
    assert go(team, form, "Hi").failed
    [session] = db.get_sessions()  # type: ignore[misc]
    [run] = [r for r in session.runs if getattr(r, "team_id", None)]  # type: ignore[union-attr]
    db.db_engine.dispose()
    assert run.content == "a secret project is named"
    assert WORD.encode() not in (tmp_path / "agno.db").read_bytes()
    with pytest.raises(InputBlocked, match="a secret project is named"):
        raise_on_block(run)
