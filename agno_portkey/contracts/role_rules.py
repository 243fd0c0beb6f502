"""Rules of the roles' outputs that hold between them: what one says of what another said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agno_portkey.contracts.known import Known
from agno_portkey.contracts.roles import Critique, Decision, Judgement
from agno_portkey.contracts.schemas import Problem

__all__ = ["rules_of"]


def rules_of(schema: object) -> tuple[Callable[[Any, Known], Iterator[Problem]], ...]:
    """The rules for outputs of `schema`; none if it is none of the roles'."""
    return _RULES.get(schema, ()) if isinstance(schema, type) else ()


def _steps_exist(critique: Critique, known: Known) -> Iterator[Problem]:
    """A critique names steps of the plan that its author was shown."""
    if known.plan is None:
        return
    last = len(known.plan.steps)
    for number, issue in enumerate(critique.issues):
        if issue.step is not None and issue.step > last:
            yield Problem(("issues", number, "step"), f"the plan's last step is {last}", issue.step)
    for number, revision in enumerate(critique.revised_steps):
        if revision.step > last:
            path = ("revised_steps", number, "step")
            yield Problem(path, f"the plan's last step is {last}", revision.step)


def _no_approval_of_what_is_blocked(judgement: Judgement, known: Known) -> Iterator[Problem]:
    """A judge does not approve a plan that a blocking issue is open against."""
    if judgement.decision is not Decision.APPROVE or known.critique is None:
        return
    if blocking := known.critique.blocking:
        said = f"a blocking issue is open: {blocking[0].description}"
        yield Problem(("decision",), said, judgement.decision.value)


_RULES: dict[object, tuple[Callable[[Any, Known], Iterator[Problem]], ...]] = {
    Critique: (_steps_exist,),
    Judgement: (_no_approval_of_what_is_blocked,),
}
