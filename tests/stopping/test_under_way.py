"""A stop from another process reaches an agent in the midst of a run of many calls and tools."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from agno_portkey.routing.local import LocalGateway
from agno_portkey.stopping import StopSwitch
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

# Seconds after a stop in which a call may still begin.
LATEST = 1.0

# One streamed run that never ends by itself; a line with the time at each call of its tool.
DESK = """
import asyncio, sys, time
from agno.agent import Agent
from agno_portkey import PortkeyModel, govern

gateway, provider, form = sys.argv[1:]

def look(place: str) -> str:
    "Look somewhere."
    print("looked", time.monotonic(), flush=True)
    return "nothing"

model = PortkeyModel(
    base_url=gateway, portkey_provider="openai", api_key="k", custom_host=provider
)
desk = govern(Agent(name="Desk", model=model, tools=[look]))

async def astream():
    return [event async for event in desk.arun("Go on", stream=True, stream_events=True)]

def stream():
    return [*desk.run("Go on", stream=True, stream_events=True)]

events = stream() if form == "stream" else asyncio.run(astream())
print("ended", type(events[-1]).__name__, events[-1].content, flush=True)
"""


@pytest.mark.parametrize("form", ["stream", "astream"])
def test_no_call_begins_later_than_a_second_after_a_stop(
    form: str,
    database: str,
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = Reply("Once more.", tool_calls=(ToolCall("look", {"place": "there"}),))
    portkey_provider.when(lambda request: True, lambda request: again)
    monkeypatch.setenv("AGNO_PORTKEY_DATABASE_URL", database)
    command = [sys.executable, "-c", DESK, portkey_gateway.url, portkey_provider.url, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as desk:
        assert desk.stdout is not None
        looked: list[float] = []
        stopped = last = None
        try:
            for line in desk.stdout:
                said, _, last = line.strip().partition(" ")
                if said == "ended":
                    break
                if said == "looked":
                    looked.append(float(last))
                if stopped is None and len(looked) == 3:
                    StopSwitch(database).stop("Desk", reason="enough")
                    stopped = time.monotonic()
        finally:
            desk.kill()
    assert stopped is not None
    assert str(last).startswith("RunErrorEvent the swarm Desk is stopped")
    # Each but the last was followed by a call, and that by the next tool.
    assert [at for at in looked[:-1] if at > stopped + LATEST] == []
