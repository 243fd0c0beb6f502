"""Prompt injection: a small model of our own that scores user input and tool results."""

from agno_portkey.guardrails.injection.guard import PromptInjectionGuardrail
from agno_portkey.guardrails.injection.model import Model, default_model

__all__ = ["Model", "PromptInjectionGuardrail", "default_model"]
