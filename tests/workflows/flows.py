"""Workflows for the tests: two steps in every container, of which the first may be refused."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.workflow import WorkflowCompletedEvent, WorkflowErrorEvent, WorkflowRunOutput
from agno.workflow import Condition, Loop, Parallel, Router, Step, Steps, Workflow
from agno.workflow.types import StepInput

from agno_portkey.govern import govern
from agno_portkey.model import PortkeyModel
from agno_portkey.policy import Policy

FORMS = ("run", "arun", "stream", "astream")
ASKED = "tell me of codename-bluebird"
SECRET = "codename-bluebird"


def agent(name: str, model: PortkeyModel, **options: Any) -> Agent:
    """An agent that the scripted provider knows by its instructions."""
    return Agent(name=name, model=model, instructions=f"You are {name}.", **options)


def governed(workflow: Workflow) -> Workflow:
    # A busy machine may take longer to read a kill switch than it is waited for.
    return govern(workflow, policy=Policy(stop={"mode": "off"}))  # type: ignore[arg-type]


def _returning(first: Agent) -> Callable[[StepInput], Any]:
    def ask(step_input: StepInput) -> Any:
        return first.run(str(step_input.input))

    return ask


def _in_loop(first: Agent, second: Agent) -> list[Any]:
    return [Loop(name="L", steps=[first, second], max_iterations=2), second]


def _in_router(first: Agent, second: Agent) -> list[Any]:
    return [Router(name="R", choices=[[first, second], second], selector=lambda _: "steps_group_0")]


def _in_condition(first: Agent, second: Agent) -> list[Any]:
    return [
        Condition(name="C", evaluator=lambda _: False, steps=[second], else_steps=[first, second])
    ]


def _nested(first: Agent, second: Agent) -> list[Any]:
    return [Workflow(name="Inner", steps=[Step(name="in", agent=first), second]), second]


def _deep(first: Agent, second: Agent) -> list[Any]:
    inside = Parallel(Steps(name="S", steps=[first, second]), name="P")
    return [Loop(name="L", steps=[Condition(name="C", evaluator=True, steps=[inside])]), second]


# In each of these nothing of `second` may run once `first` was refused.
CONTAINERS: dict[str, Callable[[Agent, Agent], list[Any]]] = {
    "bare": lambda first, second: [first, second],
    "step": lambda first, second: [Step(name="one", agent=first), Step(name="two", agent=second)],
    "steps": lambda first, second: [Steps(name="S", steps=[first, second]), second],
    "loop": _in_loop,
    "parallel": lambda first, second: [Parallel(first, name="P"), second],
    "condition": _in_condition,
    "router": _in_router,
    "nested": _nested,
    "function": lambda first, second: [_returning(first), second],
    "deep": _deep,
}


@dataclass
class Ended:
    """How a workflow ended: its run, and what was shown of it if it was streamed."""

    run: WorkflowRunOutput
    events: list[Any] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """Everything that a caller can read of it, as one text."""
        return "\n".join([json.dumps(self.run.to_dict(), default=str), *self.said])

    def take(self, event: Any) -> None:
        # At once: the host writes into events that it has let go.
        self.events.append(event)
        self.said.append(json.dumps(event.to_dict(), default=str))

    @property
    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


class Stage:
    """A workflow with a database of its own."""

    def __init__(self, path: Path, steps: Any, *, plain: bool = False, **options: Any) -> None:
        self.path = path / "sessions.db"
        self.db = SqliteDb(db_file=str(self.path))
        self.workflow = Workflow(name="Flow", db=self.db, steps=steps, **options)
        if not plain:
            governed(self.workflow)

    def play(self, form: str, text: str = ASKED, **options: Any) -> Ended:
        options = {"session_id": "s", **options}
        if form.endswith("stream"):
            options |= {"stream": True, "stream_events": True}
        ended = Ended(WorkflowRunOutput())
        match form:
            case "run":
                return Ended(self.workflow.run(text, **options))
            case "arun":
                return Ended(asyncio.run(self._whole(text, options)))
            case "stream":
                for event in self.workflow.run(text, **options):
                    ended.take(event)
            case _:
                asyncio.run(self._events(ended, text, options))
        return replace(ended, run=self.stored())

    def stored(self) -> WorkflowRunOutput:
        run = self.workflow.get_last_run_output(session_id="s")
        assert isinstance(run, WorkflowRunOutput)
        return run

    @property
    def rows(self) -> str:
        """All that the database holds, as one text."""
        with sqlite3.connect(self.path) as database:
            return "\n".join(database.iterdump())

    async def _whole(self, text: str, options: dict[str, Any]) -> WorkflowRunOutput:
        run: WorkflowRunOutput = await self.workflow.arun(text, **options)
        return run

    async def _events(self, ended: Ended, text: str, options: dict[str, Any]) -> None:
        async for event in self.workflow.arun(text, **options):
            ended.take(event)


def ends_in_error(ended: Ended) -> bool:
    """Whether a stream said that it failed, once, at its end, and not that it completed."""
    errors = [e for e in ended.events if isinstance(e, WorkflowErrorEvent)]
    own = [e for e in errors if e.workflow_name == "Flow"]
    return (
        len(own) == 1 and own[0] is ended.events[-1] and WorkflowCompletedEvent not in ended.kinds
    )
