"""What tools give back: the guards see it before anybody does.

The host shows each result in an event, with all that a member or another tool says on the way to
it, before it sends the result to a model. The result of a tool with `show_result`, and of a member
in route mode, is the answer itself, and no model is asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.message import Message
from agno.models.response import ModelResponse, ModelResponseEvent
from agno.run.agent import RunContentEvent
from agno.run.base import BaseRunOutputEvent
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive
from agno_portkey.errors import Blocked, InputBlocked, OutputBlocked
from agno_portkey.guardrails.at_rest import clean, earlier_of, parts_rewritten, replaced
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.members import heard_by
from agno_portkey.guardrails.passages import Scene, Side, Unreadable
from agno_portkey.guardrails.stage import Stage, placeholder
from agno_portkey.guardrails.yielded import said
from agno_portkey.modes import override_of
from agno_portkey.verdict import Verdict

__all__ = ["ashown", "shown"]

_ANSWER = ModelResponseEvent.assistant_response.value
_DONE = ModelResponseEvent.tool_call_completed.value


def shown(
    model: Any, calls: Sequence[FunctionCall], events: Iterator[Any], results: list[Message]
) -> Iterator[Any]:
    """What the host's `events` of running `calls` may show, and `results` may hold.

    `model` is the PortkeyModel that runs them. Raises what its guards refuse an answer with; what
    they refuse a result with is raised by the call that would send it.
    """
    held = _held(model, calls, SyncIO())
    return events if held is None else drive(held.events(_aiter(events), results))


def ashown(
    model: Any, calls: Sequence[FunctionCall], events: AsyncIterator[Any], results: list[Message]
) -> AsyncIterator[Any]:
    """The same on an event loop."""
    held = _held(model, calls, AsyncIO())
    return events if held is None else held.events(events, results)


def _held(model: Any, calls: Sequence[FunctionCall], io: IO) -> _Results | None:
    """None where no guard has a say in what is shown."""
    if not (guards := model.checked_guards) or not calls:
        return None
    answers = any(call.function.show_result for call in calls)
    reads = not all(map(_ends, calls)) and model.kept.showing.shows(_run_id(calls))
    after = [guard for guard in guards if answers and guard.looks_at("output")]
    before = [g for g in guards if reads and g.looks_at("input") and _has_a_say(g)]
    return _Results(model, before, after, calls, io) if before or after else None


def _run_id(calls: Sequence[FunctionCall]) -> str | None:
    return getattr(calls[0].function._run_context, "run_id", None)


def _ends(call: FunctionCall) -> bool:
    """Whether the result is an answer, and is not sent to a model as well."""
    return call.function.show_result and call.function.stop_after_tool_call


def _has_a_say(guard: Any) -> bool:
    return (override_of("guards") or guard.mode) not in ("off", "observe")


class _Results:
    """What some calls show; held until all of it is there, and its verdict.

    `before` are the guards of what is sent to a model, `after` those of what is answered.
    """

    def __init__(
        self,
        model: Any,
        before: list[Any],
        after: list[Any],
        calls: Sequence[FunctionCall],
        io: IO,
    ) -> None:
        self._answers = {call.call_id for call in calls if call.function.show_result}
        self._ends = {call.call_id for call in calls if _ends(call)}
        self._kept: dict[str, str] = {}
        self._before, self._after, self._io, self._model = before, after, io, model
        context = self._context = calls[0].function._run_context
        self._run_id = _run_id(calls)
        # What members say was let go by the same guards as it came.
        self._listens = bool(before) and not heard_by(before, calls)
        seat = model.seat
        self._scene = Scene(
            "tool",
            run_id=self._run_id,
            session_id=getattr(context, "session_id", None),
            user_id=getattr(context, "user_id", None),
            role=seat.role if seat else None,
            swarm=seat.swarm if seat else None,
        )

    def _stage(self, guards: list[Any], side: Side) -> Stage:
        keep, earlier = self._kept.__setitem__, earlier_of(self._context)
        quiet = side == "input"
        observers = self._model.observers
        return Stage(guards, self._io, self._scene, side, observers, keep, earlier, quiet)

    async def events(
        self, events: AsyncIterator[Any], results: list[Message]
    ) -> AsyncIterator[Any]:
        """The events, none of them from the first that shows a result before its verdict."""
        held: list[Any] = []
        async with Owned(events) as all_of_them:
            async for event in all_of_them:
                if held or self._tells(event):
                    held.append(event)
                else:
                    yield event
        try:
            found = await self._answered(held) if held and self._after else held
            found = await self._read(found, results) if found and self._before else found
        except Unreadable as error:
            raise _unreadable(self._after, error, OutputBlocked) from error
        finally:
            self._model.kept.note(self._run_id, self._kept)
        for event in found:
            yield event
        clean(results, self._kept)

    def _tells(self, event: Any) -> bool:
        if _shows(event):
            return True
        said = self._listens and isinstance(event, BaseRunOutputEvent)
        return bool(self._before) and (said or _is_done(event))

    # Answers

    async def _answered(self, held: list[Any]) -> list[Any]:
        """What is shown of results that are answers."""
        done = [each for each in _done(held) if each.tool_call_id in self._answers and each.result]
        # An object's own words are in its result as JSON; it is shown as the object.
        objects = [e.content for e in held if _shows(e) and not isinstance(e.content, str)]
        asked = [*(each.result for each in done), *objects]
        found = await looked_at(self._stage(self._after, "output"), asked, "tool")
        if found is asked:
            return held
        texts, objects = found[: len(done)], found[len(done) :]
        rest = [
            event
            for event in held
            if not (_shows(event) or isinstance(event, RunContentEvent | TeamRunContentEvent))
        ]
        for event in rest:
            clean(event, self._kept)
        for each, text in zip(done, texts, strict=True):
            each.result = text
        return [*(ModelResponse(content=each) for each in objects or texts), *rest]

    # Results that are sent to a model

    async def _read(self, held: list[Any], results: list[Message]) -> list[Any]:
        """What is shown of results that a model reads."""
        whole = [each.result or "" for each in _done(held)]
        done = [each for each in _done(held) if each.tool_call_id not in self._ends and each.result]
        texts = [each.result for each in done]
        found, refusal = await self._looked_at(texts, results)
        changed = {a: b for a, b in zip(texts, found, strict=True) if a != b}
        for each, text in zip(done, found, strict=True):
            each.result = text
        if self._listens:
            # Of what a tool said before it failed nothing is in any result.
            held = [event for event in held if _is_told(event, whole, changed)]
        if not changed:
            return held
        answers = [each.result for each in done if each.tool_call_id in self._answers]
        rest = [event for event in held if not _shows(event)]
        for event in rest:
            told = event.to_dict() if isinstance(event, BaseRunOutputEvent) else None
            clean(event, {**parts_rewritten(told, changed), **changed})
        return rest if refusal else [*(ModelResponse(content=each) for each in answers), *rest]

    async def _looked_at(
        self, texts: list[str], results: list[Message]
    ) -> tuple[list[str], Exception | None]:
        """What is shown of `texts`, and what they were refused with."""
        try:
            return await looked_at(self._stage(self._before, "input"), texts, "tool"), None
        except (InputCheckError, OutputCheckError) as error:
            refusal: Exception = error
        except Unreadable as error:
            self._kept |= dict.fromkeys(texts, placeholder(_names(self._before)))
            refusal = _unreadable(self._before, error, InputBlocked)
        # Raised where the call is made that would send them: with it they are stored.
        self._model.kept.showing.refuse(results, refusal)
        instead = [replaced(text, self._kept) for text in texts]
        # Those that were not refused may have been looked at by some guards alone.
        other = placeholder(_names(self._before))
        return [a if a != b else other for a, b in zip(instead, texts, strict=True)], refusal


def _names(guards: Sequence[Any]) -> str:
    return ", ".join(guard.name for guard in guards)


def _unreadable(guards: Sequence[Any], error: Unreadable, kind: type[Blocked]) -> Blocked:
    names = _names(guards)
    return kind(Verdict(False, names, (f"{names} can't tell: {error}",)))


def _done(held: list[Any]) -> list[Any]:
    """What the host records of the calls that are done."""
    return [each for event in held if _is_done(event) for each in event.tool_executions or ()]


def _is_done(event: Any) -> bool:
    return isinstance(event, ModelResponse) and event.event == _DONE


def _shows(event: Any) -> bool:
    """Whether this is what the host makes the run's content of."""
    return isinstance(event, ModelResponse) and event.event == _ANSWER and bool(event.content)


def _is_told(event: Any, whole: list[str], changed: Mapping[str, str]) -> bool:
    """Whether what this event says, if anything, is part of a result, and of none that changed."""
    words = said([event]) if isinstance(event, BaseRunOutputEvent) else ""
    return not words or (any(words in t for t in whole) and all(words not in t for t in changed))


async def _aiter(events: Iterator[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event
