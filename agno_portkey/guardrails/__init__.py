"""Guardrails: `Guard` and what it says, in hooks, in tools, and inside the model on every call."""

from agno_portkey.guardrails.base import Guard, guard
from agno_portkey.guardrails.findings import Block, Finding, Flag, Rewrite
from agno_portkey.guardrails.foreign import AgnoGuard
from agno_portkey.guardrails.injection import PromptInjectionGuardrail
from agno_portkey.guardrails.moderation import ModerationGuardrail
from agno_portkey.guardrails.passages import Passage, Scene
from agno_portkey.guardrails.pii import PIIGuardrail
from agno_portkey.guardrails.refusals import raise_on_block, verdict_of
from agno_portkey.guardrails.secrets import SecretsGuardrail

__all__ = [
    "AgnoGuard",
    "Block",
    "Finding",
    "Flag",
    "Guard",
    "ModerationGuardrail",
    "PIIGuardrail",
    "Passage",
    "PromptInjectionGuardrail",
    "Rewrite",
    "Scene",
    "SecretsGuardrail",
    "guard",
    "raise_on_block",
    "verdict_of",
]
