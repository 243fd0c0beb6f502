"""What tools said last: no model is asked again, so the guards are asked before it is stored.

A tool ends a run with `stop_after_tool_call` or by raising `StopAgentRun`, whose messages the host
keeps too; and a run that waits for somebody may hold results beside the call that waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import Function

from agno_portkey.calls import IO, Call, Deltas
from agno_portkey.drivers import Owned
from agno_portkey.guardrails.at_rest import clean, keeps_out, withheld
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.guardrails.messages import in_value
from agno_portkey.guardrails.passages import Source, Unreadable
from agno_portkey.guardrails.surroundings import beside_of

__all__ = ["check_unsent", "unsent", "withhold"]

# A picture of what a run did is kept of these, and nobody's words.
_NO_WORDS = ("system", "tool_call")


def unsent(asked: Mapping[str, Any]) -> Call | None:
    """A call that would send what no call has sent; None if there is nothing.

    `asked` is what the host has asked a model for, once it is done with it. A result that is shown
    is looked at as an answer.
    """
    run = asked.get("run_response")
    rest = [] if run is None else _rest(asked.get("messages") or (), asked.get("tools") or ())
    return Call(rest, Message(role="assistant"), run_response=run) if rest else None


async def check_unsent(model: Any, call: Call, io: IO) -> None:
    """Ask the guards of `model`, a PortkeyModel, about `call`; raises what they block."""
    seat = model.seat
    layer = guard_layer(
        [guard for guard in model.checked_guards if guard.looks_at("input")],
        observers=model.observers,
        role=seat.role if seat else None,
        swarm=seat.swarm if seat else None,
        kept=model.kept,
    )
    async for _ in layer(call, io, _sends_nothing):
        pass


def withhold(model: Any, asked: Mapping[str, Any]) -> None:
    """Have nothing stored of a run that the guards of `model` were not yet asked about.

    `asked` is what the host has asked the model for when the run was cancelled, or stopped.
    """
    run, messages = asked.get("run_response"), asked.get("messages") or ()
    guards = [g for g in model.checked_guards if g.looks_at("input") and keeps_out(g)]
    if run is None or not guards:
        return
    instead = withheld(*guards)
    kept: dict[str, str] = {}

    def take(text: str, source: str, path: str) -> str:
        if source not in _NO_WORDS:
            kept[text] = instead
        return text

    def look(value: Any, source: Source) -> None:
        with suppress(Unreadable):
            in_value(value, take, source)

    rest = _rest(messages, ())
    held: list[tuple[Source, Any]] = [("user", [m for m in rest if not m.from_history])]
    if len(rest) == len(messages):  # no call was made yet
        held += beside_of(run, ())
    sent = {message.tool_call_id for message in messages[: len(messages) - len(rest)]}
    last = [t.result for t in run.tools or () if t.tool_call_id not in sent]
    for source, value in held:
        look(value, source)
    for result in last:
        look(result, "tool")
    clean(messages, kept)
    clean(run, kept)
    model.kept.note(run.run_id, kept)


def _sends_nothing(call: Call) -> Owned[ModelResponse]:
    return Owned(_silence())


async def _silence() -> Deltas:
    yield ModelResponse()


def _rest(messages: Sequence[Message], tools: Iterable[Any]) -> list[Message]:
    """The messages behind the last one that the model has written."""
    rest: list[Message] = []
    for message in reversed(messages):
        # The host times its models; a tool that gives an assistant's message does not.
        if message.role == "assistant" and message.metrics.timer is not None:
            break
        rest.insert(0, message)
    shown = {each.name for each in tools if isinstance(each, Function) and each.show_result}
    return [m for m in rest if m.role != "tool" or m.tool_name not in shown]
