"""A guard among a team's own tool hooks: it looks at each delegation and at what comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.team import Team
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, go
from pydantic import BaseModel

from agno_portkey.guardrails import Guard
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


class Bird(BaseModel):
    name: str


class Play:
    """A team with a guard round its tools, played once."""

    def __init__(
        self, form: str, guard: Guard, folder: Path, provider: EmbeddedProvider, model: Any
    ) -> None:
        self.form, self.guard, self.provider, self.model = form, guard, provider, model
        self.folder = folder

    def run(self, task: str, answer: Any, **settings: Any) -> Any:
        db = SqliteDb(db_file=str(self.folder / "agno.db"))
        schema = type(answer) if isinstance(answer, BaseModel) else None
        scout = Agent(id="scout", model=self.model, instructions="You scout", output_schema=schema)
        team = Team(
            members=[scout],
            model=self.model,
            instructions="You lead",
            tool_hooks=[self.guard],
            db=db,
            store_events=True,
            **settings,
        )
        name = "delegate_task_to_member"
        asked: dict[str, Any] = {"member_id": "scout", "task": task}
        if settings.get("mode") == "broadcast":
            name, asked = "delegate_task_to_members", {"task": task}
        self.provider.when("You lead", [Reply(tool_calls=(ToolCall(name, asked),)), "All done."])
        self.provider.when("You scout", answer)
        seen = go(team, self.form, "Go")
        db.db_engine.dispose()
        return seen

    @property
    def told(self) -> list[Any]:
        """What the leader reads of it."""
        return list(self.provider.calls[-1].tool_results)

    @property
    def kept(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.iterdir())


@pytest.mark.parametrize("mode", ["coordinate", "broadcast"])
@pytest.mark.parametrize("made", [Whole, Beside, Mask])
@pytest.mark.parametrize("form", FORMS)
def test_a_clean_delegation_passes(
    form: str,
    made: type[Guard],
    mode: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    play = Play(form, made(), tmp_path, portkey_provider, portkey_model)
    seen = play.run("find a heron", "It flies.", mode=mode)
    assert seen.output.content == "All done."
    assert len(portkey_provider.calls) == 3
    assert "It flies." in play.told[0]
    assert "refused" not in play.told[0]


@pytest.mark.parametrize("form", FORMS)
def test_a_task_that_names_it_is_refused_and_not_stored(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    play = Play(form, Whole(), tmp_path, portkey_provider, portkey_model)
    seen = play.run(f"find the {WORD}", "It flies.")
    assert seen.output.content == "All done."
    assert len(portkey_provider.calls) == 2
    said = "delegate_task_to_member was refused: a secret project is named"
    assert play.told == [said]
    assert WORD.encode() not in play.kept
    assert b"[blocked by Whole]" in play.kept


@pytest.mark.parametrize("made", [Whole, Beside])
@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_names_it_reaches_nobody(
    form: str,
    made: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    play = Play(form, made(), tmp_path, portkey_provider, portkey_model)
    seen = play.run("find it", f"It is the {WORD}.", stream_member_events=True)
    assert seen.output.content == "All done."
    assert play.told == [
        "delegate_task_to_member gave a result that was refused: a secret project is named"
    ]
    assert WORD not in seen.everything
    assert WORD.encode() not in play.kept


@pytest.mark.parametrize("answer", [f"It is the {WORD}.", Bird(name=WORD)], ids=["text", "object"])
@pytest.mark.parametrize("form", FORMS)
def test_tasks_and_answers_are_rewritten(
    form: str,
    answer: Any,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    play = Play(form, Mask(), tmp_path, portkey_provider, portkey_model)
    seen = play.run(f"find the {WORD}", answer, stream_member_events=True)
    assert MASK in play.told[0]
    assert WORD not in play.told[0]
    task = play.provider.calls[1].messages[-1]["content"]
    assert f"find the {MASK}" in task
    assert WORD not in task
    assert f"find the {WORD}".encode() not in play.kept
    if isinstance(answer, str):
        assert answer not in seen.everything
        assert WORD.encode() not in play.kept
