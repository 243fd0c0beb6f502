"""The steps of a workflow at any depth: what runs in them, and what makes them stop it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agno.agent import Agent
from agno.team import Team
from agno.workflow.condition import Condition
from agno.workflow.loop import Loop
from agno.workflow.parallel import Parallel
from agno.workflow.router import Router
from agno.workflow.step import Step
from agno.workflow.steps import Steps
from agno.workflow.types import StepType
from agno.workflow.workflow import STEP_TYPE_MAPPING, Workflow

from agno_portkey.errors import ConfigurationError, UngovernedPathError
from agno_portkey.workflows.gate_step import FlowGate, GovernedGateStep, question_of
from agno_portkey.workflows.steps import GovernedStep
from agno_portkey.workflows.stopped import from_error, is_check

__all__ = ["Executor", "Terms", "executors", "functions", "harden", "prepare", "steps_of", "title"]

Executor = Agent | Team
Container = Steps | Loop | Parallel | Condition | Router

# The functions that the containers ask, by the name of the field.
_ASKED = ("evaluator", "selector", "end_condition")
_CAREFUL = "_agno_portkey_careful"


@dataclass(frozen=True)
class Terms:
    """What holds for one governed workflow and its copies: who may run in it, what it stores.

    `gate` begins its runs where a step of it is a gate's.
    """

    governed: Callable[[Executor], bool]
    # Called whenever it was given a database.
    vault: Callable[[Workflow], None]
    gate: FlowGate | None = None


def prepare(workflow: Workflow) -> None:
    """Make a `Step` of every bare agent, team, function or workflow, as the host does at a run."""
    if callable(workflow.steps) or not workflow.steps:
        return
    before = len(_listed(workflow.steps))
    Workflow._prepare_steps(workflow)  # type: ignore[no-untyped-call]
    if len(_listed(workflow.steps)) != before:
        raise ConfigurationError(
            f"{title(workflow)}: a step has add_workflow_history=True and the workflow no db, so "
            "the host would leave that step out; give the workflow a db"
        )
    for step in _listed(workflow.steps):
        _prepare(step)


def steps_of(workflow: Workflow) -> Iterator[Step]:
    """Every `Step` of a prepared workflow, those inside containers included, nested ones not."""
    if workflow.steps and not callable(workflow.steps):
        for step in _listed(workflow.steps):
            yield from _flat(step)


def executors(workflow: Workflow) -> Iterator[tuple[Executor, str]]:
    """Every agent and team of a prepared workflow, at any depth, and where it is."""
    if workflow.agent is not None:
        yield workflow.agent, f"{title(workflow)}.agent"
    for step in steps_of(workflow):
        where = f"{title(workflow)}, step {step.name!r}"
        for held in (step.agent, step.team):
            if held is not None:
                yield held, where
        if step.workflow is not None:
            yield from executors(step.workflow)


def functions(workflow: Workflow) -> Iterator[tuple[Callable[..., Any], str]]:
    """Every function of a prepared workflow, at any depth, and where it is."""
    if callable(workflow.steps):
        yield workflow.steps, f"{title(workflow)}.steps"
        return
    for step in steps_of(workflow):
        if step.executor is not None:
            yield step.executor, f"{title(workflow)}, step {step.name!r}"
        if step.workflow is not None:
            yield from functions(step.workflow)
    for container in _containers(workflow):
        for name in _ASKED:
            if callable(asked := getattr(container, name, None)):
                yield inspect.unwrap(asked), f"{title(workflow)}, {container.name!r}.{name}"


def harden(workflow: Workflow, terms: Terms) -> None:
    """Have every step of `workflow` stop it, and refuse what is not governed; in place."""
    prepare(workflow)
    for step in steps_of(workflow):
        _harden_step(step, terms)
    for container in _containers(workflow):
        _harden_container(container, terms)


def title(workflow: Workflow) -> str:
    return str(workflow.name or workflow.id or type(workflow).__name__)


def _harden_step(step: Step, terms: Terms) -> None:
    for held in (step.agent, step.team):
        if held is not None and not (isinstance(held, Executor) and terms.governed(held)):
            raise UngovernedPathError(
                f"step {step.name!r} was changed after its workflow was governed: its "
                f"{type(held).__name__} is not; build the workflow anew and govern it"
            )
    if step.workflow is not None and not hasattr(step.workflow, "terms"):
        raise UngovernedPathError(
            f"step {step.name!r} was changed after its workflow was governed: the workflow in it "
            "is not; build the workflow anew and govern it"
        )
    if not isinstance(step, GovernedStep):
        kind = type(step)
        base = GovernedStep if question_of(step) is None else GovernedGateStep
        twin = base if kind is Step else type(kind.__name__, (base, kind), {})
        # The host looks its steps up by their very class.
        STEP_TYPE_MAPPING[twin] = StepType.STEP
        step.__class__ = twin


def _harden_container(container: Container, terms: Terms) -> None:
    """A guard that refuses in one of a container's functions stops the workflow, too."""
    for name in _ASKED:
        asked = getattr(container, name, None)
        if callable(asked) and not hasattr(asked, _CAREFUL):
            setattr(container, name, _careful(asked, f"{container.name}.{name}", terms))


def _careful(asked: Callable[..., Any], where: str, terms: Terms) -> Callable[..., Any]:
    """`asked`, whose refusals stop the workflow, and which picks no ungoverned step.

    The host takes an evaluator that fails for one that says no.
    """
    if inspect.iscoroutinefunction(asked):

        @functools.wraps(asked)
        async def answer(*args: Any, **options: Any) -> Any:  # pyright: ignore
            try:
                return _admitted(await asked(*args, **options), terms)
            except Exception as error:
                raise _stopping(error, where) from error
    else:

        @functools.wraps(asked)
        def answer(*args: Any, **options: Any) -> Any:
            try:
                return _admitted(asked(*args, **options), terms)
            except Exception as error:
                raise _stopping(error, where) from error

    setattr(answer, _CAREFUL, True)
    return answer


def _stopping(error: Exception, where: str) -> Exception:
    if is_check(error) or isinstance(error, UngovernedPathError):
        return from_error(where, error)
    return error


def _admitted(chosen: Any, terms: Terms) -> Any:
    """What a selector has chosen, which may be a step that was never among the choices."""
    for item in chosen if isinstance(chosen, list) else [chosen]:
        if isinstance(item, Step | Container):
            _prepare(item)
            for step in _flat(item):
                _harden_step(step, terms)
    return chosen


def _prepare(step: Any) -> None:
    if isinstance(step, Container):
        step._prepare_steps()  # type: ignore[no-untyped-call]
        if isinstance(step, Router):
            # The host makes steps of its choices anew at every run.
            step.choices = list(step.steps)
        for inner in _inside(step):
            _prepare(inner)
    elif isinstance(step, Step) and isinstance(step.workflow, Workflow):
        prepare(step.workflow)


def _flat(step: Any) -> Iterator[Step]:
    if isinstance(step, Step):
        yield step
    elif isinstance(step, Container):
        for inner in _inside(step):
            yield from _flat(inner)


def _containers(workflow: Workflow) -> Iterator[Container]:
    if not workflow.steps or callable(workflow.steps):
        return
    waiting = list(_listed(workflow.steps))
    for step in waiting:
        if isinstance(step, Container):
            yield step
            waiting.extend(_inside(step))


def _inside(container: Container) -> list[Any]:
    return [*(container.steps or ()), *(getattr(container, "else_steps", None) or ())]


def _listed(steps: Any) -> list[Any]:
    return list(steps.steps if isinstance(steps, Steps) else steps)
