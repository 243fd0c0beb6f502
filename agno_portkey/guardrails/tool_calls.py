"""Guards in front of a tool: what they refuse does not run, and the model reads why.

The model's answer was looked at when it asked for the call; but who confirms one that waits for it
can change its arguments, and then no model speaks again before the tool runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.message import Message
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO, refuse_tool
from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.passages import Scene, Unreadable
from agno_portkey.guardrails.stage import Stage

__all__ = ["acheck_tool", "check_tool", "note_as_sent"]

# What the host's tools for memories call the text that they keep beside each.
_SAID = "input_string"


def check_tool(model: Any, call: FunctionCall) -> None:
    """Ask the guards of `model`, a PortkeyModel, about a call that it is about to run."""
    step(_check(model, call, SyncIO()))


async def acheck_tool(model: Any, call: FunctionCall) -> None:
    """The same on an event loop."""
    await _check(model, call, AsyncIO())


async def _check(model: Any, call: FunctionCall, io: IO) -> None:
    # Those that rewrite have done so when the call was asked for: the tool gets what they left,
    # unless somebody filled it in, or could change it, since.
    function, changed = call.function, call.function.requires_user_input
    changed = changed or function.requires_confirmation
    guards = [guard for guard in model.checked_guards if changed or not guard.rewrites]
    if not guards or not call.arguments:
        return
    context, seat = call.function._run_context, model.seat
    scene = Scene(
        "tool",
        run_id=getattr(context, "run_id", None),
        session_id=getattr(context, "session_id", None),
        user_id=getattr(context, "user_id", None),
        role=seat.role if seat else None,
        swarm=seat.swarm if seat else None,
    )
    kept: dict[str, str] = {}
    stage = Stage(guards, io, scene, "input", model.observers, kept.__setitem__)
    try:
        found = await looked_at(stage, call.arguments, "tool_call", leaves=True)
    except (InputCheckError, OutputCheckError, Unreadable) as error:
        refuse_tool(call, f"{call.function.name} was refused: {error}")
    else:
        if found is not call.arguments:
            # In the host's own record of the call, too.
            arguments: dict[str, Any] = call.arguments
            arguments.clear()
            arguments.update(found)
    model.kept.note(scene.run_id, kept)


def note_as_sent(calls: Sequence[FunctionCall], messages: Sequence[Message]) -> None:
    """Have the host's tools that keep what was said beside a memory keep what was sent of it.

    They have it from before any guard saw it; `messages` hold what the guards made of it.
    """
    cells = [cell for call in calls if (cell := _said_in(call)) is not None]
    if not cells:
        return
    sent = [message.get_content_string() for message in messages]
    asked = [m.get_content_string() for m in messages if m.role == "user" and m.content]
    for cell in cells:
        if not any(cell.cell_contents in text for text in (*sent, ", ".join(asked))):
            cell.cell_contents = ", ".join(asked)


def _said_in(call: FunctionCall) -> Any:
    """The variable of a tool's function that holds what was said; None if it has none."""
    function: Any = inspect.unwrap(call.function.entrypoint or call)  # type: ignore[arg-type]
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    ours = str(getattr(function, "__module__", "")).startswith("agno.") and _SAID in names
    return function.__closure__[names.index(_SAID)] if ours else None
