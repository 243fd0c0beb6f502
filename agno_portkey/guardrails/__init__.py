"""Guardrails run inside the model, on every call."""

from agno_portkey.guardrails.layer import guard_layer

__all__ = ["guard_layer"]
