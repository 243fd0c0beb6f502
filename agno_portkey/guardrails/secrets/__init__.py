"""Keys, tokens and passwords: found in what goes in and what comes out, blocked or masked."""

from agno_portkey.guardrails.secrets.finding import Secret, secrets
from agno_portkey.guardrails.secrets.guard import SecretsGuardrail, without_secrets

__all__ = ["Secret", "SecretsGuardrail", "secrets", "without_secrets"]
