"""Personal data: found, masked, and put behind placeholders that only its session can open."""

from agno_portkey.guardrails.pii.analysis import Analyzer
from agno_portkey.guardrails.pii.guard import PIIGuardrail
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.stored import vaulted
from agno_portkey.guardrails.pii.vault import Vault
from agno_portkey.guardrails.pii.vaults import Vaults

__all__ = ["Analyzer", "PIIGuardrail", "Span", "Vault", "Vaults", "vaulted"]
