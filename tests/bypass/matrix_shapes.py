"""The shapes of the matrix: an agent, or a team with it as a member; what their models say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.team import Team
from agno.team.mode import TeamMode
from matrix_guards import FORBIDDEN

from agno_portkey import PortkeyModel
from agno_portkey.testing import EmbeddedProvider, Reply, Request, ToolCall

__all__ = ["ASK", "FINE", "FOUND", "LED", "SHAPE_MAKERS", "WARM", "Tools", "script"]

Owner = Agent | Team

WARM = "Just say hello."
GO = "Go ahead"
ASK = {"pre": f"{GO} with {FORBIDDEN} now."}
FINE = "All is well."
TELLS = f"It is {FORBIDDEN} after all."
# What the tool finds; on its own, so that it can be told from what it was asked.
FOUND = "found: egg of a bluebird"
SPEAKER, LEADER, FOREMAN = "You are the Speaker.", "You are the Leader.", "You are the Foreman."
# The system prompts of the owner of a guard and its members.
LED = (SPEAKER, LEADER, FOREMAN)
# What the tool is asked for.
_LOOKED_FOR = {"tool in": f"the nest of a {FORBIDDEN}", "tool out": "the nest"}
# No cell needs as many requests.
_ENOUGH = 30


@dataclass
class Tools:
    """What the tool was really called with."""

    done: list[str] = field(default_factory=list)
    finds: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Tools:
        return self

    def look(self, what: str) -> str:
        """Look something up."""
        self.done.append(what)
        return FOUND if self.finds or FORBIDDEN in what else "found: nothing"

    def fetch(self) -> str:
        """Bring what nobody has seen."""
        return FOUND


# The owners


def _speaker(model: PortkeyModel, kit: Tools, **options: Any) -> Agent:
    return Agent(
        id="speaker",
        name="Speaker",
        model=model,
        instructions=SPEAKER,
        tools=[kit.look, *options.pop("tools", ())],
        **options,
    )


def _team(mode: TeamMode) -> Callable[..., Team]:
    def make(model: PortkeyModel, kit: Tools, **options: Any) -> Team:
        return Team(
            id="team",
            name="Team",
            mode=mode,
            model=model,
            members=[_speaker(model, kit)],
            instructions=LEADER,
            store_member_responses=True,
            **({"max_iterations": 4} if mode is TeamMode.tasks else {}),
            **options,
        )

    return make


def _nested(model: PortkeyModel, kit: Tools, **options: Any) -> Team:
    crew = Team(
        id="crew",
        name="Crew",
        model=model,
        members=[_speaker(model, kit)],
        instructions=FOREMAN,
        store_member_responses=True,
    )
    return Team(
        id="team",
        name="Team",
        model=model,
        members=[crew],
        instructions=LEADER,
        store_member_responses=True,
        **options,
    )


_MAKERS: dict[str, Callable[..., Any]] = {
    "agent": _speaker,
    "coordinate": _team(TeamMode.coordinate),
    "route": _team(TeamMode.route),
    "tasks": _team(TeamMode.tasks),
    "nested": _nested,
}


def _with_db(make: Callable[..., Owner]) -> Callable[..., Owner]:
    def maker(model: PortkeyModel, kit: Tools, stage: str) -> Owner:
        options = {"tools": [kit.fetch]} if stage == "model in" else {}
        return make(model, kit, db=InMemoryDb(), store_events=True, **options)

    return maker


SHAPE_MAKERS = {name: _with_db(make) for name, make in _MAKERS.items()}


# What the models say: all follows from the request, so that nothing gets out of step


def script(provider: EmbeddedProvider, shape: str, stage: str) -> None:
    """Script every model that may be asked."""
    whom = "crew" if shape == "nested" else "speaker"
    lead = _task_leader if shape == "tasks" else _leader(whom)
    answers: dict[str, Callable[[Request], Any]] = {
        "You are the Chief.": _leader("speaker" if shape == "agent" else "team"),
        "You are the Caller.": _caller,
        LEADER: _fetching(_closing(lead, stage)),
        FOREMAN: _closing(_leader("speaker"), stage),
        SPEAKER: _fetching(_closing(_tool_user(stage), stage)),
    }
    for mark, answer in answers.items():
        provider.when(mark, _bounded(provider, answer))


def _bounded(provider: EmbeddedProvider, answer: Callable[[Request], Any]) -> Any:
    """`answer`, unless the models go round in a circle: that ends in an error."""

    def bounded(request: Request) -> Any:
        if len(provider.requests) > _ENOUGH:
            raise RuntimeError("the models go round in a circle")
        return answer(request)

    return bounded


def _since_asked(request: Request) -> list[Any]:
    """The messages after the last one of a user."""
    messages = request.messages
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    return messages[last + 1 :]


def _results(request: Request) -> int:
    return sum(m["role"] == "tool" for m in _since_asked(request))


def _closing(steps: Callable[[Request], Any], stage: str) -> Callable[[Request], Any]:
    """A model that takes `steps`, and then tells what it must not where it was asked to."""
    tells = stage in ("post", "model out")

    def answer(request: Request) -> Any:
        step = steps(request)
        if step is not None:
            return step
        return TELLS if tells and GO in request.last_user else FINE

    return answer


def _fetching(steps: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A model that uses the tool that brings the forbidden text, where it has got it."""

    def answer(request: Request) -> Any:
        if "fetch" not in request.tools or GO not in request.last_user:
            return steps(request)
        return steps(request) if _results(request) else _call("fetch")

    return answer


def _leader(whom: str) -> Callable[[Request], Any]:
    def lead(request: Request) -> Any:
        if _results(request):
            return None if "Chief" not in request.system else FINE
        return _call("delegate_task_to_member", member_id=whom, task=request.last_user)

    return lead


def _task_leader(request: Request) -> Any:
    done = [m for m in _since_asked(request) if m["role"] == "tool"]
    made = [found for m in done if (found := re.search(r"created: \[(\w+)\]", m["content"]))]
    if not made:
        asked = request.last_user
        return _call("create_task", title=asked, description=asked, assignee="speaker")
    if "created: [" in done[-1]["content"]:
        return _call("execute_task", task_id=made[-1][1], member_id="speaker")
    if "marked as complete" in done[-1]["content"]:
        return None
    return _call("mark_all_complete", summary=FINE)


def _caller(request: Request) -> Any:
    return FINE if _results(request) else _call("consult", question=request.last_user)


def _tool_user(stage: str) -> Callable[[Request], Any]:
    def use(request: Request) -> Any:
        if stage not in _LOOKED_FOR or GO not in request.last_user or _results(request):
            return None
        return _call("look", what=_LOOKED_FOR[stage])

    return use


def _call(tool: str, **arguments: Any) -> Reply:
    return Reply(tool_calls=(ToolCall(tool, arguments),))
