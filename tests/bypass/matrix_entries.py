"""The entries of the matrix: every way of asking an agent or a team."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from typing import Any

import httpx
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.eval.suite import Case, arun_cases
from agno.run.agent import RunOutput
from agno.run.team import TeamRunOutput, team_run_output_event_from_dict
from agno.scorer import Score
from agno.team import Team
from agno.workflow import Step, Workflow
from matrix_asked import (
    SESSION,
    STREAM,
    Asked,
    Seen,
    collect,
    is_of,
    of_events,
    of_output,
    status_of,
)
from matrix_shapes import WARM

__all__ = ["ENTRY_PLAYERS", "flow_of"]

# The owner's own ways


def _run(asked: Asked) -> Seen:
    return of_output(asked.owner.run(asked.text, **asked.options))


def _arun(asked: Asked) -> Seen:
    return of_output(asked.host.wait(asked.owner.arun(asked.text, **asked.options)))


def _stream(asked: Asked) -> Seen:
    return of_events(asked, asked.owner.run(asked.text, **asked.options, **STREAM))


def _astream(asked: Asked) -> Seen:
    events = asked.owner.arun(asked.text, **asked.options, **STREAM)
    return of_events(asked, asked.host.wait(collect(events)))


def _print(asked: Asked) -> Seen:
    with redirect_stdout(io.StringIO()) as console:
        asked.owner.print_response(asked.text, stream=False, **asked.options)
    return _printed(asked, console.getvalue())


def _aprint(asked: Asked) -> Seen:
    with redirect_stdout(io.StringIO()) as console:
        asked.host.wait(asked.owner.aprint_response(asked.text, stream=True, **asked.options))
    return _printed(asked, console.getvalue())


def _printed(asked: Asked, text: str) -> Seen:
    run = stored_run(asked.owner)
    return Seen(text, "NOTHING STORED") if run is None else Seen(text, status_of(run.status), [run])


def stored_run(owner: Agent | Team) -> Any:
    """The last of the owner's own runs that its database has, as one made of text would hold it."""
    sessions = owner.db.get_sessions()  # type: ignore[union-attr]
    runs = [run for session in sessions for run in session.runs or []]
    ours = [run for run in runs if getattr(run, "parent_run_id", None) is None]
    return _from_text(owner, json.dumps(ours[-1].to_dict(), default=str)) if ours else None


def _from_text(owner: Agent | Team, text: str) -> Any:
    kind: Any = TeamRunOutput if isinstance(owner, Team) else RunOutput
    return kind.from_dict(json.loads(text))


# Continued: a harmless run first


def _warmed(asked: Asked) -> dict[str, Any]:
    first = asked.owner.run(WARM, **asked.options)
    return {"run_id": first.run_id, "input": asked.text, **asked.options}


def _awarmed(asked: Asked) -> dict[str, Any]:
    first = asked.host.wait(asked.owner.arun(WARM, **asked.options))
    return {"run_id": first.run_id, "input": asked.text, **asked.options}


def _continue(asked: Asked) -> Seen:
    return of_output(asked.owner.continue_run(**_warmed(asked)))


def _acontinue(asked: Asked) -> Seen:
    return of_output(asked.host.wait(asked.owner.acontinue_run(**_awarmed(asked))))


def _continue_stream(asked: Asked) -> Seen:
    return of_events(asked, asked.owner.continue_run(**_warmed(asked), **STREAM))


def _acontinue_stream(asked: Asked) -> Seen:
    events = asked.owner.acontinue_run(**_awarmed(asked), **STREAM)
    return of_events(asked, asked.host.wait(collect(events)))


# AgentOS


def _os(stream: bool, *, continued: bool) -> Callable[[Asked], Seen]:
    def post(asked: Asked) -> Seen:
        form = {"stream": str(stream).lower(), "session_id": SESSION}
        kind = "teams" if isinstance(asked.owner, Team) else "agents"
        path = f"/{kind}/{asked.owner.id}/runs"
        if continued:
            path += f"/{_warmed(asked)['run_id']}/continue"
            form["input"] = asked.text
        else:
            form["message"] = asked.text
        client = asked.host.serve(asked.owner, background=asked.background)
        answer = asked.host.wait(client.post(path, data=form))
        return _sse(asked, answer.text) if stream else _json(asked, answer)

    return post


def _json(asked: Asked, answer: httpx.Response) -> Seen:
    said = answer.json()
    if "status" not in said:
        return Seen(answer.text, str(answer.status_code))
    return Seen(answer.text, said["status"], [_from_text(asked.owner, answer.text)])


def _sse(asked: Asked, text: str) -> Seen:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line[:6] == "data: "]
    seen = of_events(asked, [team_run_output_event_from_dict(json.loads(line)) for line in lines])
    return Seen(text, seen.status, seen.runs)


# In the background: asked for, and looked at later


def _background(asked: Asked) -> Seen:
    async def play() -> Any:
        started = await asked.owner.arun(asked.text, background=True, **asked.options)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=20)
        output = await asked.owner.aget_run_output(started.run_id, session_id=SESSION)
        return _from_text(asked.owner, json.dumps(output.to_dict(), default=str))

    return of_output(asked.host.wait(play()))


# Inside of another's run


def flow_of(owner: Agent | Team) -> Workflow:
    """A workflow whose only step is `owner`."""
    whom: dict[str, Any] = {"team": owner} if isinstance(owner, Team) else {"agent": owner}
    step = Step(name="only", max_retries=0, **whom)
    return Workflow(name="Flow", steps=[step], db=InMemoryDb(), telemetry=False)


def _workflow(asked: Asked) -> Seen:
    assert asked.flow is not None
    output = asked.flow.run(asked.text, **asked.options)
    seen = of_output(output)
    if seen.status == "ERROR":
        return seen
    # The host lets a workflow go on: its step's own run has to say that it was refused.
    return _within(asked, seen, output.step_executor_runs or ())


def _within(asked: Asked, seen: Seen, runs: Iterable[Any]) -> Seen:
    """What the run that was asked for says, of all the `runs` within that which is `seen`."""
    [own] = [run for run in runs if is_of(asked.owner, run)]
    return Seen(seen.shown, status_of(own.status), [own], seen.status)


def _nested(asked: Asked) -> Seen:
    chief = Team(
        name="Chief",
        members=[asked.owner],
        model=asked.model,
        instructions="You are the Chief.",
        store_member_responses=True,
    )
    output = chief.run(asked.text, **asked.options)
    return _within(asked, of_output(output), output.member_responses)


def _as_tool(asked: Asked) -> Seen:
    answers = []

    def consult(question: str) -> str:
        """Ask whoever knows."""
        answers.append(asked.owner.run(question, **asked.options))
        return str(answers[-1].content)

    caller = Agent(
        name="Caller", tools=[consult], model=asked.model, instructions="You are the Caller."
    )
    return _within(asked, of_output(caller.run(asked.text)), answers)


class _Content:
    """A scorer that shows what it was given to score."""

    name = "content"

    async def ascore(self, run: Any, expected: Any = None) -> Score:
        return Score(value=1.0, passed=True, reason=str(run.content))


def _eval(asked: Asked) -> Seen:
    is_team = isinstance(asked.owner, Team)
    whom = {"team": asked.owner} if is_team else {"agent": asked.owner}
    events: list[Any] = []
    case = Case(  # type: ignore[misc]
        name="case", input=asked.text, session_id=SESSION, scorer=_Content(), **whom
    )
    suite = asked.host.wait(
        arun_cases([case], on_run_event=lambda case, event: events.append(event))
    )
    [result] = suite.results
    seen = of_events(asked, events)
    return Seen(f"{seen.shown}\n{result!r}", seen.status, seen.runs)


ENTRY_PLAYERS: dict[str, Callable[[Asked], Seen]] = {
    "run": _run,
    "arun": _arun,
    "stream": _stream,
    "astream": _astream,
    "print": _print,
    "aprint": _aprint,
    "continue": _continue,
    "acontinue": _acontinue,
    "continue stream": _continue_stream,
    "acontinue stream": _acontinue_stream,
    "os": _os(False, continued=False),
    "os sse": _os(True, continued=False),
    "os continue": _os(False, continued=True),
    "os continue sse": _os(True, continued=True),
    "background": _background,
    "workflow": _workflow,
    "nested": _nested,
    "as tool": _as_tool,
    "eval": _eval,
}
