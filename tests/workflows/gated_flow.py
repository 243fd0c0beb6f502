"""A governed workflow with a gate's step: the story's Planner, Critic, Judge and Runner."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.run.workflow import WorkflowRunOutput
from agno.team import Team
from agno.workflow import Condition, Loop, Parallel, Router, Step, Steps, Workflow
from flows import Ended

from agno_portkey import Event, Gate, PortkeyModel, govern
from agno_portkey.gates.history import Decided, History
from agno_portkey.testing import EmbeddedProvider, Request
from agno_portkey.testing.story import REQUEST, Release, release_team

STEPS = [("run_tests", {"suite": "smoke"}), ("deploy", {"version": "2.1", "target": "staging"})]


class Cast:
    """Who plays: four agents of one model, not governed yet, and what their Runner has done."""

    def __init__(self, model: PortkeyModel) -> None:
        self.release = Release()
        team: Any = release_team(model, self.release)
        self.model = model
        self.planner, self.critic, self.judge, self.runner = team.members

    @property
    def agents(self) -> list[Agent]:
        return [self.planner, self.critic, self.judge]


def _flat(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, gate, cast.runner]


def _steps(cast: Cast, gate: Step) -> list[Any]:
    return [
        Steps(name="S", steps=[Step(name="p", agent=cast.planner), cast.critic]),
        cast.judge,
        Steps(name="T", steps=[gate, Step(name="r", agent=cast.runner)]),
    ]


def _parallel(cast: Cast, gate: Step) -> list[Any]:
    both = Parallel(cast.critic, cast.judge, name="both")
    return [cast.planner, both, gate, cast.runner]


def _condition(cast: Cast, gate: Step) -> list[Any]:
    return [*cast.agents, Condition(name="C", evaluator=True, steps=[gate, cast.runner])]


def _router(cast: Cast, gate: Step) -> list[Any]:
    chosen = Router(name="R", choices=[[gate, cast.runner]], selector=lambda _: "steps_group_0")
    return [*cast.agents, chosen]


def _loop(cast: Cast, gate: Step) -> list[Any]:
    rounds = Loop(name="L", steps=[*cast.agents], max_iterations=2)
    return [rounds, gate, cast.runner]


def _team(cast: Cast, gate: Step) -> list[Any]:
    team: Any = release_team(cast.model, cast.release)
    team.members = team.members[:3]
    return [Team(name="Council", model=cast.model, members=team.members), gate, cast.runner]


SHAPES: dict[str, Callable[[Cast, Step], list[Any]]] = {
    "flat": _flat,
    "steps": _steps,
    "parallel": _parallel,
    "condition": _condition,
    "router": _router,
    "loop": _loop,
}


class Scene:
    """A workflow on a database of its own; `shape` makes its steps of who plays and the gate's."""

    def __init__(
        self,
        path: Path,
        model: PortkeyModel,
        shape: Callable[[Cast, Step], list[Any]] = _flat,
        *,
        gate: Gate | None = None,
        prepare: Callable[[Cast], None] = lambda cast: None,
        plain: bool = False,
        **options: Any,
    ) -> None:
        self.heard: list[Event] = []
        self.cast = Cast(model)
        prepare(self.cast)
        self.db = SqliteDb(db_file=str(path / "sessions.db"))
        step = (gate or Gate(min_score=8)).step(runner=self.cast.runner)
        self.flow = Workflow(id="flow", name="Flow", db=self.db, steps=shape(self.cast, step))
        if not plain:
            govern(self.flow, observers=[self.heard.append], **options)

    @property
    def done(self) -> list[tuple[str, dict[str, str]]]:
        return self.cast.release.done

    @property
    def charter(self) -> Any:
        terms: Any = getattr(self.flow, "terms", None)
        return terms.gate.charter

    def play(self, form: str, **options: Any) -> Ended:
        """Run it in one of the four forms, and say how it ended."""
        return self._ended(form, self.flow.run, self.flow.arun, REQUEST, **options)

    def go_on(self, form: str, paused: WorkflowRunOutput) -> Ended:
        """Go on with a run that waited for a person."""
        flow = self.flow
        given = {"run_response": paused}
        return self._ended(form, flow.continue_run, flow.acontinue_run, **given)

    def _ended(self, form: str, run: Any, arun: Any, *args: Any, **options: Any) -> Ended:
        if not form.endswith("stream"):
            if "run_response" not in options:
                options = {"session_id": "s", **options}
            return Ended(
                asyncio.run(_awaited(arun, *args, **options))
                if form == "arun"
                else run(*args, **options)
            )
        if "run_response" not in options:
            options = {"session_id": "s", **options}
        ended = Ended(WorkflowRunOutput())
        options |= {"stream": True, "stream_events": True}
        if form == "stream":
            for event in run(*args, **options):
                ended.take(event)
        else:
            asyncio.run(_taken(ended, arun, *args, **options))
        stored = self.flow.get_last_run_output(session_id="s")
        assert isinstance(stored, WorkflowRunOutput)
        return Ended(stored, ended.events, ended.said)

    def kept(self) -> list[Decided]:
        """What the history holds."""
        return History(self.db).series()

    def gates_heard(self) -> list[Event]:
        return [event for event in self.heard if event.kind == "gate"]


async def _awaited(arun: Any, *args: Any, **options: Any) -> Any:
    return await arun(*args, **options)


async def _taken(ended: Ended, arun: Any, *args: Any, **options: Any) -> None:
    events = arun(*args, **options)
    if inspect.isawaitable(events):
        events = await events  # so it is where a run goes on
    async for event in events:
        ended.take(event)


def asked_of(provider: EmbeddedProvider, role: str) -> list[Request]:
    """The requests that the model of `role` got."""
    return [call for call in provider.calls if f"You are the {role}" in call.system]


def said_by(name: str, outputs: Any) -> list[Any]:
    """What the step `name` has said, at any depth of `outputs`."""
    found: list[Any] = []
    for output in outputs or ():
        if output.step_name == name and not output.steps:
            found.append(output.content)
        found += said_by(name, output.steps)
    return found
