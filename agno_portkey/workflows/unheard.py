"""What a workflow is asked is not stored before the guards of who runs in it could be asked."""

from __future__ import annotations

from copy import copy
from typing import Any

from agno.run.base import RunStatus
from agno.workflow.workflow import Workflow

from agno_portkey.guardrails.at_rest import withheld
from agno_portkey.hooks.unheard import in_hooks, in_model, withholding
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
    if run.input is None or _has_begun(run):
        return run
    owners = [owner for owner, _ in executors(workflow)]
    held = (each for owner in owners for each in (*in_model(owner), *in_hooks(owner)))
    if not (guards := [*withholding(held)]):
        return run
    stored = copy(run)
    stored.input = withheld(*guards)
    return stored


def _has_begun(run: Any) -> bool:
    if run.status in _LOOKED_AT or run.step_results or run.workflow_agent_run is not None:
        return True
    return stop_of(run) is not None or bool(run.step_executor_runs or kept_of(run))
