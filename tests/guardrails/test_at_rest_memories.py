"""A memory keeps beside itself what was said; none of it is what a guard blocked or rewrote."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import AsyncSqliteDb, SqliteDb
from agno.models.message import Message
from agno.team import Team
from four_forms import FORMS
from gathered import MASK, WORD, Mask, Whole, go, sent

from agno_portkey.govern import govern
from agno_portkey.guardrails import Guard, Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall
from agno_portkey.testing.requests import Request

KINDS = ("agent", "team")


def _script(provider: EmbeddedProvider, *, agentic: bool = False) -> None:
    """The manager notes one memory and changes it; an agentic agent asks it to."""
    noted: list[str] = []

    def answer(request: Request) -> Any:
        if "Memory Manager" in request.system:
            if not noted:
                noted.append("added")
                return Reply(tool_calls=(ToolCall("add_memory", {"memory": "likes birds"}),))
            return "Noted."
        if agentic and not request.tool_results:
            task = {"task": f"Remember the {WORD}."}
            return Reply(tool_calls=(ToolCall("update_user_memory", task),))
        return "Well then."

    provider.when(lambda request: True, answer)


def _made(kind: str, db: Any, model: PortkeyModel, **settings: Any) -> Any:
    if kind == "agent":
        return Agent(model=model, db=db, **settings)
    return Team(members=[Agent(name="Scout", model=model)], model=model, db=db, **settings)


def _in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["update_memory_on_run", "enable_agentic_memory"])
def test_what_a_memory_was_made_of_is_kept_as_it_was_sent(
    how: str,
    form: str,
    kind: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    agentic = how == "enable_agentic_memory"
    _script(portkey_provider, agentic=agentic)
    # What only looks at the way in leaves the leader's own words as they are.
    portkey_model.guards = (Mask(on="input"),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = _made(kind, db, portkey_model, **{how: True})
    message = "Hi" if agentic else f"tell of {WORD}"
    assert not go(asked, form, message, user_id="u").failed
    [memory] = db.get_user_memories()
    assert memory.memory == "likes birds"  # type: ignore[union-attr]
    said = f"Remember the {MASK}." if agentic else f"tell of {MASK}"
    assert memory.input == said  # type: ignore[union-attr]
    db.db_engine.dispose()
    assert WORD not in sent(portkey_provider)
    if not agentic:
        assert WORD.encode() not in _in(tmp_path)


def test_the_same_in_a_database_that_is_awaited(
    tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    portkey_model.guards = (Mask(),)
    asyncio.run(_awaited(tmp_path, portkey_model))
    with closing(sqlite3.connect(tmp_path / "agno.db")) as database:
        kept = database.execute("select input from agno_memories").fetchall()
    assert kept == [(f"tell of {MASK}",)]
    assert WORD.encode() not in _in(tmp_path)


async def _awaited(folder: Path, model: PortkeyModel) -> None:
    db = AsyncSqliteDb(db_file=str(folder / "agno.db"))
    try:
        await db._create_all_tables()  # type: ignore[no-untyped-call]  # else the host has none
        asked = Agent(model=model, db=db, update_memory_on_run=True)
        await asked.arun(f"tell of {WORD}", user_id="u")
    finally:
        await db.db_engine.dispose()


@pytest.mark.parametrize("form", ["run", "astream"])
def test_govern_gives_the_same_to_a_manager_of_the_users_own(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = govern(Agent(model=portkey_model, db=db, update_memory_on_run=True), guards=[Mask()])
    assert not go(asked, form, f"tell of {WORD}", user_id="u").failed
    assert len(db.get_user_memories()) == 1
    db.db_engine.dispose()
    assert WORD.encode() not in _in(tmp_path)


class Short(Guard):
    """Replaces a number that is too short to be looked for within other texts."""

    inline, rewrites = True, True

    def inspect(self, passage: Passage) -> Rewrite | None:
        return Rewrite("<pin>") if passage.text == "4711" else None


@pytest.mark.parametrize("form", ["run", "arun"])
def test_several_messages_are_kept_each_as_it_was_sent(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    portkey_model.guards = (Short(), Mask())
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = Agent(model=portkey_model, db=db, update_memory_on_run=True)
    said = [Message(role="user", content=text) for text in ("4711", f"Of {WORD}")]
    assert not go(asked, form, said, user_id="u").failed
    [memory] = db.get_user_memories()
    assert memory.input == f"<pin>, Of {MASK}"  # type: ignore[union-attr]


@pytest.mark.parametrize("form", FORMS)
def test_of_what_was_blocked_there_is_no_memory(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    portkey_model.guards = (Whole(),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = Agent(model=portkey_model, db=db, update_memory_on_run=True)
    assert go(asked, form, f"tell of {WORD}", user_id="u").failed
    assert db.get_user_memories() == []
    db.db_engine.dispose()
    assert WORD.encode() not in _in(tmp_path)


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_guard_that_keeps_raw_leaves_a_memorys_input(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _script(portkey_provider)
    portkey_model.guards = (Mask(keep_raw=True),)
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = Agent(model=portkey_model, db=db, update_memory_on_run=True)
    assert not go(asked, form, f"tell of {WORD}", user_id="u").failed
    [memory] = db.get_user_memories()
    assert memory.input == f"tell of {WORD}"  # type: ignore[union-attr]
    assert WORD not in sent(portkey_provider)
