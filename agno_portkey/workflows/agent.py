"""The agent of an agentic workflow, whose failed stream the host would take for an empty answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from copy import copy
from dataclasses import fields
from inspect import signature
from typing import Any
from uuid import uuid4

from agno.run.agent import RunErrorEvent
from agno.workflow.agent import WorkflowAgent

from agno_portkey.workflows.stopped import from_event

__all__ = ["AGENT", "GovernedWorkflowAgent", "Told", "run_id_in"]

# What a stop by the workflow's own agent is called.
AGENT = "the workflow's agent"


class Told(dict[str, Any]):
    """What a workflow tells its agent, which also says what the agent's run is called.

    The workflow runs inside of that run, and has no other word of it before it ends.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told)
        self.run_id = str(uuid4())


class GovernedWorkflowAgent(WorkflowAgent):
    """A `WorkflowAgent` that raises where its stream fails, and keeps its guards when copied."""

    def run(self, *args: Any, **options: Any) -> Any:
        ran: Any = super().run(*args, **_called(options))
        return _raising(ran) if options.get("stream") else ran

    def arun(self, *args: Any, **options: Any) -> Any:
        ran: Any = super().arun(*args, **_called(options))
        return _araising(ran) if options.get("stream") else ran

    def deep_copy(self, **options: Any) -> Any:
        """A copy with all that was set after this agent was made, which the host leaves out."""
        twin: Any = super().deep_copy(**options)
        taken = {*signature(WorkflowAgent.__init__).parameters, "tools"}
        for name in (f.name for f in fields(self) if not f.name.startswith("_")):
            if name not in taken:
                setattr(twin, name, copy(getattr(self, name)))
        twin.add_workflow_history = self.add_workflow_history
        return twin


def run_id_in(dependencies: Any) -> str | None:
    """What the run of a workflow's agent is called that is told `dependencies`."""
    return dependencies.run_id if isinstance(dependencies, Told) else None


def _called(options: dict[str, Any]) -> dict[str, Any]:
    run_id = run_id_in(options.get("dependencies"))
    return options if run_id is None else {**options, "run_id": run_id}


def _raising(events: Iterator[Any]) -> Iterator[Any]:
    own = _Own()
    for event in events:
        own.check(event)
        yield event


async def _araising(events: AsyncIterator[Any]) -> AsyncIterator[Any]:
    own = _Own()
    async for event in events:
        own.check(event)
        yield event


class _Own:
    """Tells the agent's own events from those of the workflow that it has run, by the first one."""

    run_id: str | None = None

    def check(self, event: Any) -> None:
        self.run_id = self.run_id or getattr(event, "run_id", None)
        if isinstance(event, RunErrorEvent) and event.run_id == self.run_id:
            raise from_event(AGENT, event)
