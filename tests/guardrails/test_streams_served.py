"""What teams show of their members, and what a server sends, is what the guards let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.os import AgentOS
from agno.team import Team, TeamMode
from four_forms import STREAMED
from gathered import MASK, WORD, Mask, MaskPiecewise, Piecewise, Whole, go, stored

from agno_portkey.guardrails import Passage, Rewrite
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

ANSWER = "It is warm. It is dry.\nThe bluebird sings. It is late."


class Trailing(MaskPiecewise):
    """Rewrites what only the last piece tells."""

    def inspect(self, passage: Passage) -> Rewrite | None:
        return Rewrite("(end)") if passage.text == "It is late." else None


@pytest.mark.parametrize("form", STREAMED)
@pytest.mark.parametrize("mode", [TeamMode.coordinate, TeamMode.route])
def test_members_words_are_held_as_well(
    mode: TeamMode, form: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    for guard in (Whole(), Piecewise(), Mask(), MaskPiecewise()):
        portkey_provider.reset()
        portkey_model.guards = (guard,)
        db = InMemoryDb()  # type: ignore[no-untyped-call]
        member = Agent(name="Scout", model=portkey_model, db=db, store_events=True)
        team = Team(
            members=[member],
            model=portkey_model,
            mode=mode,
            db=db,
            store_events=True,
            stream_member_events=True,
        )
        task = {"member_id": "scout", "task": "look"}
        portkey_provider.reply(Reply(tool_calls=(ToolCall("delegate_task_to_member", task),)))
        portkey_provider.reply(Reply(ANSWER, reasoning=ANSWER, chunk_size=5))
        portkey_provider.reply(Reply(ANSWER, chunk_size=5))
        seen = go(team, form)
        assert WORD not in seen.everything, guard
        assert WORD not in stored(db), guard
        if guard.rewrites:
            assert MASK in seen.text
            assert not seen.failed


def _server(runner: Any, kind: str) -> Callable[[bool], str]:
    """An AgentOS that serves `runner`; asks it, and gives back the bytes that it sends."""
    app = AgentOS(**{kind: [runner]}, telemetry=False).get_app()

    async def post(stream: bool) -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            form = {"message": "Hi", "stream": str(stream).lower()}
            return (await client.post(f"/{kind}/{runner.id}/runs", data=form)).text

    return lambda stream: asyncio.run(post(stream))


@pytest.mark.parametrize("kind", ["agents", "teams"])
def test_what_a_server_sends_holds_no_word_of_it(
    kind: str, portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    runner: Any = Agent(id="one", name="One", model=portkey_model, store_events=True)
    if kind == "teams":
        runner = Team(id="team", members=[runner], model=portkey_model, store_events=True)
    ask = _server(runner, kind)
    for stream in (True, False):
        for guard in (Whole(), Piecewise(), Mask(), MaskPiecewise()):
            portkey_provider.reset()
            portkey_model.guards = (guard,)
            if kind == "teams":
                task = {"member_id": "one", "task": "look"}
                call = ToolCall("delegate_task_to_member", task)
                portkey_provider.reply(Reply(tool_calls=(call,)))
                portkey_provider.reply(Reply(ANSWER, reasoning=ANSWER, chunk_size=3))
            portkey_provider.reply(Reply(ANSWER, reasoning=ANSWER, chunk_size=3))
            sent = ask(stream)
            assert WORD not in sent, (stream, guard)
            assert (MASK if guard.rewrites else "a secret project is named") in sent


def _events(sent: str) -> Iterator[dict[str, Any]]:
    for line in sent.splitlines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_a_server_sends_pieces_as_they_pass(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    portkey_model.guards = (MaskPiecewise(), Trailing())
    portkey_provider.reply(Reply(ANSWER, chunk_size=3))
    sent = _server(Agent(id="one", model=portkey_model), "agents")(True)
    said = [e["content"] for e in _events(sent) if e["event"] == "RunContent" and e.get("content")]
    assert said == ["It is warm. ", "It is dry.\n", f"The {MASK} sings. ", "(end)"]
