"""The stage of the bypass scenarios: one team, governed or plain, scripted models, what leaked."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from agno.db.in_memory import InMemoryDb
from agno.team import Team
from agno.tools.function import Function
from bypass_plain import with_plain_gate

from agno_portkey import Declined, Gate, Plan, PortkeyModel, govern
from agno_portkey.contracts import canonical
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, tell

# One word, so that no console wraps it: what a lying leader says.
LIE = "LIVE-ON-MY-WORD"
MODES = ("run", "arun", "stream", "astream", "print", "aprint")
STEPS = [
    ("run_tests", {"suite": "smoke"}),
    ("deploy", {"version": "2.1", "target": "staging"}),
]


class Record(Release):
    """What the tools really did; a copied agent's tools write to the same record."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Record:
        return self


@dataclass
class Ending:
    """How a run ended, as its caller saw it; `shown` is all that was streamed or printed."""

    status: str
    content: Any
    shown: str = ""
    output: Any = None


@dataclass
class Stage:
    """Everything one scenario needs. `leader_mark` tells a team's leader in its system prompt."""

    model: PortkeyModel
    provider: EmbeddedProvider
    governed: bool
    release: Release = field(default_factory=Record)

    @property
    def runner_calls(self) -> int:
        return sum("You are the Runner" in call.system for call in self.provider.calls)

    def asked(self, words: str) -> list[Request]:
        """The calls whose system prompt contains `words`."""
        return [call for call in self.provider.calls if words in call.system]

    def team(self, change: Callable[[Team], object] | None = None, **options: Any) -> Team:
        """The story's team behind its gate; `change` is applied before the gate is."""
        team = release_team(self.model, self.release, **{"db": InMemoryDb(), **options})
        if change is not None:
            change(team)
        return self.guard(team)

    def guard(self, team: Team) -> Team:
        if self.governed:
            return govern(team, runner="Runner", gate=Gate(min_score=8))
        return with_plain_gate(team)

    def script(
        self,
        leader: Sequence[Any] | Callable[[Request], Any],
        *,
        mark: str = "Ask the Planner",
        plans: Sequence[Plan] = (SOUND,),
        **roles: Any,
    ) -> None:
        """Script the models: `leader` in order; `Planner=`, `Judge=`, ... override the story's."""
        for role, answer in roles.items():
            self.provider.when(f"You are the {role}.", answer)
        self.provider.when(mark, leader)
        tell(self.provider, plans=list(plans))

    def leaks(
        self,
        ending: Ending | None = None,
        *,
        done: Sequence[Any] = (),
        runner_calls: int | None = 0,
        declined: bool = True,
        lie: str | None = LIE,
    ) -> list[str]:
        """What should not have happened: `done` are the tool calls that were cleared."""
        found = []
        if runner_calls is not None and self.runner_calls > runner_calls:
            found.append(f"{self.runner_calls} model calls of the Runner")
        if self.release.done != list(done):
            found.append(f"tools ran: {self.release.done}")
        if ending is None:
            return found
        if lie is not None and lie in f"{ending.content} {ending.shown}":
            found.append("the lie was told")
        if declined:
            found += self._not_declined(ending)
        return found

    def _not_declined(self, ending: Ending) -> list[str]:
        if ending.status != "ERROR":
            return [f"ended {ending.status}"]
        if self.governed and not (isinstance(ending.content, Declined) and ending.content.reasons):
            return [f"ended with {type(ending.content).__name__}: {str(ending.content)[:80]!r}"]
        return []


def to(name: str, task: str = "Your turn.", text: str | None = None) -> Reply:
    """A leader that asks a member, with words beside it."""
    return together(name, task=task, text=text)


def together(*names: str, task: str = "Your turn.", text: str | None = None) -> Reply:
    """A leader that asks several members in one message."""
    calls = [
        ToolCall("delegate_task_to_member", {"member_id": name, "task": task}) for name in names
    ]
    return Reply(text, tool_calls=calls)


def calling(tool: str, **arguments: Any) -> Reply:
    """A model that calls a tool."""
    return Reply(tool_calls=(ToolCall(tool, arguments),))


def once_round(plan: Plan, text: str | None = None) -> list[Reply]:
    """An honest leader's round: each member is told the plan, and the Runner comes last."""
    task = f"Your turn.\n```json\n{canonical(plan)}\n```"
    return [to(name, task, text) for name in ("planner", "critic", "judge", "runner")]


CALLS = {tool: calling(tool, **arguments) for tool, arguments in STEPS}
ROUND = once_round(SOUND)


def confirmed(function: Callable[..., Any]) -> Function:
    """A tool that waits for a human's yes."""
    made = Function.from_callable(function)
    made.requires_confirmation = True
    return made


# Running in every mode


def run_in(team: Any, mode: str, text: Any = REQUEST, **options: Any) -> Ending:
    """Run a team or an agent in one of `MODES`."""
    match mode:
        case "run":
            return _ended(team.run(text, **options))
        case "arun":
            return _ended(asyncio.run(_await(team.arun(text, **options))))
        case "stream":
            events = team.run(text, stream=True, stream_events=True, **options)
            return _streamed(team, list(events))
        case "astream":
            events = team.arun(text, stream=True, stream_events=True, **options)
            return _streamed(team, asyncio.run(_collect(events)))
    return _printed(team, mode, text, options)


def continue_in(owner: Any, mode: str, **options: Any) -> Ending:
    """Continue a run in one of the first four modes."""
    match mode:
        case "run":
            return _ended(owner.continue_run(**options))
        case "arun":
            return _ended(asyncio.run(_await(owner.acontinue_run(**options))))
        case "stream":
            events = owner.continue_run(stream=True, stream_events=True, **options)
            return _streamed(owner, list(events))
    events = owner.acontinue_run(stream=True, stream_events=True, **options)
    return _streamed(owner, asyncio.run(_collect(events)))


async def _await(result: Any) -> Any:
    return await result


async def _collect(events: Any) -> list[Any]:
    return [event async for event in events]


def _ended(output: Any) -> Ending:
    return Ending(str(getattr(output.status, "value", output.status)), output.content, "", output)


def _streamed(owner: Any, events: list[Any]) -> Ending:
    shown = "\n".join(text for event in events for text in said_in(event))
    return _stored(owner, _run_of(owner, events), shown)


def _run_of(owner: Any, events: list[Any]) -> str | None:
    is_team = isinstance(owner, Team)
    ours = [e for e in events if getattr(e, "team_id" if is_team else "agent_id", "") == owner.id]
    return ours[-1].run_id if ours else None


def _stored(owner: Any, run_id: str | None, shown: str) -> Ending:
    sessions = owner.db.get_sessions() if owner.db else []
    runs = [run for session in sessions for run in session.runs or [] if run.run_id == run_id]
    if not runs:
        return Ending("NOTHING STORED", None, shown)
    ending = typed(_ended(runs[-1]))
    ending.shown = shown
    return ending


def typed(ending: Ending) -> Ending:
    """The ending with the `Declined` that its database wrote as a mapping."""
    content = ending.content
    if isinstance(content, dict) and {"gate", "reasons"} <= set(content):
        ending.content = Declined.model_validate(content)
    return ending


def said_in(event: Any) -> Iterable[str]:
    """What an event lets a reader see, but for a tool call's own arguments."""
    data = event.to_dict()
    for name in ("tool", "tools", "requirements"):
        data.pop(name, None)
    if "ToolCall" in str(data.get("event")):
        data.pop("content", None)
    yield json.dumps(data, default=str)


def _printed(team: Any, mode: str, text: Any, options: dict[str, Any]) -> Ending:
    console = io.StringIO()
    with redirect_stdout(console):
        if mode == "print":
            team.print_response(text, stream=False, **options)
        else:
            asyncio.run(team.aprint_response(text, stream=True, **options))
    runs = [run for session in team.db.get_sessions() for run in session.runs or []]
    outer = [run for run in runs if getattr(run, "parent_run_id", None) is None]
    return _stored(team, outer[-1].run_id if outer else None, console.getvalue())
