"""Protected tools: the second lock.

Agno executes a confirmed tool on `continue_run` before any model is called, whoever holds it;
so the gate stands in the tool's own entrypoint too. A call goes through only in the Runner's
cleared run, and only if it is the next open step of the cleared plan, with its inputs. Where
the gate does not enforce, every call goes through.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from agno.tools.function import Function

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.matching import step_matches
from agno_portkey.runs import Clearance, Station, Steps
from agno_portkey.verdict import Verdict

__all__ = ["is_of", "is_protected", "layers", "original", "protect"]

_MARK = "_agno_portkey_charter"
# Agno fills this parameter itself and never takes it from a model.
_CONTEXT = "_agno_run_context"
# Where a wrapper, a partial or a bound method holds the function under it.
_UNDER = ("__wrapped__", "raw_function", "func", "__func__")


def protect(function: Function, charter: Charter) -> Function:
    """Put the gate into `function`'s entrypoint, in place; it is no longer served from a cache."""
    entrypoint: Any = function.entrypoint
    if entrypoint is None or getattr(entrypoint, _MARK, None) is charter:
        return function
    while hasattr(entrypoint, _MARK):
        # Rebuilt, with the gate of a team that was governed before.
        entrypoint = entrypoint.__wrapped__
    function.entrypoint = _guarded(entrypoint, function.name, charter)
    function.cache_results = False
    return function


def is_protected(function: Function) -> bool:
    return hasattr(function.entrypoint, _MARK)


def is_of(charter: Charter, function: Function) -> bool:
    """Whether `function` is one of the protected tools, by its name or what is under it."""
    if charter.tools is not None and function.name in charter.tools:
        return True
    entrypoint = function.entrypoint
    return entrypoint is not None and id(original(entrypoint)) in charter.functions


def original(callable_: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function under every wrapper, partial and bound method."""
    *_, last = layers(callable_)
    return last


def layers(callable_: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """`callable_`, and what is under each wrapper, partial and bound method of it, inwards."""
    inner: Any = callable_
    while inner is not None:
        yield inner
        under = (getattr(inner, name, None) for name in _UNDER)
        inner = next(filter(callable, under), None)


def _guarded(inner: Callable[..., Any], name: str, charter: Charter) -> Callable[..., Any]:
    signature = inspect.signature(inner)

    wants_context = _CONTEXT in signature.parameters

    def enter(context: Any, args: tuple[Any, ...], kwargs: dict[str, Any], io: IO) -> _Taking:
        taking = _Taking(charter, name, _bound(signature, args, kwargs), context, io)
        if wants_context:
            kwargs[_CONTEXT] = context
        return taking

    wrapper = _wrapper(inner, enter)
    wrapper.__signature__ = _with_context(signature)  # type: ignore[attr-defined]
    setattr(wrapper, _MARK, charter)
    return wrapper


def _wrapper(inner: Callable[..., Any], enter: Callable[..., _Taking]) -> Callable[..., Any]:
    """A function of the same kind as `inner` that runs it inside of what `enter` gives."""
    if inspect.isasyncgenfunction(inner):

        @functools.wraps(inner)
        async def stream(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            async with enter(_agno_run_context, args, kwargs, AsyncIO()):
                async for item in inner(*args, **kwargs):
                    yield item

        return stream
    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def run(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            async with enter(_agno_run_context, args, kwargs, AsyncIO()):
                return await inner(*args, **kwargs)

        return run

    @functools.wraps(inner)
    def call(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
        with ExitStack() as taking:
            taking.enter_context(enter(_agno_run_context, args, kwargs, SyncIO()))
            result = inner(*args, **kwargs)
            if inspect.isgenerator(result):
                return _within(taking.pop_all(), result)
            if inspect.isawaitable(result) or inspect.isasyncgen(result):
                # The host would not wait for it, and nothing be done.
                if inspect.iscoroutine(result):
                    result.close()
                raise ToolRefused("a tool that returns an awaitable has to be an `async def`")
            return result

    return call


def _within(taking: ExitStack, pieces: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    with taking:
        yield from pieces


def _with_context(signature: inspect.Signature) -> inspect.Signature:
    if _CONTEXT in signature.parameters:
        return signature
    extra = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = list(signature.parameters.values())
    at = next(
        (i for i, p in enumerate(parameters) if p.kind is inspect.Parameter.VAR_KEYWORD),
        len(parameters),
    )
    return signature.replace(parameters=[*parameters[:at], extra, *parameters[at:]])


class _Taking:
    """Takes the plan's step that a call is, and marks it done once the call has returned."""

    def __init__(
        self, charter: Charter, name: str, bound: Mapping[str, Any], context: Any, io: IO
    ) -> None:
        self._charter = charter
        self._name = name
        self._bound = bound
        self._context = context
        self._run_id: str | None = getattr(context, "run_id", None)
        self._io = io
        self._taken: tuple[Station, Steps, int, Clearance | None] | None = None

    def __enter__(self) -> None:
        step(self.__aenter__())

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        step(self.__aexit__(kind, error, trace))

    async def __aenter__(self) -> None:
        self._taken = await self._charter.aheld(self._run_id, self._take)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._taken is None:
            return
        station, steps, number, held = self._taken
        books, name = self._charter.books, self._name
        if error is None:
            with station.run.lock:
                steps.done.add(number)
            try:
                await self._io.run(partial(books.step_done, held, number))
            finally:
                # Cancelled while it is noted, it is done all the same.
                self._charter.tell("tool", station, data={"tool": name, "step": number})
            return
        with station.run.lock:
            steps.failed[name] = f"{name} raised {type(error).__name__}: {error}"
        try:
            await self._io.run(partial(books.step_dropped, held, number))
        finally:
            _leave(station, steps, number)

    async def _take(self) -> tuple[Station, Steps, int, Clearance | None]:
        """The step that this call takes, of which plan, by which clearance; else `ToolRefused`."""
        charter, name = self._charter, self._name
        try:
            station, steps = await charter.arequire_clearance(self._run_id, self._io)
            charter.require_same(station.run, self._context)
        except GateClosed as closed:
            raise ToolRefused(f"{name} was refused: {closed}") from None
        with station.run.lock:
            held = station.run.clearance
            number, reason = _find(charter, steps, name, self._bound)
            # Another plan may have been put forward since; then this is not its clearance.
            if number is not None and (station.run.steps is not steps or held is None):
                number, reason = None, "another plan was put forward"
            elif number is not None:
                steps.taken.add(number)
        if number is not None:
            if (kept_from := await self._keep(station, steps, number, held)) is None:
                return station, steps, number, held
            reason = kept_from
        steps.failed[name] = f"{name} was refused: {reason}"
        verdict = Verdict(False, charter.name, (reason,), evidence={"tool": name})
        charter.tell("tool", station, verdict, data={"tool": name})
        raise ToolRefused(f"{name} was refused: {reason}")

    async def _keep(
        self, station: Station, steps: Steps, number: int, held: Clearance | None
    ) -> str | None:
        """Note in the books that a step is taken; why it can't be, if it can't."""
        books = self._charter.books
        kept_from: str | None = "it was called off"

        def called_off(kept_from: str | None) -> None:
            if kept_from is None:
                self._io.later(books.step_dropped, held, number)

        try:
            taken = partial(books.step_taken, held, number)
            kept_from = await self._io.run(taken, undo=called_off)
        finally:
            if kept_from is not None:
                _leave(station, steps, number)
        return kept_from


def _leave(station: Station, steps: Steps, number: int) -> None:
    """Let a step that was not done be taken again."""
    with station.run.lock:
        steps.taken.discard(number)


def _find(
    charter: Charter, steps: Steps, name: str, bound: Mapping[str, Any]
) -> tuple[int | None, str]:
    """The open step that a call is, or why it is none."""
    reason = f"the cleared plan has no step that calls {name}"
    for number, planned in enumerate(steps.plan.steps, start=1):
        if planned.tool != name:
            continue
        if number in steps.taken:
            reason = f"every step that calls {name} is done or under way"
            continue
        if (difference := step_matches(planned, bound)) is not None:
            reason = f"step {number} of the cleared plan has {difference}"
            continue
        if any(gate.ordered for gate in charter.gates):
            earlier = steps.open_before(number, charter.tools or frozenset())
            if earlier is not None:
                return None, f"step {earlier} of the cleared plan comes first"
        return number, ""
    return None, reason


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The call's arguments by their names, with the function's defaults filled in."""
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {**defaults, **dict(zip(signature.parameters, args, strict=False)), **kwargs}
