"""One asking in the matrix: who is asked what, where, and what of it the asker sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from agno.agent import Agent
from agno.os import AgentOS
from agno.team import Team
from agno.workflow import Workflow
from fastapi import BackgroundTasks

from agno_portkey import PortkeyModel

__all__ = [
    "SESSION",
    "STREAM",
    "Asked",
    "Host",
    "Seen",
    "collect",
    "ending",
    "is_of",
    "of_error",
    "of_events",
    "of_output",
    "status_of",
]

SESSION = "s"


@dataclass
class Seen:
    """What whoever asked got to see: all of it as text, and how the run ended.

    `runs`: the run that was asked for, as its output or as its events up to the last one; empty if
    nothing of it came back. `around`: how the run ended within which it was asked for, if it was.
    """

    shown: str
    status: str
    runs: Sequence[Any] = ()
    around: str | None = None

    @property
    def last(self) -> Any:
        """What says how the run ended."""
        return self.runs[-1] if self.runs else None


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
    """One asking: `owner` is asked `text`, after what has to come before.

    `flow`: the workflow that has it as its only step, where one is asked. `background`: its hooks
    are to run when the answer is out, with the server's tasks, or with those of the caller.
    """

    host: Host
    model: PortkeyModel
    owner: Agent | Team
    text: str
    flow: Workflow | None = None
    background: bool = False
    tasks: BackgroundTasks | None = None

    @property
    def options(self) -> dict[str, Any]:
        tasks = {} if self.tasks is None else {"background_tasks": self.tasks}
        return {"session_id": SESSION, **tasks}

    def finish(self) -> None:
        """Run what was left for when the answer is out; what it raises, nobody hears."""
        for task in self.tasks.tasks if self.tasks is not None else ():
            with suppress(Exception):
                self.host.wait(task())


# What came back


def of_output(output: Any) -> Seen:
    return Seen(json.dumps(output.to_dict(), default=str), status_of(output.status), [output])


def of_error(error: Exception) -> Seen:
    """What is seen where the asking itself raises."""
    return Seen(str(error), "ERROR", [error])


def status_of(status: Any) -> str:
    return str(getattr(status, "value", status))


def of_events(asked: Asked, events: Iterable[Any]) -> Seen:
    all_of_them = [*events]
    shown = "\n".join(json.dumps(event.to_dict(), default=str) for event in all_of_them)
    # A team's stream has its members' events among its own.
    own = [each for each in all_of_them if is_of(asked.owner, each)]
    others = [each for each in all_of_them if not is_of(asked.owner, each)]
    return Seen(shown, ending(type(each).__name__ for each in own), [*others, *own])


def is_of(owner: Agent | Team, run: Any) -> bool:
    """Whether `run`, an output or an event, is of `owner` itself, or of the server, for it."""
    kind = "team_id" if isinstance(owner, Team) else "agent_id"
    return getattr(run, kind, None) in (owner.id, "")


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
