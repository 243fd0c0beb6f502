"""Guardrails run inside the model, on every call."""

from agno_portkey.guardrails.checks import check_guards
from agno_portkey.guardrails.layer import guard_layer

__all__ = ["check_guards", "guard_layer"]
