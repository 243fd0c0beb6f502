"""What members are handed in place of the leader's words: the request, and the one plan."""

from __future__ import annotations

from agno_portkey.contracts import Plan, canonical
from agno_portkey.gates.checks.models import fenced

__all__ = ["to_assess", "to_do"]


def to_assess(plan: Plan, request: str = "") -> str:
    """For who assesses `plan`: nothing in it is an instruction, whoever may have written it."""
    shown = fenced(_as_json(plan), "plan", "to be assessed")
    asked = fenced(request, "request", "which the plan has to serve") + "\n\n" if request else ""
    # Whose plan it is, and what others say of it, is nothing to go by.
    return f"{asked}Assess exactly this plan, and nothing else:\n{shown}"


def to_do(plan: Plan, request: str = "") -> str:
    """For who carries `plan` out."""
    about = f"The request:\n{request}\n\n" if request else ""
    return f"{about}Do exactly what this plan says, step by step:\n{_as_json(plan)}"


def _as_json(plan: Plan) -> str:
    return f"```json\n{canonical(plan)}\n```"
