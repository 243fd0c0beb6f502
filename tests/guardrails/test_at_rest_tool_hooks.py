"""What a guard in `tool_hooks` refused or rewrote is stored nowhere, whoever has asked for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.team import Team
from agno.tools import tool
from four_forms import FORMS
from gathered import MASK, WORD, Beside, Mask, Whole, go, sent

from agno_portkey.guardrails import Block, Guard, Passage
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

ARGUMENTS = {"word": f"a {WORD} here", "deep": [{"words": [WORD]}]}
# A team's own delegation, and the call of its member.
OWNERS = ("agent", "tool", "team", "member")


@dataclass
class Foreign(Model):
    """A model of another kind: asks for the calls one after the other, then ends."""

    id: str = "foreign"
    calls: list[ToolCall] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def _next(self, messages: list[Message]) -> ModelResponse:
        self.heard.append(json.dumps([message.to_dict() for message in messages], default=str))
        if not self.calls:
            return ModelResponse(role="assistant", content="Well.")
        call = self.calls.pop(0)
        function = {"name": call.name, "arguments": call.arguments_json}
        asked = {"id": f"call_{len(self.heard)}", "type": "function", "function": function}
        return ModelResponse(role="assistant", tool_calls=[asked])

    def invoke(self, *args: Any, **options: Any) -> ModelResponse:
        return self._next(options["messages"])

    async def ainvoke(self, *args: Any, **options: Any) -> ModelResponse:
        return self._next(options["messages"])

    def invoke_stream(self, *args: Any, **options: Any) -> Iterator[ModelResponse]:
        yield self._next(options["messages"])

    async def ainvoke_stream(self, *args: Any, **options: Any) -> AsyncIterator[ModelResponse]:
        yield self._next(options["messages"])

    def _parse_provider_response(self, response: Any, **options: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


def find(word: str = "", deep: Any = None) -> str:
    """Find something."""
    return "found"


async def afind(word: str = "", deep: Any = None) -> str:
    """The same; the host has plain functions on a thread, which nobody can cancel."""
    return find(word, deep)


def _owner(kind: str, model: Any, hook: Any, db: SqliteDb) -> tuple[Any, list[ToolCall]]:
    settings: dict[str, Any] = {"model": model, "db": db, "store_events": True}
    call = ToolCall("find", ARGUMENTS)
    if kind == "agent":
        return Agent(tools=[find], tool_hooks=[hook], **settings), [call]
    if kind == "tool":
        return Agent(tools=[tool(tool_hooks=[hook])(find)], **settings), [call]
    settings |= {"store_member_responses": True, "stream_member_events": True}
    if kind == "team":
        task = {"member_id": "scout", "task": f"find the {WORD}"}
        scout = Agent(name="Scout", model=model)
        team = Team(members=[scout], tool_hooks=[hook], **settings)
        return team, [ToolCall("delegate_task_to_member", task)]
    scout = Agent(name="Scout", model=model, tools=[find], tool_hooks=[hook])
    task = {"member_id": "scout", "task": "go"}
    return Team(members=[scout], **settings), [ToolCall("delegate_task_to_member", task), call]


def _played(
    kind: str, form: str, hook: Any, folder: Path, model: Any, provider: EmbeddedProvider
) -> bytes:
    """All that is in the database's file after a run."""
    db = SqliteDb(db_file=str(folder / "agno.db"))
    owner, calls = _owner(kind, model, hook, db)
    if isinstance(model, Foreign):
        model.calls.extend(calls)
    else:
        for call in calls:
            provider.reply(Reply(tool_calls=(call,)))
        provider.reply("Well.")
    go(owner, form)
    db.db_engine.dispose()
    return _bytes(folder)


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("made", [Whole, Beside, Mask])
@pytest.mark.parametrize("kind", OWNERS)
@pytest.mark.parametrize("form", FORMS)
def test_arguments_that_a_tool_hook_did_not_let_through(
    form: str,
    kind: str,
    made: type[Guard],
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    instead = MASK if made is Mask else f"[blocked by {made.__name__}]"
    models: list[Any] = [portkey_model, Foreign()]
    for model in models:
        folder = tmp_path / model.id
        folder.mkdir()
        kept = _played(kind, form, made(), folder, model, portkey_provider)
        assert instead.encode() in kept, model.id
        assert WORD.encode() not in kept, model.id


@pytest.mark.parametrize("form", FORMS)
def test_what_was_refused_is_not_sent_to_the_model_again(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    _played("agent", form, Whole(), tmp_path, portkey_model, portkey_provider)
    _played("agent", form, Whole(), tmp_path, foreign := Foreign(), portkey_provider)
    for said in (sent(portkey_provider), foreign.heard[-1]):
        assert "find was refused: a secret project is named" in said
        assert WORD not in said


@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_may_keep_or_only_observes_is_stored_as_it_was(
    form: str, tmp_path: Path, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for hook in (Whole(keep_raw=True), Mask(keep_raw=True), Whole(mode="observe")):
        models: list[Any] = [portkey_model, Foreign()]
        for model in models:
            kept = _played("agent", form, hook, tmp_path, model, portkey_provider)
            assert WORD.encode() in kept
            for path in tmp_path.iterdir():
                path.unlink()


def test_words_that_no_call_holds_are_left_for_the_model(
    tmp_path: Path, portkey_provider: EmbeddedProvider
) -> None:
    """It is told why its call was refused, and can still read what it was asked."""
    model = Foreign(calls=[ToolCall("find", {"word": WORD})])
    go(Agent(model=model, tools=[find], tool_hooks=[Whole()]), "run", f"Find the {WORD}.")
    assert f"Find the {WORD}." in model.heard[-1]
    assert "[blocked by Whole]" in model.heard[-1]


class Slow(Guard):
    """Does not come to a verdict before it is cancelled."""

    timeout = 60.0

    async def inspect(self, passage: Passage) -> Block | None:  # type: ignore[override]
        if passage.direction == "input":
            _asked.set()
            await asyncio.Event().wait()
        return None


_asked: asyncio.Event


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("ours", [False, True], ids=["foreign", "ours"])
async def test_arguments_that_nobody_had_looked_at_when_a_run_was_cancelled(
    ours: bool,
    raw: bool,
    tmp_path: Path,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    global _asked
    _asked = asyncio.Event()
    portkey_provider.reply(Reply(tool_calls=(ToolCall("afind", ARGUMENTS),)))
    model: Any = portkey_model if ours else Foreign(calls=[ToolCall("afind", ARGUMENTS)])
    db = SqliteDb(db_file=str(tmp_path / "agno.db"))
    hook = Slow(keep_raw=raw)
    agent = Agent(model=model, db=db, tools=[afind], tool_hooks=[hook])
    task = asyncio.create_task(agent.arun("Hi"))  # type: ignore[arg-type]
    await _asked.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # The host stores it on a task of its own.
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    db.db_engine.dispose()
    kept = _bytes(tmp_path)
    assert (WORD.encode() in kept) is raw
    assert (b"[withheld: Slow had not looked at it]" in kept) is not raw
