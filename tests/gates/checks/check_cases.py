"""What the tests of checks decide on."""

from __future__ import annotations

from typing import Any

from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.gates.case import Case

PLAN = Plan(
    goal="ship 2.1",
    steps=(
        Step(action="look it up", tool="search", inputs={"query": "2.1", "deep": True}),
        Step(action="think"),
        Step(action="put it out", tool="deploy", inputs={"hosts": '["a", "b"]', "count": 1}),
    ),
)


def case_of(plan: Plan | None = PLAN, **rest: Any) -> Case:
    """A case of `plan`, with what else is given."""
    return Case(plan, None if plan is None else digest(plan), None, None, **rest)
