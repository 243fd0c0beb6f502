"""The spans of runs and tools: OpenTelemetry's instrumentation of Agno, and what it lacks.

It leaves a run that failed unmarked and takes one that was cancelled for a failure, names neither
run nor agent by their ids, keeps the span of a stream current for whoever reads it, and breaks a
run whose tools are made by a function. Its module is changed in the places that say so, which holds
for the one version that is pinned.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

from agno.agent import Agent
from agno.run.agent import BaseAgentRunEvent, RunOutput
from agno.run.team import BaseTeamRunEvent, TeamRunOutput
from agno.run.workflow import BaseWorkflowRunOutputEvent, WorkflowRunOutput
from agno.team import Team
from agno.tools.function import FunctionCall
from agno.workflow import Workflow
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.instrumentation.genai.agno import AgnoInstrumentor, patch, stream
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.genai.stream import AbandonedStreamError

from agno_portkey.model import PortkeyModel
from agno_portkey.tags import call_tags
from agno_portkey.telemetry import names
from agno_portkey.telemetry.calls import baggage_of
from agno_portkey.telemetry.lasting import has_failed_step, outlasts

__all__ = ["RunSpans"]

_IDS = {
    "run_id": names.RUN_ID,
    "agent_id": names.AGENT_ID,
    "team_id": names.TEAM_ID,
    "workflow_id": names.WORKFLOW_ID,
}
_RUNS = ("run", "arun", "continue_run", "acontinue_run")
# What is instrumented.
_METHODS: dict[Any, tuple[str, ...]] = {
    **dict.fromkeys((Agent, Team, Workflow), _RUNS),
    FunctionCall: ("execute", "aexecute"),
}
_IN_A_RUN = context.create_key("agno_portkey.in_a_run")
_LAST = ("RunCompleted", "TeamRunCompleted", "WorkflowCompleted")
_CANCELLED = ("RunCancelled", "TeamRunCancelled", "WorkflowCancelled")
# What has threads for memories and lessons, whose calls are of the run that they are learnt from.
_WITH_THREADS: tuple[type[Any], ...] = (Agent, Team)


class RunSpans:
    """Has Agno's runs and tools make spans, until it is told to stop."""

    def __init__(self, provider: TracerProvider) -> None:
        self._instrumentor = AgnoInstrumentor()
        self._before = {name: getattr(patch, name) for name in _CHANGED}
        for name, changed in _CHANGED.items():
            setattr(patch, name, changed(self._before[name]))
        self._executors = {kind: kind.background_executor for kind in _WITH_THREADS}
        for kind, executor in self._executors.items():
            kind.background_executor = _carrying(executor)
        self._wrapped = [
            (kind, name, one)
            for kind, names_of in _METHODS.items()
            for name in names_of
            if hasattr(one := getattr(kind, name), "__wrapped__")
        ]
        for kind, name, one in self._wrapped:
            setattr(kind, name, _bare(one))
        self._instrumentor.instrument(
            tracer_provider=provider, meter_provider=NoOpMeterProvider(), skip_dep_check=True
        )

    def stop(self) -> None:
        self._instrumentor.uninstrument()
        for name, before in self._before.items():
            setattr(patch, name, before)
        for kind, executor in self._executors.items():
            kind.background_executor = executor
        for kind, name, one in self._wrapped:
            if getattr(getattr(kind, name), "of", None) is one:
                setattr(kind, name, one)


def _bare(wrapped: Any) -> Any:
    """`wrapped` by somebody else: what shows that it is would be passed over."""

    def bare(*args: Any, **kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    bare.of = wrapped  # type: ignore[attr-defined]
    return bare


def _carrying(executor: property) -> property:
    """`executor`, whose threads work in the span of who gives them the work."""
    return property(lambda owner: _Carrying(executor.__get__(owner)))


class _Carrying:
    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._executor.submit(_work_in, context.get_current(), function, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)


def _work_in(within: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = context.attach(within)
    try:
        return function(*args, **kwargs)
    finally:
        context.detach(token)


def _tagged(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start` of a run's invocation, whose span bears the tags of whom it is of."""

    def started(handler: Any, instance: Any, args: Any, kwargs: Any, *rest: Any, **how: Any) -> Any:
        # By name: what is not by name it looks for by the signature, each time anew.
        kwargs = {**kwargs, **dict(zip(_positional(how.get("wrapped")), args, strict=False))}
        is_outermost = context.get_value(_IN_A_RUN) is None
        within = context.set_value(_IN_A_RUN, True, baggage_of(_tags(instance, kwargs)))
        token = context.attach(within)
        try:
            invocation = start(handler, instance, (), kwargs, *rest, **how)
            invocation.suspend()
        finally:
            context.detach(token)
        invocation.owner = instance
        if is_outermost:
            invocation.attributes[names.OUTERMOST] = True
        invocation.fail = partial(_end, weakref.ref(invocation))
        # Its own context has the tags: what follows stands in it.
        invocation._context_token = context.attach(invocation.context)
        return invocation

    return started


def _positional(method: Any) -> tuple[str, ...]:
    """The names of what can be given to `method` without one."""
    return _names_of(getattr(method, "__func__", method))


@lru_cache(maxsize=64)
def _names_of(function: Any) -> tuple[str, ...]:
    named = inspect.signature(function).parameters.values()
    return tuple(each.name for each in named if each.kind is each.POSITIONAL_OR_KEYWORD)[1:]


def _tags(instance: Any, kwargs: dict[str, Any]) -> dict[str, str]:
    side = "team" if isinstance(instance, Team) else "agent"
    identity = SimpleNamespace(
        metadata=kwargs.get("metadata") or getattr(instance, "metadata", None),
        **{f"{side}_name": getattr(instance, "name", None)},
    )
    model = getattr(instance, "model", None)
    return model.tags_of(identity) if isinstance(model, PortkeyModel) else call_tags(identity)


def _leaving(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start` of an invocation that who leaves it, or is cancelled, does not make a failure."""

    def started(*args: Any, **how: Any) -> Any:
        invocation = start(*args, **how)
        invocation.fail = partial(_end, weakref.ref(invocation))
        return invocation

    return started


def _end(of: Callable[[], Any], error: Any) -> None:
    """End an invocation with what was raised in it."""
    invocation = of()
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        invocation.attributes[names.CANCELLED] = True
        invocation.stop()
    else:
        type(invocation).fail(invocation, error)


def _undefined(_: Callable[..., Any]) -> Callable[..., Any]:
    """No definitions of tools: nobody gets them, and what an agent calls for them it may refuse."""
    return lambda tools: None


def _marked(set_output: Callable[..., Any]) -> Callable[..., Any]:
    """What is set of a run's result, with its id and whether it failed."""

    def output(invocation: Any, result: Any, *args: Any, **kwargs: Any) -> None:
        set_output(invocation, result, *args, **kwargs)
        if not outlasts(invocation, result, _settle):
            _settle(invocation, result)

    return output


def _settle(invocation: Any, result: Any) -> None:
    _mark(invocation, result)
    status = getattr(result, "status", None)
    match str(getattr(status, "value", status)).lower():
        case "error":
            _fail(invocation)
        case "cancelled":
            invocation.attributes[names.CANCELLED] = True


def _mark(invocation: Any, said: Any) -> None:
    """Say whose run it is, as its output or the first event of it says."""
    for field, name in _IDS.items():
        if value := getattr(said, field, None):
            invocation.attributes.setdefault(name, str(value))
    if has_failed_step(getattr(said, "step_results", None)):
        _fail(invocation)


def _fail(invocation: Any) -> None:
    invocation.attributes[names.ERROR_TYPE] = "error"
    invocation.span.set_status(Status(StatusCode.ERROR))


def _is_of(owner: Any, chunk: Any) -> bool:
    if isinstance(owner, Workflow):
        return isinstance(chunk, BaseWorkflowRunOutputEvent | WorkflowRunOutput)
    if isinstance(owner, Team):
        kinds: Any = BaseTeamRunEvent | TeamRunOutput
        return isinstance(chunk, kinds) and chunk.team_id == owner.id
    return isinstance(chunk, BaseAgentRunEvent | RunOutput) and chunk.agent_id == owner.id


def _is_last(chunk: Any) -> bool:
    if isinstance(chunk, RunOutput | TeamRunOutput | WorkflowRunOutput):
        return True
    return str(getattr(chunk, "event", "")) in _LAST


def _streamed(kind: type[Any]) -> type[Any]:
    """A stream whose span is the current one only while it is read."""

    class Streamed(kind):  # type: ignore[misc]
        def __init__(self, of: Any, invocation: Any, capture_content: bool) -> None:
            super().__init__(of, invocation, capture_content)
            invocation.suspend()
            self._self_invocation = invocation
            self._self_ended = False

        def _process_chunk(self, chunk: Any) -> None:
            # What a member says comes by here as well, its failure included.
            if _is_of(self._self_invocation.owner, chunk):
                super()._process_chunk(chunk)
                _mark(self._self_invocation, chunk)
                if getattr(chunk, "event", None) in _CANCELLED:
                    self._self_invocation.attributes[names.CANCELLED] = True
                self._self_ended = self._self_ended or _is_last(chunk)

        def _finalize(self, error: BaseException | None = None) -> None:
            if isinstance(error, AbandonedStreamError | GeneratorExit):
                # A workflow leaves a step's stream once it has the output.
                if not self._self_ended:
                    self._self_invocation.attributes[names.CANCELLED] = True
                error = None
            if error is None and self._self_finish_reason == "error":
                _fail(self._self_invocation)
            super()._finalize(error)

    return Streamed


_CHANGED: dict[str, Callable[[Any], Any]] = {
    "_start_agent_invocation": _tagged,
    "_start_workflow_invocation": _tagged,
    "_start_tool_invocation": _leaving,
    "_start_retrieval_invocation": _leaving,
    "prepare_tool_definitions": _undefined,
    "_set_invocation_output": _marked,
    **{
        kind.__name__: _streamed
        for kind in (
            stream.AgnoAgentStreamWrapper,
            stream.AsyncAgnoAgentStreamWrapper,
            stream.AgnoWorkflowStreamWrapper,
            stream.AsyncAgnoWorkflowStreamWrapper,
        )
    },
}
