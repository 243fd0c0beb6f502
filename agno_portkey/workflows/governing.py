"""What of a workflow can't be governed, and what makes a failed step stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from agno.agent import Agent
from agno.team import Team
from agno.workflow.agent import WorkflowAgent
from agno.workflow.workflow import Workflow

from agno_portkey.errors import UngovernedPathError
from agno_portkey.workflows.agent import GovernedWorkflowAgent
from agno_portkey.workflows.flow import GovernedWorkflow
from agno_portkey.workflows.gate_step import FlowGate
from agno_portkey.workflows.parts import Executor, Terms, harden, steps_of, title
from agno_portkey.workflows.steps import waits_for_people

__all__ = ["convert", "refuse_steps", "ungoverned_steps"]


def refuse_steps(paths: Sequence[str]) -> None:
    """Raise `UngovernedPathError` with all `paths`, if there are any."""
    if paths:
        raise UngovernedPathError(
            "these ways lead round the gateway or the gate:\n- " + "\n- ".join(paths)
        )


def ungoverned_steps(workflow: Workflow) -> Iterator[str]:
    """What of a prepared workflow can't be governed, or is told to go on after a failure."""
    if callable(workflow.steps):
        yield f"{title(workflow)}.steps is one function, whose steps can't be seen: give a list"
        return
    agent: object = workflow.agent
    if agent is not None and not isinstance(agent, WorkflowAgent):
        yield f"{title(workflow)}.agent is {type(agent).__name__}: give a WorkflowAgent"
    for step in steps_of(workflow):
        where = f"{title(workflow)}, step {step.name!r}"
        for held, kind in ((step.agent, Agent), (step.team, Team), (step.workflow, Workflow)):
            if held is not None and not isinstance(held, kind):
                yield f"{where}: {type(held).__name__} runs elsewhere and can't be governed"
        if step.executor is None and step.skip_on_failure:
            yield f"{where} has skip_on_failure=True: it would go on after a guard has blocked"
        if step.executor is None and waits_for_people(step):
            yield f"{where} has on_error='pause': a person could go on after a guard has blocked"
        if isinstance(step.workflow, Workflow):
            yield from ungoverned_steps(step.workflow)


def convert(
    workflow: Workflow,
    governed: Callable[[Executor], bool],
    vault: Callable[[Workflow], None],
    gate: FlowGate | None = None,
) -> None:
    """Have a failed step stop a prepared `workflow`, and every one inside it.

    `governed` tells at each run whether who is in a step, be it a copy, may run there. `vault`
    is called with each workflow that has a database, and again when it is given another; `gate`
    is that of `workflow` alone.
    """
    terms = Terms(governed, vault, gate)
    for step in steps_of(workflow):
        if step.workflow is not None:
            convert(step.workflow, governed, vault)
    if hasattr(workflow, "terms"):
        return
    kind: type = type(workflow)
    # One class for each governed workflow, since the host's copies keep nothing but the class.
    workflow.__class__ = type(kind.__name__, (GovernedWorkflow, kind), {"terms": terms})
    if workflow.agent is not None:
        kind = type(workflow.agent)
        workflow.agent.__class__ = type(kind.__name__, (GovernedWorkflowAgent, kind), {})
    vault(workflow)
    harden(workflow, terms)
