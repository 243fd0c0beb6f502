"""One asking in the matrix: who is asked what, where, and what of it the asker sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from agno.agent import Agent
from agno.os import AgentOS
from agno.team import Team

from agno_portkey import PortkeyModel

__all__ = [
    "SESSION",
    "STREAM",
    "Asked",
    "Host",
    "Seen",
    "collect",
    "ending",
    "of_events",
    "of_output",
    "status_of",
]

SESSION = "s"


@dataclass
class Seen:
    """What whoever asked got to see: all of it as text, and how the run ended."""

    shown: str
    status: str
    # Where else a run says how it ended: what is printed need not tell.
    record: str = ""


class Host:
    """What cells share, since it is slow to make: an event loop, and an AgentOS."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._os: AgentOS | None = None
        self._client: httpx.AsyncClient | None = None

    def wait(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def close(self) -> None:
        if self._client is not None:
            self.wait(self._client.aclose())
        self.wait(self.loop.shutdown_asyncgens())
        self.loop.close()

    def serve(self, owner: Agent | Team, *, background: bool) -> httpx.AsyncClient:
        """A client of an AgentOS that serves `owner` and nothing else."""
        if self._os is None or self._client is None:
            agent, team = Agent(id="nobody"), Team(id="nobodies", members=[])
            self._os = AgentOS(agents=[agent], teams=[team], telemetry=False)
            app = self._os.get_app()
            # A hook in the background raises when the answer is out.
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            self._client = httpx.AsyncClient(transport=transport, base_url="http://os")
        is_team = isinstance(owner, Team)
        self._os.agents[:] = [] if is_team else [owner]
        self._os.teams[:] = [owner] if is_team else []
        self._os.run_hooks_in_background = background
        self._os._initialize_agents()
        self._os._initialize_teams()
        return self._client


@dataclass
class Asked:
    """One asking: `owner` is asked `text`, after what has to come before."""

    host: Host
    model: PortkeyModel
    owner: Agent | Team
    text: str
    background: bool = False
    options: dict[str, Any] = field(default_factory=lambda: {"session_id": SESSION})


# What came back


def of_output(output: Any) -> Seen:
    return Seen(json.dumps(output.to_dict(), default=str), status_of(output.status))


def status_of(status: Any) -> str:
    return str(getattr(status, "value", status))


def of_events(asked: Asked, events: Iterable[Any]) -> Seen:
    all_of_them = [*events]
    shown = "\n".join(json.dumps(event.to_dict(), default=str) for event in all_of_them)
    is_team = isinstance(asked.owner, Team)
    kind, owner_id = ("team_id", asked.owner.id) if is_team else ("agent_id", asked.owner.id)
    kinds = [type(e).__name__ for e in all_of_them if getattr(e, kind, None) == owner_id]
    return Seen(shown, ending(kinds))


def ending(kinds: Iterable[str]) -> str:
    """How a stream ended, from the names of the events of its owner's run."""
    ends = {"Error": "ERROR", "Completed": "COMPLETED", "Cancelled": "CANCELLED"}
    found = [
        status
        for name in kinds
        for word, status in ends.items()
        if name.removesuffix("Event") in (f"Run{word}", f"TeamRun{word}")
    ]
    return "+".join(dict.fromkeys(found)) or "NO END"


async def collect(events: Any) -> list[Any]:
    return [event async for event in events]


STREAM: dict[str, Any] = {"stream": True, "stream_events": True}
