"""A case: a fault on a route, and what a run is to come to; and how it is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from faults_judge import BROKEN, GOOD, WHOLE, Refusal, Verdict, judge
from faults_stage import PRIMARY, SPARE, TEXT, Outcome, Route, Side, Stage

from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, Usage

__all__ = [
    "OFF",
    "SPARES_USAGE",
    "Arm",
    "Case",
    "Play",
    "Played",
    "answer",
    "at_primary",
    "once",
    "play_case",
]

Arm = Callable[[EmbeddedProvider], None]

SPARES_USAGE = Usage(prompt_tokens=11, completion_tokens=60)
# The ways for an answer to break off, with the number of their case.
OFF = {
    "stream cut": (8, Fault.cut()),
    "stream cut cleanly": (8, Fault.cut(clean=True)),
    "stream stalled": (9, Fault.stall()),
    "malformed chunk": (10, Fault.malformed_chunk()),
}


class Play(Protocol):
    """Plays a case on a stage in one form."""

    def __call__(self, case: Case, stage: Stage, form: str, /) -> Played: ...


@dataclass(frozen=True)
class Played:
    """The verdict on a case in one form, and how many requests reached the provider."""

    verdict: Verdict
    calls: int
    outcome: Outcome | None = None

    @property
    def good(self) -> bool:
        return self.verdict in GOOD


def once(case: Case, stage: Stage, form: str) -> Played:
    """One run, and the verdict on it."""
    outcome = stage.run(form)
    may_refuse = not (case.continued and stage.side.continues)
    verdict = judge(outcome, case.expected, case.refusal if may_refuse else None)
    if verdict in GOOD:
        verdict = case.check(outcome) or verdict
    return Played(verdict, len(outcome.calls), outcome)


@dataclass(frozen=True, eq=False)
class Case:
    """One fault on one route; `number` is its place among the sixteen, none if it is besides.

    `expected` is what the run is to come to, unless it may end with `refusal`, which a `continued`
    answer may not if the side knows how. `check` looks at what else is asked for. `agent` is
    what the agent is given beside the model.
    """

    number: int | None
    name: str
    arm: Arm
    route: Route = field(default_factory=Route)
    expected: Any = TEXT
    refusal: Refusal | None = None
    continued: bool = False
    check: Callable[[Outcome], Verdict | None] = lambda outcome: None
    agent: Mapping[str, Any] = field(default_factory=dict)
    play: Play = once

    def __str__(self) -> str:
        return f"{self.number or '+'} {self.name}"


def play_case(case: Case, form: str, *, url: str, side: Side) -> Played:
    """Play `case` in `form`; a good end counts if the same model is well when the fault is gone."""
    with EmbeddedProvider() as provider:
        case.arm(provider)
        provider.when(lambda request: True, answer)
        with Stage(url, provider, side, route=case.route, agent=case.agent) as stage:
            played = case.play(case, stage, form)
            if not played.good:
                return played
            provider.clear_faults()
            afterwards = stage.run(form)
    if judge(afterwards, case.expected) != WHOLE:
        return Played(BROKEN, played.calls, afterwards)
    return played


def answer(request: Request) -> Reply:
    """The sixty words, or what of them the request does not hold already."""
    last = request.messages[-1]
    begun = str(last["content"]) if last["role"] == "assistant" else ""
    return Reply(TEXT.removeprefix(begun), usage=SPARES_USAGE if request.model == SPARE else None)


def at_primary(fault: Fault, *, times: int | None = None) -> Arm:
    """Arms `fault` for the primary."""
    return lambda provider: provider.fault(fault, times=times, model=PRIMARY)
