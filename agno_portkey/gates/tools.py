"""Protected tools: the second lock.

Agno executes a confirmed tool on `continue_run` before any model is called, whoever holds it;
so the gate stands in the tool's own entrypoint too. A call goes through only in the Runner's
cleared run, and only if it is the next open step of the cleared plan, with its inputs. Where
the gate does not enforce, every call goes through.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from agno.tools.function import Function
from pydantic import BaseModel

from agno_portkey.contracts import Step
from agno_portkey.contracts.strict import STRICT, same
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates.charter import Charter
from agno_portkey.runs import Clearance, Station, Steps
from agno_portkey.verdict import Verdict

__all__ = ["is_of", "is_protected", "layers", "original", "protect", "same_value", "step_matches"]

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

    def enter(context: Any, kwargs: dict[str, Any]) -> Any:
        step = _step(charter, name, signature, context, dict(kwargs))
        if wants_context:
            kwargs[_CONTEXT] = context
        return step

    wrapper = _wrapper(inner, enter)
    wrapper.__signature__ = _with_context(signature)  # type: ignore[attr-defined]
    setattr(wrapper, _MARK, charter)
    return wrapper


def _wrapper(inner: Callable[..., Any], enter: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the same kind as `inner` that runs it inside `enter(context, kwargs)`."""
    if inspect.isasyncgenfunction(inner):

        @functools.wraps(inner)
        async def stream(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                async for item in inner(*args, **kwargs):
                    yield item

        return stream
    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def run(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                return await inner(*args, **kwargs)

        return run

    @functools.wraps(inner)
    def call(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
        with ExitStack() as step:
            step.enter_context(enter(_agno_run_context, kwargs))
            result = inner(*args, **kwargs)
            if inspect.isgenerator(result):
                return _within(step.pop_all(), result)
            if inspect.isawaitable(result) or inspect.isasyncgen(result):
                # The host would not wait for it, and nothing be done.
                if inspect.iscoroutine(result):
                    result.close()
                raise ToolRefused("a tool that returns an awaitable has to be an `async def`")
            return result

    return call


def _within(step: ExitStack, pieces: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    with step:
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


@contextmanager
def _step(
    charter: Charter,
    name: str,
    signature: inspect.Signature,
    context: Any,
    arguments: dict[str, Any],
) -> Iterator[None]:
    """Take the plan's step that this call is, and mark it done once the call has returned."""
    run_id = getattr(context, "run_id", None)
    taken = charter.held(
        run_id, lambda: _take(charter, context, name, _bound(signature, arguments))
    )
    if taken is None:
        yield
        return
    station, steps, number, held = taken
    try:
        yield
    except BaseException as error:
        with station.run.lock:
            steps.taken.discard(number)
            steps.failed[name] = f"{name} raised {type(error).__name__}: {error}"
        charter.books.step_dropped(held, number)
        raise
    with station.run.lock:
        steps.done.add(number)
    charter.books.step_done(held, number)
    charter.tell("tool", station, data={"tool": name, "step": number})


def _take(
    charter: Charter, context: Any, name: str, bound: Mapping[str, Any]
) -> tuple[Station, Steps, int, Clearance | None]:
    """The step that this call takes, of which plan, by which clearance; else `ToolRefused`."""
    try:
        station, steps = charter.require_clearance(getattr(context, "run_id", None))
        charter.require_same(station.run, context)
    except GateClosed as closed:
        raise ToolRefused(f"{name} was refused: {closed}") from None
    with station.run.lock:
        held = station.run.clearance
        number, reason = _find(charter, steps, name, bound)
        # Another plan may have been put forward since; then this is not its clearance.
        if number is not None and (station.run.steps is not steps or held is None):
            number, reason = None, "another plan was put forward"
        elif number is not None:
            steps.taken.add(number)
    if number is not None:
        if (kept_from := charter.books.step_taken(held, number)) is None:
            return station, steps, number, held
        reason = kept_from
        with station.run.lock:
            steps.taken.discard(number)
    steps.failed[name] = f"{name} was refused: {reason}"
    verdict = Verdict(False, charter.name, (reason,), evidence={"tool": name})
    charter.tell("tool", station, verdict, data={"tool": name})
    raise ToolRefused(f"{name} was refused: {reason}")


def _find(
    charter: Charter, steps: Steps, name: str, bound: Mapping[str, Any]
) -> tuple[int | None, str]:
    """The open step that a call is, or why it is none."""
    reason = f"the cleared plan has no step that calls {name}"
    for number, step in enumerate(steps.plan.steps, start=1):
        if step.tool != name:
            continue
        if number in steps.taken:
            reason = f"every step that calls {name} is done or under way"
            continue
        if (difference := step_matches(step, bound)) is not None:
            reason = f"step {number} of the cleared plan has {difference}"
            continue
        if any(gate.ordered for gate in charter.gates):
            earlier = steps.open_before(number, charter.tools or frozenset())
            if earlier is not None:
                return None, f"step {earlier} of the cleared plan comes first"
        return number, ""
    return None, reason


def step_matches(step: Step, bound: Mapping[str, Any]) -> str | None:
    """How a call's arguments differ from those the step names; `None` if they do not."""
    for given in step.inputs:
        if given.name not in bound:
            return f"the input {given.name}, which the call leaves out"
        if not same_value(given.value, bound[given.name]):
            return f"{given.name}={given.value!r}, and the call {given.name}={bound[given.name]!r}"
    return None


def same_value(planned: Any, actual: Any) -> bool:
    """Whether a planned scalar is the actual value; structures are compared as JSON."""
    if isinstance(planned, bool) or isinstance(actual, bool):
        return isinstance(planned, bool) and isinstance(actual, bool) and planned is actual
    if isinstance(planned, int | float) and isinstance(actual, int | float):
        return planned == actual
    if isinstance(planned, str) and not isinstance(actual, str):
        return _same_structure(planned, actual)
    return type(planned) is type(actual) and planned == actual


def _same_structure(planned: str, actual: Any) -> bool:
    try:
        plain = _told_in_full(actual) if isinstance(actual, BaseModel) else actual
        if not isinstance(plain, dict | list | tuple):
            return False
        # As strictly as contracts read: of a key that stands twice a person may have read the
        # other value. Written first, since what is called may have keys of a number's type.
        written = json.dumps(plain, allow_nan=False)
        return same(STRICT.decode(planned), STRICT.decode(written))
    except (TypeError, ValueError, RecursionError):
        return False


def _told_in_full(actual: BaseModel) -> Any:
    """The model as JSON types, None where they leave out or hide some of it."""
    again = type(actual).model_validate(actual.model_dump(mode="json", by_alias=True))
    return actual.model_dump(mode="json") if again == actual else None


def _bound(signature: inspect.Signature, arguments: dict[str, Any]) -> dict[str, Any]:
    """The call's arguments with the function's defaults filled in."""
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {**defaults, **arguments}
