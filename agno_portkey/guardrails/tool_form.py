"""A guard as a tool hook: asked about a tool's arguments, then about its result."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from agno.exceptions import InputCheckError, OutputCheckError
from agno.models.message import Message

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, step
from agno_portkey.errors import ToolRefused
from agno_portkey.guardrails.at_rest import Kept, clean, earlier_of, keeps_out, replaced, withheld
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.passages import Scene, Side, Source, Unreadable, in_leaves
from agno_portkey.guardrails.stage import Stage
from agno_portkey.guardrails.yielded import said, saying
from agno_portkey.verdict import failure_told

__all__ = ["GuardedTool", "free_variable"]


class GuardedTool:
    """A guard round one call of a tool, in the run whose context it is given."""

    def __init__(self, guard: Any, scene: Scene, model: Any, name: str, run_context: Any) -> None:
        self._guard = guard
        self._scene = scene
        self._model = model
        self._name = name
        self._earlier = earlier_of(run_context)
        messages: Sequence[Message] = getattr(run_context, "messages", None) or ()
        self._asking = [message for message in messages if message.tool_calls]

    def call(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        io = SyncIO()
        result = function(**step(self._into(io, function, arguments)))
        if inspect.isgenerator(result):
            return self._held(io, result)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise ToolRefused(f"{self._name} gives its result later: it can't be checked")
        return step(self._out(io, result))

    async def acall(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        io = AsyncIO()
        result = await function(**await self._into(io, function, arguments))
        while inspect.isawaitable(result):  # a plain function's, which the host awaits later
            result = await result
        if inspect.isgenerator(result) or inspect.isasyncgen(result):
            return self._aheld(io, result)
        return await self._out(io, result)

    def _held(self, io: IO, result: Iterator[Any]) -> Iterator[Any]:
        """What a tool yields, none of it before its verdict."""
        yield from step(self._pieces(io, [*result]))

    async def _aheld(self, io: IO, result: Any) -> AsyncIterator[Any]:
        if inspect.isasyncgen(result):
            async with Owned(result) as pieces:
                items = [item async for item in pieces]
        else:
            items = [*result]
        for item in await self._pieces(io, items):
            yield item

    async def _pieces(self, io: IO, items: list[Any]) -> list[Any]:
        text = said(items)
        found = await self._out(io, text)
        return items if found is text else saying(items, found, {text: found})

    async def _into(
        self, io: IO, function: Callable[..., Any], arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """The arguments as they may go on, in the host's own record of the call too."""
        call = free_variable(free_variable(function, "inner_func"), "self")
        # The host calls the tool with what its record holds, whatever the hooks hand on.
        held = getattr(call, "arguments", None)
        held = arguments if held is None else held
        kept: dict[str, str] = {}
        try:
            found: dict[str, Any] = await self._asked(io, held, "input", "tool_call", kept)
        except BaseException as error:
            if not isinstance(error, Exception) and keeps_out(self._guard):
                # It was cancelled before it could tell.
                kept |= dict.fromkeys(_texts(held), withheld(self._guard))
            if call is not None:
                _put(held, replaced(held, kept))
            raise
        finally:
            # Whoever's model has asked for it: its words are kept as they may be.
            for message in self._asking:
                clean(message, kept)
        if found is not held:
            if call is None and str(getattr(function, "__module__", "")).startswith("agno."):
                raise ToolRefused(f"{self._name} can't be given arguments that a guard rewrote")
            _put(held, found)
        return found

    async def _out(self, io: IO, result: Any) -> Any:
        return await self._asked(io, result, "output", "tool", {})

    async def _asked(
        self, io: IO, value: Any, side: Side, source: Source, kept: dict[str, str]
    ) -> Any:
        observers = getattr(self._model, "observers", ())
        keep, earlier = kept.__setitem__, self._earlier
        stage = Stage((self._guard,), io, self._scene, side, observers, keep, earlier)
        try:
            return await looked_at(stage, value, source, leaves=True)
        except Exception as error:
            # The run goes on, and the model reads why.
            what = "was refused" if side == "input" else "gave a result that was refused"
            said = error if isinstance(error, InputCheckError | OutputCheckError) else None
            reason = str(said or f"{self._guard.name} can't tell: {failure_told(error)}")
            raise ToolRefused(f"{self._name} {what}: {reason}") from error
        finally:
            # A model of ours has it out of all that is stored of the run.
            if isinstance(known := getattr(self._model, "kept", None), Kept):
                known.note(self._scene.run_id, kept)


def _put(held: dict[str, Any], found: dict[str, Any]) -> None:
    """Make `held`, which is the host's, what was found."""
    if found is not held:
        held.clear()
        held.update(found)


def _texts(held: dict[str, Any]) -> list[str]:
    """The texts of a call that nobody could tell of in time."""
    found: list[str] = []

    def collect(text: str, source: Source, path: str) -> str:
        found.append(text)
        return text

    with suppress(Unreadable):
        in_leaves(held, collect, "tool_call")
    return found


def free_variable(function: Any, name: str) -> Any:
    """What `function` holds as its free variable `name`; None if it has none."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    return function.__closure__[names.index(name)].cell_contents if name in names else None
