"""Plays one cell of the matrix, on ours or on plain Agno, and tells what should not have been."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.registry import Registry
from agno.run.agent import RunErrorEvent
from agno.run.team import RunErrorEvent as TeamRunErrorEvent
from fastapi import BackgroundTasks
from matrix_asked import Asked, Host, Seen, of_error, status_of
from matrix_cells import OS_ENTRIES, WITHIN, Cell, is_taken_away
from matrix_entries import ENTRY_PLAYERS, flow_of
from matrix_guards import FORBIDDEN, NAME, NoBirds, everyone, guard_for, install, plain_guard_for
from matrix_shapes import ASK, FINE, FOUND, LED, SHAPE_MAKERS, WARM, Tools, script

from agno_portkey import PortkeyModel, govern, verdict_of
from agno_portkey.errors import Blocked, UngovernedPathError
from agno_portkey.testing import EmbeddedProvider

__all__ = ["IN_TIME", "UNCLEAR", "Table", "control", "play"]

GO = "Go ahead please."
# How the one finding begins that is no leak.
UNCLEAR = "unclear: it ended"
# What is found where a hook was to run in the background, and did not.
IN_TIME = "idle: the guard in the background was asked in time, in its place, {}"


@dataclass
class Table:
    """What all cells are played on: one event loop, one provider, one model's connections."""

    host: Host
    provider: EmbeddedProvider
    model: PortkeyModel


def play(table: Table, cell: Cell, *, who: str = "ours", guard: Any = None) -> list[str]:
    """What should not have been in `cell`; nothing if the guard held.

    `who`: `ours` (in the stage's list, and installed by `govern`), `hooks` (ours, in the list
    alone) or `plain` (Agno's own kind of guardrail, in the list). `guard` is made if none is given.

    Plain Agno is asked for less: it may store what it refused, and tell in any words that it did.
    """
    over = threading.Event()
    make = plain_guard_for if who == "plain" else guard_for
    try:
        guard, tools = (
            guard or make(cell.stage, cell.fault, over),
            Tools(finds=cell.stage == "tool out"),
        )
        owner, seen = _seen(table, cell, guard, tools, who)
        found = [f"the provider failed: {error!r}" for error in table.provider.errors]
        found += _leaks(table, cell, seen, tools)
        if who == "plain":
            return [*found, *_unclear_of_plain(table, cell, seen)]
        if who == "ours" or not cell.stage.startswith("tool"):
            # A tool hook by itself gets to see no record of the run.
            found += _stored(owner)
        if is_taken_away(cell) and _is_of_govern(seen):
            return found
        if cell.entry == "workflow" and who == "ours" and seen.around and seen.status == "ERROR":
            found.append(f"{UNCLEAR} {seen.around} round a step that was refused")
        return [*found, *_unclear(table, cell, seen, owner), *_idle(cell, guard)]
    finally:
        over.set()


def control(table: Table, entry: str, shape: str) -> list[str]:
    """What went wrong where nothing is forbidden, and the guard is in its place."""
    cell = Cell(entry, shape, "none", "none")
    guard = guard_for("none", "none", threading.Event())
    _, seen = _seen(table, cell, guard, Tools(), "ours")
    found = [f"the provider failed: {error!r}" for error in table.provider.errors]
    if seen.status != "COMPLETED":
        found.append(f"ended {seen.status}")
    if (verdict := verdict_of(seen.last)) is not None:
        found.append(f"has a verdict: {verdict}")
    return found if FINE in seen.shown else [*found, "the answer was not shown"]


def _seen(table: Table, cell: Cell, guard: Any, tools: Tools, who: str) -> tuple[Any, Seen]:
    table.provider.reset()
    script(table.provider, cell.shape, cell.stage)
    background = cell.fault == "background"
    owner = SHAPE_MAKERS[cell.shape](copy(table.model), tools, cell.stage)
    if who != "ours" or not cell.stage.startswith("model"):
        install(owner, guard, cell.stage, background=background)
    flow = flow_of(owner) if cell.entry == "workflow" else None
    if who == "ours":
        govern(flow or owner, guards=[guard])
    if cell.fault == "dropped":
        owner = _dropped(table, cell, owner)
    text = ASK.get(cell.stage, GO)
    asked = Asked(table.host, copy(table.model), owner, text, flow, background)
    if background and cell.entry not in OS_ENTRIES:
        asked.tasks = BackgroundTasks()
    try:
        seen = ENTRY_PLAYERS[cell.entry](asked)
    except (Blocked, UngovernedPathError) as error:
        seen = of_error(error)
    asked.finish()
    return owner, seen


# How hooks get lost


def _dropped(table: Table, cell: Cell, owner: Any) -> Any:
    if not is_taken_away(cell):
        # A sync run skips what it would have to await.
        table.host.wait(owner.arun(WARM, session_id="before"))
        table.provider.reset()
        script(table.provider, cell.shape, cell.stage)
        return owner
    if cell.entry in ("arun", "astream", "aprint", "background") and isinstance(owner, Agent):
        kept = Registry(models=[owner.model], tools=list(owner.tools or ()))
        rebuilt = Agent.from_dict(owner.to_dict(), registry=kept)
        rebuilt.db = owner.db
        return rebuilt
    for each in everyone(owner):
        each.pre_hooks = each.post_hooks = each.tool_hooks = None
    return owner


def _idle(cell: Cell, guard: NoBirds) -> list[str]:
    """How the guard was not put to the test that the cell is about."""
    if not guard.places:
        return ["idle: the guard was never shown what is forbidden"]
    first = guard.places[0]
    # A guard in the model looks at what a tool gives back as soon as it is there.
    its_own = ("model", "tool") if cell.stage in ("model in", "tool out") else ("model",)
    if is_taken_away(cell) and first not in its_own:
        return [f"idle: the guard that was dropped was asked in its place, {first}"]
    if cell.fault == "background" and first == cell.stage:
        return [IN_TIME.format(first)]
    return []


# What should not have been


def _leaks(table: Table, cell: Cell, seen: Seen, tools: Tools) -> list[str]:
    sent = [call for call in table.provider.calls if any(mark in call.system for mark in LED)]
    bodies = [json.dumps(call.body["messages"]) for call in sent]
    found: list[str] = []
    match cell.stage:
        case "pre" | "model in":
            if leaked := sum(FORBIDDEN in body for body in bodies):
                found.append(f"{leaked} requests with the forbidden text")
        case "post" | "model out":
            if FORBIDDEN in seen.shown:
                found.append("the caller was shown the forbidden answer")
            if leaked := sum(FORBIDDEN in body for body in bodies):
                found.append(f"{leaked} requests with the forbidden answer")
        case "tool in" | "tool out":
            if any(FOUND in body for body in bodies):
                found.append("the tool's result was sent")
            if FORBIDDEN in str(tools.done) and cell.fault != "dropped":
                found.append("the tool was run")
    return found


def _stored(owner: Any) -> list[str]:
    """What of it the owner's database has."""
    held = json.dumps([session.to_dict() for session in owner.db.get_sessions()], default=str)
    return ["the forbidden text was stored"] * (FORBIDDEN in held)


# How it ended


def _unclear(table: Table, cell: Cell, seen: Seen, owner: Any) -> list[str]:
    """How the run ended, where that does not say that it was refused, and by whom."""
    found = []
    if seen.around is not None:
        # It ends nobody else's run: whoever asked is told, and goes on.
        if seen.around != "COMPLETED":
            found.append(f"{UNCLEAR} {seen.around} round it")
        if cell.entry != "workflow" and not _was_read(table):
            found.append(f"{UNCLEAR} with no word of {NAME} to whoever asked")
    if _refused(seen.last, seen.status):
        return found
    # Neither does a refused call, or a member that was refused in it.
    goes_on = cell.stage.startswith("tool") and seen.status == "COMPLETED" and _was_read(table)
    if goes_on and any(map(_tells, _runs([*seen.runs, *_stored_runs(owner.db)]))):
        return found
    verdict = verdict_of(seen.last)
    return [*found, f"{UNCLEAR} {seen.status}, by the word of {verdict and verdict.source}"]


def _is_of_govern(seen: Seen) -> bool:
    """Whether `govern` itself refused, since the hooks were gone; the guard was not asked then."""
    if seen.status == "400":  # a server's whole answer
        return "has lost its hooks" in seen.shown
    verdict = verdict_of(seen.last)
    return isinstance(seen.last, UngovernedPathError) or (
        seen.status == "ERROR" and verdict is not None and verdict.source == "govern"
    )


def _refused(run: Any, status: str) -> bool:
    verdict = verdict_of(run)
    return status == "ERROR" and verdict is not None and verdict.source == NAME


def _tells(run: Any) -> bool:
    """Whether an output or event says that itself, or a call of a tool in it, was refused."""
    is_end = isinstance(run, RunErrorEvent | TeamRunErrorEvent)
    status = "ERROR" if is_end else status_of(getattr(run, "status", None))
    calls = [getattr(run, "tool", None), *(getattr(run, "tools", None) or ())]
    return _refused(run, status) or any(
        call.tool_call_error and NAME in str(call.result) for call in calls if call is not None
    )


def _runs(some: Iterable[Any]) -> Iterator[Any]:
    """`some` outputs and events, the events in them, and the outputs of members."""
    for run in some:
        yield run
        yield from getattr(run, "events", None) or ()
        yield from _runs(getattr(run, "member_responses", None) or ())


def _stored_runs(db: Any) -> list[Any]:
    return [run for session in db.get_sessions() for run in session.runs or ()]


def _was_read(table: Table) -> bool:
    """Whether a model was told of the refusal as the result of what it asked for."""
    messages = [message for call in table.provider.calls for message in call.body["messages"]]
    return any(m["role"] == "tool" and NAME in str(m["content"]) for m in messages)


def _unclear_of_plain(table: Table, cell: Cell, seen: Seen) -> list[str]:
    """The same of plain Agno, which has no verdicts: that it says so in any words is enough."""
    said = NAME in f"{seen.shown} {getattr(seen.last, 'content', None)}"
    if seen.status == "ERROR" and said:
        return []
    read = said or any(NAME in str(call.body) for call in table.provider.calls)
    routed = cell.shape == "route" and cell.stage in ("post", "model out")
    tools = cell.stage.startswith("tool") or cell.stage == "model in"
    others = cell.entry in WITHIN or tools or routed
    if others and read and "ERROR" not in (seen.status, seen.around):
        return []
    return [f"{UNCLEAR} {seen.status}" + ("" if read else f", and no word of {NAME}")]
