"""A run that is cancelled while a guard thinks keeps nothing that the guard had not passed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.cancel import cancel_run
from agno.team import Team
from four_forms import STREAMED
from gathered import MASK, WORD, Mask

from agno_portkey.guardrails import Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


class Thinks(Mask):
    """Thinks about the word until it is let go on."""

    inline = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def inspect(self, passage: Passage) -> Any:  # type: ignore[override]
        if WORD in passage.text:
            self.begun.set()
            await self.go_on.wait()
        return super().inspect(passage)


def _in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def _begin(runner: Any, message: str, *, stream: bool) -> None:
    options: dict[str, Any] = {"run_id": "r", "session_id": "s"}
    if stream:
        async for _ in runner.arun(message, stream=True, stream_events=True, **options):
            pass
    else:
        await runner.arun(message, **options)


async def _cancelled(runner: Any, guard: Thinks, message: str, *, stream: bool, how: str) -> None:
    task = asyncio.create_task(_begin(runner, message, stream=stream))
    await guard.begun.wait()
    if how == "task":
        task.cancel()
    else:
        await runner.acancel_run("r")
        guard.go_on.set()
    with suppress(asyncio.CancelledError):
        await task
    # The host stores a run whose task was cancelled on a task of its own.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


WHERE = {
    "model": lambda guard, model: {},
    "pre": lambda guard, model: {"pre_hooks": [guard]},
    "post": lambda guard, model: {"post_hooks": [guard]},
}


@pytest.mark.parametrize("how", ["task", "cancel_run"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["agent", "team"])
def test_a_run_cancelled_while_a_guard_thinks(
    kind: str,
    where: str,
    stream: bool,
    how: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    async def play() -> None:
        guard = Thinks()
        settings: dict[str, Any] = WHERE[where](guard, portkey_model)
        if where == "model":
            portkey_model.guards = (guard,)
        settings |= {"model": portkey_model, "db": db, "store_events": True}
        runner: Any = Agent(**settings) if kind == "agent" else Team(members=[], **settings)
        message = "Hi" if where == "post" else f"tell of {WORD}"
        await _cancelled(runner, guard, message, stream=stream, how=how)

    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    portkey_provider.reply(f"It is {WORD}.")
    asyncio.run(play())
    [session] = db.get_sessions()  # type: ignore[misc]
    [run] = session.runs  # type: ignore[union-attr]
    db.db_engine.dispose()
    assert run.run_id == "r"
    assert WORD.encode() not in _in(tmp_path)
    kept = "[withheld: Thinks had not looked at it]" if how == "task" else MASK
    assert kept.encode() in _in(tmp_path)


def test_a_guard_that_keeps_raw_or_observes_withholds_nothing(
    tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    async def play(guard: Thinks) -> None:
        db = SqliteDb(db_file=str(folder / "agno.db"))
        portkey_model.guards = () if hook else (guard,)
        asked = Agent(model=portkey_model, db=db, pre_hooks=[guard] if hook else None)
        await _cancelled(asked, guard, f"tell of {WORD}", stream=False, how="task")
        db.db_engine.dispose()

    for number, settings in enumerate(({"keep_raw": True}, {"mode": "observe"})):
        for hook in (False, True):
            folder = tmp_path / f"{number}{hook}"
            folder.mkdir()
            asyncio.run(play(Thinks(**settings)))
            assert WORD.encode() in _in(folder)
            assert b"[withheld" not in _in(folder)


@pytest.mark.parametrize("when", ["in the tool", "after the tool", "before the next call"])
@pytest.mark.parametrize("form", STREAMED)
def test_results_that_no_call_has_sent_are_not_stored_with_a_cancelled_stream(
    form: str,
    when: str,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    def find() -> str:
        """Find something."""
        if when == "in the tool":
            cancel_run("r")
        return f"Found the {WORD}."

    def note(event: Any) -> None:
        kinds.append(type(event).__name__)
        if when == "after the tool" and kinds[-1] == "ToolCallCompletedEvent":
            cancel_run("r")
        if when == "before the next call" and kinds.count("ModelRequestStartedEvent") == 2:
            cancel_run("r")

    async def play() -> None:
        async for event in asked.arun("Hi", **options):
            note(event)

    kinds: list[str] = []
    options: dict[str, Any] = {"stream": True, "stream_events": True, "run_id": "r"}
    portkey_model.guards = (Mask(),)
    portkey_provider.reply(Reply("I look. ", tool_calls=[ToolCall("find", {})] * 2))
    portkey_provider.reply(f"It is {WORD}.")
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asked = Agent(model=portkey_model, db=db, store_events=True, tools=[find])
    if form == "astream":
        asyncio.run(play())
    else:
        for event in asked.run("Hi", **options):
            note(event)
    db.db_engine.dispose()
    assert "RunCancelledEvent" in kinds
    assert b"I look." in _in(tmp_path)
    assert WORD.encode() not in _in(tmp_path)


def test_an_object_that_was_asked_about_is_withheld_leaf_by_leaf(
    tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    async def play() -> None:
        portkey_model.guards = (guard := Thinks(),)
        asked = Agent(model=portkey_model, db=db)
        about: Any = {"about": [f"all of the {WORD}"], "pages": 12}
        await _cancelled(asked, guard, about, stream=True, how="task")

    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    asyncio.run(play())
    db.db_engine.dispose()
    assert WORD.encode() not in _in(tmp_path)
    assert b"[withheld: Thinks had not looked at it]" in _in(tmp_path)
