"""The first and the third lock, inside the models: the Runner's refuses, the leader's holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.declined import put_declined
from agno_portkey.runs import Part, Run

__all__ = ["Seat", "interlock"]


@dataclass(frozen=True, eq=False)
class Seat:
    """Whom a bound model speaks for: one part in one governed team.

    The parts: `leader`, `runner`, `aide` (the Runner's auxiliary models), and `planner`,
    `critic`, `judge` and `member`, which no lock stands in front of. `ends_on_text` says whether the leader's text, when it calls no tool, is its last word
    (not so in tasks mode, where it is asked again).
    """

    part: Part
    role: str
    swarm: str | None
    charter: Charter | None
    ends_on_text: bool = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Seat:
        return self


def interlock(seat: Seat) -> Layer | None:
    """The layer that `seat` needs: for the Runner and the leader; other parts need none."""
    charter = seat.charter
    if charter is None:
        return None
    if seat.part == "runner":
        return _runner(charter)
    if seat.part == "aide":
        return _aide(charter)
    if seat.part == "leader":
        return _leader(charter, seat.ends_on_text)
    return None


def _runner(charter: Charter) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        if call.run_response is not None:
            charter.require_clearance(call.run_id)
        else:
            _require_any(charter)
        async for delta in inner(call):
            yield delta

    return layer


def _aide(charter: Charter) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        _require_any(charter)
        async for delta in inner(call):
            yield delta

    return layer


def _require_any(charter: Charter) -> None:
    # Memories, summaries and reasoning carry no run of ours: they may speak while some run may.
    if not charter.runs.any_cleared():
        raise charter.refusal(None, "no run of this team is cleared")


def _leader(charter: Charter, ends_on_text: bool) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        if call.run_response is None:
            async for delta in inner(call):
                yield delta
            return
        station = charter.runs.find(call.run_id)
        if station is None:
            raise charter.refusal(
                None, "the team's hooks did not run, or it was rebuilt without them: govern it"
            )
        run = station.run
        if run.id == call.run_id:
            _tell_refusals(run, call.messages)
            if charter.out_of_rounds(run):
                raise _decline(charter, run, call)
            if not run.settled:
                async for delta in _held(charter, run, call, inner, ends_on_text):
                    yield delta
                return
            if said := _release(run):
                yield ModelResponse(content=said)
        async for delta in inner(call):
            yield delta

    return layer


async def _held(charter: Charter, run: Run, call: Call, inner: Next, ends_on_text: bool) -> Deltas:
    """Let the leader's tool calls through and keep its words until the gate is settled."""
    calls_tools = False
    text: list[str] = []
    async for delta in inner(call):
        calls_tools = calls_tools or bool(delta.tool_calls)
        if isinstance(delta.content, str):
            text.append(delta.content)
        yield ModelResponse(
            role=delta.role,
            tool_calls=delta.tool_calls,
            provider_data=delta.provider_data,
            response_usage=delta.response_usage,
        )
    if not calls_tools and ends_on_text:
        raise _decline(charter, run, call)
    with run.lock:
        run.held.append("".join(text))


def _release(run: Run) -> str:
    """What the leader said before the gate was settled, once."""
    with run.lock:
        said = [text for text in run.held if text]
        run.held.clear()
    return "\n\n".join([*said, ""]) if said else ""


def _decline(charter: Charter, run: Run, call: Call) -> Exception:
    declined = charter.decline(run)
    put_declined(call.run_response, declined)
    return declined


def _tell_refusals(run: Run, messages: list[Message]) -> None:
    """Put refusals into the tool result that the leader reads.

    While streaming, the host hands the leader an empty result, or the refused member's words.
    """
    with run.lock:
        reasons, run.untold = run.untold, []
    if not reasons:
        return
    result = next((m for m in reversed(messages) if m.role == "tool"), None)
    if result is None:
        return
    said = result.content if isinstance(result.content, str) else ""
    missing = [reason for reason in reasons if reason not in said]
    if missing:
        notes = [f"Refused by the gate: {reason}" for reason in missing]
        result.content = "\n\n".join([said, *notes] if said else notes)
