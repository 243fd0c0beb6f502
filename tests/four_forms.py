"""The four ways to run an agent or ask a model, each brought to the same result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.message import Message
from agno.run.agent import RunCompletedEvent, RunContentEvent, RunErrorEvent, RunOutput
from agno.run.base import RunStatus

FORMS = ("run", "arun", "stream", "astream")
STREAMED = ("stream", "astream")


@dataclass(frozen=True)
class Ended:
    """How a run ended. A stream that fails has no output; its one `RunErrorEvent` tells why."""

    output: RunOutput | None
    shown: Sequence[Any] = ()
    errors: Sequence[RunErrorEvent] = ()
    completed: int = 0

    @property
    def status(self) -> RunStatus:
        if self.output is not None:
            return self.output.status
        assert len(self.errors) == 1, f"{len(self.errors)} errors in one stream"
        assert self.completed == 0, "a stream said both that it failed and that it completed"
        return RunStatus.error

    @property
    def content(self) -> Any:
        return self.output.content if self.output is not None else self.errors[0].content

    @property
    def text_shown(self) -> str:
        return "".join(part for part in self.shown if isinstance(part, str))


def play(agent: Agent, form: str, message: str = "Hi", **options: Any) -> Ended:
    """Run `agent` in one of the four forms; the async ones get an event loop of their own."""
    match form:
        case "run":
            return Ended(agent.run(message, **options))
        case "arun":
            return Ended(asyncio.run(_whole(agent, message, options)))
        case "stream":
            return _ended(list(agent.run(message, **_streamed(options))))
        case _:
            return _ended(asyncio.run(_collected(agent, message, options)))


def ask(model: Model, form: str, message: str = "Hi", **options: Any) -> list[Any]:
    """Ask `model` as the host does, below an agent; what it raises comes through."""
    options = {"messages": [Message(role="user", content=message)], **options}
    match form:
        case "run":
            return [model.response(**options)]
        case "arun":
            return [asyncio.run(model.aresponse(**options))]
        case "stream":
            return list(model.response_stream(**options))
        case _:
            return asyncio.run(_asked(model, options))


async def _asked(model: Model, options: dict[str, Any]) -> list[Any]:
    return [delta async for delta in model.aresponse_stream(**options)]


async def _whole(agent: Agent, message: str, options: dict[str, Any]) -> RunOutput:
    output: RunOutput = await agent.arun(message, **options)
    return output


async def _collected(agent: Agent, message: str, options: dict[str, Any]) -> list[Any]:
    return [event async for event in agent.arun(message, **_streamed(options))]


def _streamed(options: dict[str, Any]) -> dict[str, Any]:
    return {"stream": True, "stream_events": True, "yield_run_output": True, **options}


def _ended(events: list[Any]) -> Ended:
    outputs = [event for event in events if isinstance(event, RunOutput)]
    return Ended(
        outputs[0] if outputs else None,
        [
            e.content
            for e in events
            if isinstance(e, RunContentEvent) and e.content not in (None, "")
        ],
        [event for event in events if isinstance(event, RunErrorEvent)],
        sum(isinstance(event, RunCompletedEvent) for event in events),
    )
