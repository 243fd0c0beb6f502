"""The first and the third lock, inside the models: the Runner's refuses, the leader's holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts.partial import without_partial
from agno_portkey.drivers import Owned
from agno_portkey.errors import Blocked, ContractError, GatewayError, ToolRefused
from agno_portkey.gates.asked import ASKED_ANEW, is_asked_anew
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.declined import put_declined
from agno_portkey.gates.jury import jury
from agno_portkey.gates.tools import is_of, is_protected, protect
from agno_portkey.modes import Modes
from agno_portkey.routing.limits import Limits
from agno_portkey.runs import Part, Run, Station, run_in
from agno_portkey.stopping import Brake
from agno_portkey.verdict import failure_of

__all__ = ["THINKING", "Seat", "guard_call", "interlock"]

_log = logging.getLogger("agno_portkey")

# What is said to a tool of these names, in any case, the host tells as reasoning, of whomever.
THINKING = ("think", "analyze")
# Whose results are the words of members, by the host's names.
_DELEGATES = ("delegate_task_to_member", "delegate_task_to_members")


@dataclass(frozen=True, eq=False)
class Seat:
    """Whom a bound model speaks for: one part in one governed team.

    The parts: `leader`, `runner`, `aide` (the Runner's auxiliary models), and `planner`,
    `critic`, `judge` and `member`. `holds` says whether its words could pass for the Runner's
    result, and are held until the gate is settled: those of a leader above the Runner, and of
    whoever such a leader routes to. `ends_on_text` says whether a leader's text, when it calls
    no tool, is its last word (not so in tasks mode, where it is asked again).

    `modes` says how strictly its outputs are held to their schemas, and whether its tags are sent;
    `brake` stops it with its swarm, `limits` say which models it may ask.
    """

    part: Part
    role: str
    swarm: str | None
    charter: Charter | None
    holds: bool = False
    ends_on_text: bool = True
    modes: Modes = field(default_factory=Modes)
    brake: Brake | None = None
    limits: Limits | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Seat:
        return self


def interlock(seat: Seat) -> Layer | None:
    """The layer that `seat` needs, if it needs one."""
    charter = seat.charter
    if charter is None:
        return None
    if seat.part == "runner":
        return _enforced(charter, seat, _runner(charter))
    if seat.part == "aide":
        return _enforced(charter, seat, _aide(charter))
    if seat.part == "leader" or seat.holds:
        return _enforced(charter, seat, _speaker(charter, seat))
    if seat.part in ("planner", "critic", "judge"):
        return _witness(charter, jury(charter) if seat.part == "judge" else None)
    return None


def _enforced(charter: Charter, seat: Seat, lock: Layer) -> Layer:
    """`lock` where the gate enforces; elsewhere the call goes its way, as if there were none."""

    def layer(call: Call, io: IO, inner: Next) -> Deltas:
        if charter.enforces(call.run_id):
            return lock(call, io, inner)
        if call.run_response is None or charter.runs.find(call.run_id) is not None:
            return inner(call)
        return _unknown(charter, seat, call, io, inner)

    return layer


async def _unknown(charter: Charter, seat: Seat, call: Call, io: IO, inner: Next) -> Deltas:
    """What is only observed is told by the hooks; that they did not run, nobody else can tell."""
    await charter.aheld(call.run_id, lambda: _require_known(charter, seat, call, io))
    async with inner(call) as out:
        async for delta in out:
            yield delta


async def _require_known(charter: Charter, seat: Seat, call: Call, io: IO) -> None:
    if seat.part == "leader":
        raise charter.decline_unknown()
    if seat.part == "runner":
        await charter.arequire_clearance(call.run_id, io)


def guard_call(seat: Seat, call: FunctionCall) -> None:
    """Put the gate into a tool call that is about to run, where it is not in the tool already.

    The host runs every tool through its model, also one that was given to an agent late, or
    that came back from a database as the user's bare function.
    """
    charter, function = seat.charter, call.function
    if charter is None:
        return
    if is_of(charter, function) and not is_protected(function):
        protect(function, charter)
    run_id = _called_in(charter, function._run_context)
    station = charter.runs.find(run_id)
    if station is not None:
        # What a run that fails has called is in no output.
        with station.run.lock:
            station.run.tried.add(function.name)
    if not seat.holds and seat.part not in ("leader", "critic", "judge"):
        return
    if seat.part == "leader" and station is not None:
        station.run.led(call)
    if not charter.enforces(run_id) or (station is not None and station.run.settled):
        return
    if (seat.part == "leader" or seat.holds) and function.name.lower() in THINKING:
        raise charter.refusal(station, f"{seat.role} thinks aloud ({function.name})")
    if function.name not in _DELEGATES:
        # The host would show its result as the speaker's own words.
        function.show_result = False
    if seat.part == "leader" and _ends_a_task(function.name, call.arguments or {}):
        function.entrypoint = _refuse_to_end(charter, station)


def _called_in(charter: Charter, context: Any) -> str | None:
    """The run in which a tool is called; in a workflow's step the host tells the workflow's id."""
    run_id: str | None = getattr(context, "run_id", None)
    run = run_in(getattr(context, "dependencies", None))
    return run.id if run is not None and charter.runs.find(run_id) is None else run_id


def _ends_a_task(name: str, arguments: dict[str, Any]) -> bool:
    """Whether a leader in tasks mode declares work done with this call, in words of its own."""
    if name == "update_task_status":
        return arguments.get("status") == "completed" or bool(arguments.get("result"))
    return name == "mark_all_complete"


def _refuse_to_end(charter: Charter, station: Station | None) -> Callable[..., str]:
    def refuse(**kwargs: Any) -> str:
        reason = "no task is done before the cleared plan has been run"
        charter.refusal(station, reason)
        raise ToolRefused(f"refused by the gate: {reason}")

    return refuse


def _runner(charter: Charter) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        mute = False
        if call.run_response is not None:
            station, steps = await charter.arequire_clearance(call.run_id, io)
            charter.require_same(station.run, call.run_response)
            if is_asked_anew(station.run, call):
                raise charter.refusal(station, ASKED_ANEW)
            await charter.require_good(station, io)
            mute = bool(steps.missing(charter.tools or frozenset()))
        else:
            _require_any(charter)
        async with inner(call) as out:
            async for delta in out:
                # What it says before the plan's steps are done is no report of them.
                yield _without_words(delta) if mute else delta

    return layer


async def _as_it_is(call: Call, io: IO, inner: Next) -> Deltas:
    async with inner(call) as out:
        async for delta in out:
            yield delta


def _witness(charter: Charter, asked: Layer | None) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        try:
            async with Owned((asked or _as_it_is)(call, io, inner)) as out:
                async for delta in out:
                    yield delta
        except ContractError as error:
            # The leader hears of it, and it is among the reasons if nothing better follows.
            if (station := charter.runs.find(call.run_id)) is not None:
                station.run.complaints[station.part] = str(error)
                station.run.note_refusal(str(error))
            raise
        except (Blocked, GatewayError) as error:
            # The host tells the leader of it.
            if (station := charter.runs.find(call.run_id)) is not None:
                who = station.role or station.part
                station.run.complaints[station.part] = failure_of(who, error)
            raise

    return layer


def _aide(charter: Charter) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        _require_any(charter)
        async with inner(call) as out:
            async for delta in out:
                yield delta

    return layer


def _require_any(charter: Charter) -> None:
    # Memories, summaries and reasoning carry no run of ours: they may speak while some run may.
    if not charter.runs.any_cleared(charter.books.clock()):
        raise charter.refusal(None, "no run of this team is cleared")


def _speaker(charter: Charter, seat: Seat) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        run = await _run_of(charter, seat, call, io)
        if run is not None:
            outermost = run.id == call.run_id
            charter.require_whose(run, call.run_response)
            if is_asked_anew(run, call):
                _refuse_anew(charter, run, call)
            _tell_refusals(run, call.messages)
            if outermost and (run.barred or run.declined or charter.out_of_rounds(run)):
                raise await _decline(charter, run, call, io)
            if seat.holds and not run.settled:
                async with Owned(_held(charter, seat, run, call, io, inner)) as held:
                    async for delta in held:
                        yield delta
                return
            if outermost and (said := _release(run)):
                yield ModelResponse(content=said)
        async with inner(call) as out:
            async for delta in out:
                yield delta

    return layer


def _refuse_anew(charter: Charter, run: Run, call: Call) -> None:
    """End a run that was continued with another request: its clearance is not for that."""
    if run.id != call.run_id:
        raise charter.refusal(charter.runs.find(call.run_id), ASKED_ANEW)
    charter.bar(run, ASKED_ANEW)


async def _run_of(charter: Charter, seat: Seat, call: Call, io: IO) -> Run | None:
    """The run that this call is part of; none for an auxiliary call or a member tried alone."""
    if call.run_response is None:
        return None
    station = charter.runs.find(call.run_id)
    if station is None and seat.part == "leader":
        station = await charter.astation(call.run_id, io)
    if station is not None:
        return station.run
    if seat.part != "leader":
        return None
    declined = charter.decline_unknown()
    put_declined(call.run_response, declined)
    raise declined


async def _held(charter: Charter, seat: Seat, run: Run, call: Call, io: IO, inner: Next) -> Deltas:
    """Let tool calls through and keep the words until the gate is settled."""
    calls_tools = False
    text: list[str] = []
    async with inner(call) as out:
        async for delta in out:
            calls_tools = calls_tools or bool(delta.tool_calls)
            if isinstance(delta.content, str):
                text.append(delta.content)
            yield _without_words(delta)
    if run.id == call.run_id:
        if not calls_tools and seat.ends_on_text:
            raise await _decline(charter, run, call, io)
        with run.lock:
            run.held.append("".join(text))
    elif not calls_tools:
        raise charter.refusal(
            charter.runs.find(call.run_id),
            f"what {seat.role} says does not stand: the cleared plan has not been run",
        )


def _without_words(delta: ModelResponse) -> ModelResponse:
    return ModelResponse(
        role=delta.role,
        tool_calls=delta.tool_calls,
        provider_data=without_partial(delta.provider_data),
        response_usage=delta.response_usage,
    )


def _release(run: Run) -> str:
    """What the leader said before the gate was settled, once."""
    with run.lock:
        said = [text for text in run.held if text]
        run.held.clear()
    return "\n\n".join([*said, ""]) if said else ""


async def _decline(charter: Charter, run: Run, call: Call, io: IO) -> Exception:
    try:
        await charter.word_on(run, io)
    except Exception as error:
        # It is declined anyway; only whose no it is stays untold.
        _log.debug("what was said of a declined plan can't be read: %s", type(error).__name__)
    declined = charter.decline(run)
    put_declined(call.run_response, declined)
    await io.run(charter.books.owed.made)
    return declined


def _tell_refusals(run: Run, messages: list[Message]) -> None:
    """Put refusals into the tool result that the leader reads.

    While streaming, the host hands the leader an empty result, or the refused member's words.
    """
    result = next((m for m in reversed(messages) if m.role == "tool"), None)
    if result is None:
        return  # it may be another leader: they are kept for the one that can read them
    with run.lock:
        reasons, run.untold = run.untold, []
    if not reasons:
        return
    said = result.content if isinstance(result.content, str) else ""
    missing = [reason for reason in reasons if reason not in said]
    if missing:
        notes = [f"Refused by the gate: {reason}" for reason in missing]
        result.content = "\n\n".join([said, *notes] if said else notes)
