"""A governed team of the story, straight at its scripted provider, with a database of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agno.db.base import AsyncBaseDb
from agno.run.base import RunStatus
from agno.run.team import RunErrorEvent, TeamRunOutput
from agno.team import Team

from agno_portkey import Event, Gate, PortkeyModel, govern
from agno_portkey.contracts import Critique, Decision, Judgement, Plan
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import GateClosed
from agno_portkey.gates import Charter
from agno_portkey.gates.books import Books
from agno_portkey.runs import Fingerprint, Run, Station, Who
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell
from agno_portkey.verdict import Verdict

ROUND = ("planner", "critic", "judge", "runner")
STREAMED = {"stream": True, "stream_events": True, "yield_run_output": True}
STEPS = [("run_tests", {"suite": "smoke"}), ("deploy", {"version": "2.1", "target": "staging"})]
SHIPPED = "Release 2.1 is live on staging."


def judgement(score: float, decision: str = "approve", reason: str = "as it is") -> Judgement:
    return Judgement(decision=Decision(decision), score=score, reasons=(reason,))


@dataclass(frozen=True)
class Ended:
    """How a run of a team ended, whichever form it was run in."""

    status: RunStatus
    content: Any
    output: TeamRunOutput | None

    @property
    def shipped(self) -> bool:
        return self.status == RunStatus.completed and self.content == SHIPPED


@dataclass
class Scene:
    """The story's team with a Judge and a leader of one's own, and all that was told of it.

    `scores` are what the Judge says, one after the other: a score, a judgement, or any answer that
    a provider can give; the last again and again.
    """

    provider: EmbeddedProvider
    release: Release = field(default_factory=Release)
    events: list[Event] = field(default_factory=list)

    @property
    def model(self) -> PortkeyModel:
        return PortkeyModel(base_url=self.provider.url, api_key="key of the provider")

    def judge(self, *scores: Any) -> None:
        said = [judgement(each) if isinstance(each, int | float) else each for each in scores]
        self.provider.when(lambda request: request.schema_name == "Judgement", said)

    def script(self, *members: str, plans: Iterable[Plan] = (SOUND,)) -> None:
        """The story's models; the leader asks `members`, then says that it is done."""
        if members:
            self.provider.when("Ask the Planner", [*to(*members), SHIPPED])
        self.provider.when(lambda request: request.schema_name == "Critique", Critique())
        tell(self.provider, plans=list(plans), last_word=SHIPPED)

    def team(
        self,
        gate: Gate | tuple[Gate, ...] | None = None,
        change: Callable[[Team], object] | None = None,
        *,
        governed: dict[str, Any] | None = None,
        **options: Any,
    ) -> Team:
        """A team like each other one that is made here, behind `gate`."""
        team = release_team(self.model, self.release, **options)
        if change is not None:
            change(team)
        return govern(
            team,
            runner="Runner",
            gate=gate or Gate(),
            observers=[self.events.append],
            **(governed or {}),
        )

    def told(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    @property
    def refusals(self) -> list[str]:
        """What the gate has refused, in order."""
        gates = [e.verdict for e in self.told("gate") if e.verdict is not None]
        return [verdict.reason for verdict in gates if not verdict.passed]

    @property
    def judged(self) -> list[Request]:
        return [r for r in self.provider.calls if r.schema_name == "Judgement"]

    @property
    def runner_calls(self) -> list[Request]:
        return [r for r in self.provider.calls if "You are the Runner" in r.system]


def charter_of(team: Team) -> Charter:
    charter: Charter = team.model.seat.charter
    return charter


def books_of(team: Team) -> Books:
    return charter_of(team).books


def play(team: Team, form: str = "run", message: str = REQUEST, **options: Any) -> Ended:
    """Run `team` in one of the four forms, and close the connections of its database."""
    match form:
        case "run":
            return _of(_closed(team, lambda: team.run(message, **options)))
        case "arun":
            return _of(asyncio.run(aclosed(team, lambda: team.arun(message, **options))))
        case "stream":
            streamed = lambda: [*team.run(message, **STREAMED, **options)]  # noqa: E731
            return _last(_closed(team, streamed))
    events = lambda: _collected(team.arun(message, **STREAMED, **options))  # noqa: E731
    return _last(asyncio.run(aclosed(team, events)))


def _closed(team: Team, run: Callable[[], Any]) -> Any:
    try:
        return run()
    finally:
        if team.db is not None:
            team.db.close()


async def aclosed(team: Team, run: Callable[[], Any]) -> Any:
    try:
        return await run()
    finally:
        if isinstance(team.db, AsyncBaseDb):
            await team.db.close()
        elif team.db is not None:
            team.db.close()


async def _collected(events: Any) -> list[Any]:
    return [event async for event in events]


def _of(output: TeamRunOutput) -> Ended:
    return Ended(output.status, output.content, output)


def _last(events: list[Any]) -> Ended:
    outputs = [event for event in events if isinstance(event, TeamRunOutput)]
    if outputs:
        return _of(outputs[-1])
    [failed] = [event for event in events if isinstance(event, RunErrorEvent)]
    return Ended(RunStatus.error, failed.content, None)


def to(*members: str) -> list[Reply]:
    """A leader that asks these members, one after the other."""
    return [
        Reply(tool_calls=(ToolCall("delegate_task_to_member", {"member_id": m, "task": "Now."}),))
        for m in members
    ]


def counted(answer: Callable[[int, Request], Any]) -> Callable[[Request], Any]:
    """An answer that is told which request it is for, from 1."""
    numbers = itertools.count(1)
    return lambda request: answer(next(numbers), request)


@dataclass
class Desk:
    """A charter and one run of its team, without models."""

    charter: Charter
    run: Run
    runner: Station

    @classmethod
    def of(cls, *gates: Gate, run_id: str = "team", **options: Any) -> Desk:
        tools = frozenset({"run_tests", "deploy"})
        charter = Charter(gates or Gate(), **{"swarm": "Release", "tools": tools, **options})
        return cls.at(charter, run_id)

    @classmethod
    def at(cls, charter: Charter, run_id: str) -> Desk:
        run = charter.open(run_id, "Release")
        run.who = Who("s1", "ann", "acme", "release")
        run.request = REQUEST
        run.fingerprint = Fingerprint("sha256:f1", {"Judge.model": "gpt-4o-mini"})
        return cls(charter, run, charter.runs.join(f"{run_id}-r", run, "runner", "Runner"))

    def judged(self, *scores: float, plan: Plan = SOUND) -> Desk:
        self.run.propose(plan)
        for number, score in enumerate(scores or (9,)):
            name = f"{self.run.id}-{plan.goal}-{number}"
            self.run.show(name)
            self.run.hear(name, judgement(score))
        return self

    def admit(self, run_id: str | None = None) -> Any:
        return self.charter.admit(self.runner, run_id or f"{self.run.id}-r")

    async def aadmit(self, run_id: str | None = None) -> Any:
        return await self.charter.aadmit(self.runner, run_id or f"{self.run.id}-r", AsyncIO())

    def refused(self, run_id: str | None = None) -> Verdict:
        """Why it is not admitted."""
        try:
            self.admit(run_id)
        except GateClosed as closed:
            return closed.verdict
        raise AssertionError("it was admitted")
