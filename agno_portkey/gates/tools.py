"""Protected tools: the second lock.

Agno executes a confirmed tool on `continue_run` before any model is called, whoever holds it;
so the gate stands in the tool's own entrypoint too. A call goes through only in the Runner's
cleared run, and only if it is the next open step of the cleared plan, with its inputs.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agno.tools.function import Function

from agno_portkey.contracts import Step
from agno_portkey.errors import GateClosed, ToolRefused
from agno_portkey.gates.charter import Charter
from agno_portkey.runs import Run, Station
from agno_portkey.verdict import Verdict

__all__ = ["is_protected", "original", "protect", "same_value", "step_matches"]

_MARK = "_agno_portkey_charter"
# Agno fills this parameter itself and never takes it from a model.
_CONTEXT = "_agno_run_context"


def protect(function: Function, charter: Charter) -> Function:
    """Put the gate into `function`'s entrypoint, in place; its result is never served from a cache."""
    entrypoint = function.entrypoint
    if entrypoint is None or getattr(entrypoint, _MARK, None) is charter:
        return function
    function.entrypoint = _guarded(entrypoint, function.name, charter)
    function.cache_results = False
    return function


def is_protected(function: Function) -> bool:
    return hasattr(function.entrypoint, _MARK)


def original(callable_: Callable[..., Any]) -> Callable[..., Any]:
    """The user's own function under every wrapper."""
    while True:
        inner = getattr(callable_, "__wrapped__", None) or getattr(callable_, "raw_function", None)
        if inner is None:
            return getattr(callable_, "__func__", callable_)
        callable_ = inner


def _guarded(inner: Callable[..., Any], name: str, charter: Charter) -> Callable[..., Any]:
    signature = inspect.signature(inner)

    wants_context = _CONTEXT in signature.parameters

    def enter(context: Any, kwargs: dict[str, Any]) -> Any:
        step = _step(charter, name, signature, context, dict(kwargs))
        if wants_context:
            kwargs[_CONTEXT] = context
        return step

    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(inner):

        @functools.wraps(inner)
        async def wrapper(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                async for item in inner(*args, **kwargs):
                    yield item

    elif inspect.isgeneratorfunction(inner):

        @functools.wraps(inner)
        def wrapper(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                yield from inner(*args, **kwargs)

    elif inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def wrapper(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                return await inner(*args, **kwargs)

    else:

        @functools.wraps(inner)
        def wrapper(*args: Any, _agno_run_context: Any = None, **kwargs: Any) -> Any:
            with enter(_agno_run_context, kwargs):
                return inner(*args, **kwargs)

    wrapper.__signature__ = _with_context(signature)  # type: ignore[attr-defined]
    setattr(wrapper, _MARK, charter)
    return wrapper


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
    try:
        station, _ = charter.require_clearance(run_id)
    except GateClosed as closed:
        raise ToolRefused(f"{name} was refused: {closed}") from None
    run = station.run
    number = _take(charter, station, name, _bound(signature, arguments))
    try:
        yield
    except BaseException:
        with run.lock:
            if run.steps is not None:
                run.steps.taken.discard(number)
        raise
    with run.lock:
        if run.steps is not None:
            run.steps.done.add(number)
    charter.tell("tool", station, data={"tool": name, "step": number})


def _take(charter: Charter, station: Station, name: str, bound: Mapping[str, Any]) -> int:
    run = station.run
    with run.lock:
        number, reason = _find(charter, run, name, bound)
        if number is not None and run.steps is not None:
            run.steps.taken.add(number)
            return number
    verdict = Verdict(False, charter.name, (reason,), evidence={"tool": name})
    charter.tell("tool", station, verdict, data={"tool": name})
    raise ToolRefused(f"{name} was refused: {reason}")


def _find(
    charter: Charter, run: Run, name: str, bound: Mapping[str, Any]
) -> tuple[int | None, str]:
    """The open step that a call is, or why it is none."""
    steps = run.steps
    if steps is None:
        return None, "no plan is cleared"
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
        return _json(planned) == _plain(actual) and actual is not None
    return type(planned) is type(actual) and planned == actual


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING
    return value if isinstance(value, dict | list) else _NOTHING


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else value


_NOTHING = object()


def _bound(signature: inspect.Signature, arguments: dict[str, Any]) -> dict[str, Any]:
    """The call's arguments with the function's defaults filled in."""
    defaults = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {**defaults, **arguments}
