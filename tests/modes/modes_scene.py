"""What the tests of modes play: the story's team under a policy, and all that was told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from agno.run.base import RunStatus
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from agno.team import Team

from agno_portkey import Event, PortkeyModel, govern
from agno_portkey.contracts import Critique, Judgement, Plan
from agno_portkey.modes import Mode, variable_of
from agno_portkey.policy import Policy
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from agno_portkey.testing.story import FLAWED, REQUEST, Release, release_team, tell

MODES: tuple[Mode, ...] = ("off", "observe", "enforce")
# Who says in which mode a part is.
SOURCES = ("policy", "environment")
LIE = "Release 2.1 is live, I saw to it."
STEPS = [("run_tests", {"suite": "smoke"}), ("deploy", {"version": "2.1", "target": "staging"})]
ROGUE = ("deploy", {"version": "2.1", "target": "production"})
GATE = {"runner": "Runner", "min_score": 8}
STREAMED = {"stream": True, "stream_events": True, "yield_run_output": True}


@dataclass
class Stage:
    """A released team under a policy, and all that was told of it."""

    team: Team
    release: Release
    provider: EmbeddedProvider
    events: list[Event] = field(default_factory=list)

    def run(self, form: str = "run") -> tuple[RunStatus, Any]:
        return ended(self.team, form)

    def told(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def refused(self) -> list[Event]:
        return [e for e in self.told("gate", "tool") if e.verdict and not e.verdict.passed]

    @property
    def runner_calls(self) -> list[Request]:
        return [r for r in self.provider.calls if "You are the Runner" in r.system]


@dataclass
class Scene:
    """A model and its scripted provider; `say` sets the variable of a part for this test."""

    model: PortkeyModel
    provider: EmbeddedProvider
    patch: pytest.MonkeyPatch

    def say(self, part: str, mode: str) -> None:
        self.patch.setenv(variable_of(part), mode)

    def own_mode(self, part: str, mode: Mode, source: str) -> Mode:
        """What a policy has to say so that `part` is in `mode`, by itself or by the variable."""
        if source == "policy":
            return mode
        self.say(part, mode)
        return "off" if mode == "enforce" else "enforce"

    def policy(self, part: str, mode: Mode, source: str, **policy: Any) -> Policy:
        """A policy in which `part` has `mode`, or which the environment brings into it."""
        return Policy(**{part: {**policy, "mode": self.own_mode(part, mode, source)}})

    def staged(
        self,
        policy: Policy,
        *,
        runner: Callable[[Request], Any] | None = None,
        judge: Judgement | None = None,
        plan: Plan = FLAWED,
    ) -> Stage:
        """The story's team; `runner` and `judge` say what these two do, whatever they are shown."""
        if judge is not None:
            self.provider.when(lambda request: request.schema_name == "Critique", Critique())
            self.provider.when(lambda request: request.schema_name == "Judgement", judge)
        if runner is not None:
            self.provider.when("You are the Runner", runner)
        tell(self.provider, plans=[plan], last_word=LIE)
        release = Release()
        stage = Stage(release_team(self.model, release), release, self.provider)
        govern(stage.team, policy=policy, observers=[stage.events.append])
        return stage


def ended(team: Team, form: str) -> tuple[RunStatus, Any]:
    """How a team's run ends; of a stream, its last word on it."""
    if form == "run":
        output = team.run(REQUEST)
    elif form == "arun":
        output = asyncio.run(team.arun(REQUEST))
    else:
        events = (
            asyncio.run(_astream(team)) if form == "astream" else [*team.run(REQUEST, **STREAMED)]
        )
        last = events[-1]
        failed = isinstance(last, TeamRunErrorEvent)
        return (RunStatus.error if failed else last.status), last.content
    return output.status, output.content


async def _astream(team: Team) -> list[Any]:
    return [event async for event in team.arun(REQUEST, **STREAMED)]


def doing(*calls: tuple[str, dict[str, str]]) -> Callable[[Request], Any]:
    """A Runner that makes these calls, one after the other, and reports."""

    def do(request: Request) -> Any:
        at = len(request.tool_results)
        return Reply(tool_calls=(ToolCall(*calls[at]),)) if at < len(calls) else "Done."

    return do
