"""What a workflow is asked is not stored before the guards of who runs in it could be asked."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

from agno.run.base import RunStatus
from agno.workflow.workflow import Workflow

from agno_portkey.guardrails import Guard
from agno_portkey.guardrails.at_rest import keeps_out, withheld
from agno_portkey.workflows.parts import executors
from agno_portkey.workflows.stopped import kept_of, stop_of

__all__ = ["unheard"]

# A run that waits for a person goes on with what is stored of it.
_LOOKED_AT = (RunStatus.completed, RunStatus.paused)


def unheard(run: Any, workflow: Workflow) -> Any:
    """`run` as it may be stored: without its input where nothing of the workflow has run yet.

    The host writes a run in the background before it begins, and one that was cancelled or has
    failed before its first step. The run itself keeps its input, and so does the row of one whose
    guards have no say in what is stored.
    """
    if run.input is None or _has_begun(run) or not (guards := [*_guards(workflow)]):
        return run
    stored = copy(run)
    stored.input = withheld(*guards)
    return stored


def _has_begun(run: Any) -> bool:
    if run.status in _LOOKED_AT or run.step_results or run.workflow_agent_run is not None:
        return True
    return stop_of(run) is not None or bool(run.step_executor_runs or kept_of(run))


def _guards(workflow: Workflow) -> Iterator[Guard]:
    """The guards in the models and before the runs of a workflow, each one once."""
    seen: set[int] = set()
    for owner, _ in executors(workflow):
        hooks = (getattr(hook, "__self__", hook) for hook in owner.pre_hooks or ())
        for each in (*getattr(owner.model, "checked_guards", ()), *hooks):
            if isinstance(each, Guard) and id(each) not in seen:
                seen.add(id(each))
                if each.looks_at("input") and keeps_out(each):
                    yield each
