"""Plays one cell of the matrix, on ours or on plain Agno, and tells what should not have been."""

from __future__ import annotations

import json
import threading
from copy import copy
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.registry import Registry
from matrix_asked import Asked, Host, Seen
from matrix_cells import READIED, WITHIN, Cell
from matrix_entries import ENTRY_PLAYERS
from matrix_guards import FORBIDDEN, NAME, everyone, guard_for, install, plain_guard_for
from matrix_shapes import ASK, FINE, FOUND, LED, SHAPE_MAKERS, WARM, Tools, script

from agno_portkey import PortkeyModel
from agno_portkey.testing import EmbeddedProvider

__all__ = ["UNCLEAR", "Table", "control", "play"]

GO = "Go ahead please."
# How the one finding begins that is no leak.
UNCLEAR = "unclear: it ended"


@dataclass
class Table:
    """What all cells are played on: one event loop, one provider, one model's connections."""

    host: Host
    provider: EmbeddedProvider
    model: PortkeyModel


def play(table: Table, cell: Cell, *, who: str = "ours") -> list[str]:
    """What should not have been in `cell`; nothing if the guard held.

    `who`: `ours` (in the stage's list and in the models, as `govern` puts it there), `hooks`
    (ours, in the list alone) or `plain` (Agno's own kind of guardrail, in the list).
    """
    over = threading.Event()
    make = plain_guard_for if who == "plain" else guard_for
    try:
        guard, tools = make(cell.stage, cell.fault, over), Tools(finds=cell.stage == "tool out")
        owner, seen = _seen(table, cell, guard, tools, who)
        return _leaks(table, cell, seen, tools, owner)
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
    return found if FINE in seen.shown else [*found, "the answer was not shown"]


def _seen(table: Table, cell: Cell, guard: Any, tools: Tools, who: str) -> tuple[Any, Seen]:
    table.provider.reset()
    script(table.provider, cell.shape, cell.stage)
    background = cell.fault == "background"
    model = copy(table.model)
    if who == "ours":
        model.guards = [guard]
    owner = SHAPE_MAKERS[cell.shape](model, tools, cell.stage)
    if who != "ours" or not cell.stage.startswith("model"):
        install(owner, guard, cell.stage, background=background)
    if cell.fault == "dropped":
        owner = _dropped(table, cell, owner)
    text = ASK.get(cell.stage, GO)
    asked = Asked(table.host, copy(table.model), owner, text, background)
    return owner, ENTRY_PLAYERS[cell.entry](asked)


# How hooks get lost


def _dropped(table: Table, cell: Cell, owner: Any) -> Any:
    if cell.entry in READIED:
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


# What should not have been


def _leaks(table: Table, cell: Cell, seen: Seen, tools: Tools, owner: Any) -> list[str]:
    sent = [call for call in table.provider.calls if any(mark in call.system for mark in LED)]
    bodies = [json.dumps(call.body["messages"]) for call in sent]
    found = [f"the provider failed: {error!r}" for error in table.provider.errors]
    match cell.stage:
        case "pre" | "model in":
            if leaked := sum(FORBIDDEN in body for body in bodies):
                found.append(f"{leaked} requests with the forbidden text")
            if FORBIDDEN in stored(owner.db):
                found.append("the forbidden text was stored")
        case "post" | "model out":
            found += _told(seen, owner)
            if leaked := sum(FORBIDDEN in body for body in bodies):
                found.append(f"{leaked} requests with the forbidden answer")
        case "tool in" | "tool out":
            if any(FOUND in body for body in bodies):
                found.append("the tool's result was sent")
            if FORBIDDEN in str(tools.done) and cell.fault != "dropped":
                found.append("the tool was run")
    return [*found, *_unclear(table, cell, seen)]


def _told(seen: Seen, owner: Any) -> list[str]:
    found = []
    if FORBIDDEN in seen.shown:
        found.append("the caller was shown the forbidden answer")
    if FORBIDDEN in stored(owner.db):
        found.append("the forbidden answer was stored")
    return found


def stored(db: InMemoryDb) -> str:
    """All that a database has of its sessions."""
    return json.dumps(
        [session.to_dict() for session in db.get_sessions()],  # type: ignore[union-attr]
        default=str,
    )


def _unclear(table: Table, cell: Cell, seen: Seen) -> list[str]:
    """How the run ended, where that does not say that it was refused, and by whom."""
    said = NAME in f"{seen.shown} {seen.record}"
    if seen.status == "ERROR" and said:
        return []
    read = said or any(NAME in str(call.body) for call in table.provider.calls)
    # A refused tool or member ends nobody else's run: whoever asked it is told, and goes on.
    others = cell.entry in WITHIN or cell.stage.startswith("tool") or _is_routed(cell)
    if others and read and seen.status != "ERROR":
        return []
    return [f"{UNCLEAR} {seen.status}" + ("" if read else f", and no word of {NAME}")]


def _is_routed(cell: Cell) -> bool:
    """Whether a member's answer is the team's, and its leader says nothing."""
    return cell.shape == "route" and cell.stage in ("post", "model out")
