"""Guardrails: `Guard` and what it says, in hooks, in tools, and inside the model on every call."""

from agno_portkey.guardrails.at_rest import Kept, clean
from agno_portkey.guardrails.base import Guard, guard
from agno_portkey.guardrails.checks import check_guards
from agno_portkey.guardrails.delegations import atold, require_answer, told
from agno_portkey.guardrails.findings import Block, Finding, Flag, Rewrite
from agno_portkey.guardrails.foreign import AgnoGuard
from agno_portkey.guardrails.injection import PromptInjectionGuardrail
from agno_portkey.guardrails.last_results import check_unsent, unsent, withhold
from agno_portkey.guardrails.layer import guard_layer
from agno_portkey.guardrails.moderation import ModerationGuardrail
from agno_portkey.guardrails.passages import Passage, Scene
from agno_portkey.guardrails.pii import PIIGuardrail
from agno_portkey.guardrails.refusals import (
    forget_refusal,
    note_refusal,
    raise_on_block,
    verdict_of,
)
from agno_portkey.guardrails.secrets import SecretsGuardrail
from agno_portkey.guardrails.tool_calls import acheck_tool, check_tool, note_as_sent
from agno_portkey.guardrails.tool_results import ashown, shown

__all__ = [
    "AgnoGuard",
    "Block",
    "Finding",
    "Flag",
    "Guard",
    "Kept",
    "ModerationGuardrail",
    "PIIGuardrail",
    "Passage",
    "PromptInjectionGuardrail",
    "Rewrite",
    "Scene",
    "SecretsGuardrail",
    "acheck_tool",
    "ashown",
    "atold",
    "check_guards",
    "check_tool",
    "check_unsent",
    "clean",
    "forget_refusal",
    "guard",
    "guard_layer",
    "note_as_sent",
    "note_refusal",
    "raise_on_block",
    "require_answer",
    "shown",
    "told",
    "unsent",
    "verdict_of",
    "withhold",
]
