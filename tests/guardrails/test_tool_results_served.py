"""What a server sends of a tool's result, event by event, is what the guards let go."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import product
from typing import Any

import httpx
import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.os import AgentOS
from agno.team import Team
from gathered import MASK, WORD, Mask, Whole, sent, stored

from agno_portkey import govern
from agno_portkey.guardrails import Guard
from agno_portkey.model import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall


def find() -> str:
    """Find something."""
    return f"Found the {WORD}."


async def afind() -> str:
    """The same."""
    return find()


def _runner(kind: str, model: PortkeyModel, tool: Any, name: str) -> Any:
    """Who is served: it has the tool, or its member has."""
    settings: dict[str, Any] = {
        "id": name,
        "model": model,
        "db": InMemoryDb(),  # type: ignore[no-untyped-call]
        "store_events": True,
    }
    if kind == "agents":
        return Agent(tools=[tool], **settings)
    if kind == "teams":
        return Team(members=[], tools=[tool], **settings)
    scout = Agent(id="scout", name="Scout", model=model, tools=[tool])
    return Team(members=[scout], stream_member_events=True, **settings)


def _asked(app: Any, runner: Any, **options: str) -> str:
    """The bytes that a server sends of a run of `runner`."""
    kind = "agents" if isinstance(runner, Agent) else "teams"

    async def post() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://os") as client:
            form = {"message": "Hi", "stream": "true", **options}
            return (await client.post(f"/{kind}/{runner.id}/runs", data=form)).text

    return asyncio.run(post())


def _events(answer: str) -> list[dict[str, Any]]:
    lines = [line for line in answer.splitlines() if line.startswith("data: ")]
    return [json.loads(line[6:]) for line in lines]


@pytest.mark.parametrize("background", ["false", "true"])
@pytest.mark.parametrize("governed", [True, False])
@pytest.mark.parametrize("kind", ["agents", "teams", "a member"])
def test_no_event_that_a_server_sends_holds_a_refused_result(
    kind: str,
    governed: bool,
    background: str,
    portkey_provider: EmbeddedProvider,
    portkey_model: PortkeyModel,
) -> None:
    """The guard stands in the model; nobody has put it round the tool."""
    runners: list[tuple[Any, Any, type[Guard]]] = []
    for number, (tool, guard) in enumerate(product((find, afind), (Whole, Mask))):
        model = replace(portkey_model, guards=() if governed else (guard(),))
        runner = _runner(kind, model, tool, f"runner-{number}")
        if governed:
            govern(runner, guards=[guard()])
        runners.append((runner, tool, guard))
    # One server for all: to make one takes longer than to ask it.
    served = "agents" if kind == "agents" else "teams"
    app = AgentOS(**{served: [runner for runner, *_ in runners]}, telemetry=False).get_app()
    for runner, tool, guard in runners:
        portkey_provider.reset()
        if kind == "a member":
            task = {"member_id": "scout", "task": "look"}
            portkey_provider.reply(Reply(tool_calls=[ToolCall("delegate_task_to_member", task)]))
        portkey_provider.reply(Reply(tool_calls=[ToolCall(tool.__name__, {})]))
        for _ in range(2):
            portkey_provider.reply("It was found.")
        answer = _asked(app, runner, background=background)
        done = [e for e in _events(answer) if e["event"].endswith("ToolCallCompleted")]
        results = [e["tool"]["result"] for e in done if e["tool"]["tool_name"] == tool.__name__]
        rewrites = issubclass(guard, Mask)
        assert results == [f"Found the {MASK}." if rewrites else f"[blocked by {guard.__name__}]"]
        assert WORD not in answer
        assert WORD not in sent(portkey_provider)
        assert WORD not in stored(runner.db)
