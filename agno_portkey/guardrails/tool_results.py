"""Tools whose result is the answer itself: the guards see it before anybody does.

The host shows the result of a tool with `show_result`, and of a member in route mode, without
asking a model again; no guard round a call would see it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from agno.models.message import Message
from agno.models.response import ModelResponse, ModelResponseEvent
from agno.run.agent import RunContentEvent
from agno.run.team import RunContentEvent as TeamRunContentEvent
from agno.tools.function import FunctionCall

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive
from agno_portkey.errors import OutputBlocked
from agno_portkey.guardrails.at_rest import clean
from agno_portkey.guardrails.forms import looked_at
from agno_portkey.guardrails.passages import Scene, Unreadable
from agno_portkey.guardrails.stage import Stage
from agno_portkey.verdict import Verdict

__all__ = ["ashown", "shown"]

_ANSWER = ModelResponseEvent.assistant_response.value
_DONE = ModelResponseEvent.tool_call_completed.value


def shown(
    model: Any, calls: Sequence[FunctionCall], events: Iterator[Any], results: list[Message]
) -> Iterator[Any]:
    """What the host's `events` of running `calls` may show, and `results` may hold.

    `model` is the PortkeyModel that runs them; raises what its guards refuse a result with.
    """
    if not (guards := _guards(model, calls)):
        return events
    return drive(_Answer(model, guards, calls, SyncIO()).events(_aiter(events), results))


def ashown(
    model: Any, calls: Sequence[FunctionCall], events: AsyncIterator[Any], results: list[Message]
) -> AsyncIterator[Any]:
    """The same on an event loop."""
    if not (guards := _guards(model, calls)):
        return events
    return _Answer(model, guards, calls, AsyncIO()).events(events, results)


def _guards(model: Any, calls: Sequence[FunctionCall]) -> list[Any]:
    if not any(call.function.show_result for call in calls):
        return []
    return [guard for guard in model.checked_guards if guard.looks_at("output")]


class _Answer:
    """What some calls show as the answer; held until all of it is there, and its verdict."""

    def __init__(
        self, model: Any, guards: list[Any], calls: Sequence[FunctionCall], io: IO
    ) -> None:
        self._ids = {call.call_id for call in calls if call.function.show_result}
        self._kept: dict[str, str] = {}
        self._note = model.kept.note
        context = getattr(calls[0].function, "_run_context", None)
        self._run_id = getattr(context, "run_id", None)
        seat = model.seat
        scene = Scene(
            "tool",
            run_id=self._run_id,
            session_id=getattr(context, "session_id", None),
            user_id=getattr(context, "user_id", None),
            role=seat.role if seat else None,
            swarm=seat.swarm if seat else None,
        )
        self._stage = Stage(guards, io, scene, "output", model.observers, self._kept.__setitem__)

    async def events(
        self, events: AsyncIterator[Any], results: list[Message]
    ) -> AsyncIterator[Any]:
        """The events, none of them from the first that shows a result before its verdict."""
        held: list[Any] = []
        async with Owned(events) as all_of_them:
            async for event in all_of_them:
                if held or _shows(event):
                    held.append(event)
                else:
                    yield event
        try:
            found = await self._asked(held) if held else held
        except Unreadable as error:
            names = ", ".join(guard.name for guard in self._stage.guards)
            raise OutputBlocked(Verdict(False, names, (f"{names} can't tell: {error}",))) from error
        finally:
            self._note(self._run_id, self._kept)
        for event in found:
            yield event
        clean(results, self._kept)

    async def _asked(self, held: list[Any]) -> list[Any]:
        texts = [execution.result for execution in self._done(held) if execution.result]
        # An object's own words are in its result as JSON; it is shown as the object.
        objects = [e.content for e in held if _shows(e) and not isinstance(e.content, str)]
        said = [*texts, *objects]
        found = await looked_at(self._stage, said, "tool")
        if found is said:
            return held
        if objects:
            texts, objects = [], found[len(texts) :]
        else:
            texts = found
        rest = [event for event in held if not _speaks(event)]
        for event in rest:
            clean(event, self._kept)
        return [*(ModelResponse(content=each) for each in (*texts, *objects)), *rest]

    def _done(self, held: list[Any]) -> Iterator[Any]:
        for event in held:
            if isinstance(event, ModelResponse) and event.event == _DONE:
                for execution in event.tool_executions or ():
                    if execution.tool_call_id in self._ids:
                        yield execution


def _shows(event: Any) -> bool:
    """Whether this is what the host makes the run's content of."""
    return isinstance(event, ModelResponse) and event.event == _ANSWER and bool(event.content)


def _speaks(event: Any) -> bool:
    return _shows(event) or isinstance(event, RunContentEvent | TeamRunContentEvent)


async def _aiter(events: Iterator[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event
