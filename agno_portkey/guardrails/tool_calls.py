"""Guards in front of a tool: what they refuse does not run, and the model reads why.

The model's answer was looked at when it asked for the call; but who confirms one that waits for it
can change its arguments, and then no model speaks again before the tool runs.
"""

from __future__ import annotations

from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO, refuse_tool
from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.guardrails.forms import looked_at
from agno_portkey.guardrails.passages import Scene, Unreadable
from agno_portkey.guardrails.stage import Stage

__all__ = ["acheck_tool", "check_tool"]


def check_tool(model: Any, call: FunctionCall) -> None:
    """Ask the guards of `model`, a PortkeyModel, about a call that it is about to run."""
    step(_check(model, call, SyncIO()))


async def acheck_tool(model: Any, call: FunctionCall) -> None:
    """The same on an event loop."""
    await _check(model, call, AsyncIO())


async def _check(model: Any, call: FunctionCall, io: IO) -> None:
    # Those that rewrite have done so when the call was asked for: the tool gets what they left.
    guards = [guard for guard in model.checked_guards if not guard.rewrites]
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
        await looked_at(stage, call.arguments, "tool_call", leaves=True)
    except (InputCheckError, OutputCheckError, Unreadable) as error:
        refuse_tool(call, f"{call.function.name} was refused: {error}")
        model.kept.note(scene.run_id, kept)
