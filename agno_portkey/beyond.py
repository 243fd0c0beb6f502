"""What of personal data is not in a call: databases, and the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agno.db.in_memory import InMemoryDb

from agno_portkey.guardrails import PIIGuardrail, SecretsGuardrail
from agno_portkey.guardrails.logs import install
from agno_portkey.guardrails.secrets import without_secrets
from agno_portkey.sql import in_memory, source_of
from agno_portkey.walk import MANAGERS

__all__ = ["redact_logs", "vault_databases"]


def vault_databases(owners: Iterable[Any], guards: Sequence[Any]) -> None:
    """Have what `owners` store hold placeholders, where one of `guards` keeps vaults.

    A database that several of them share stays one.
    """
    guard = next((each for each in guards if getattr(each, "vaults", None) is not None), None)
    if guard is None:
        return
    # Only now: it takes a while to import.
    from agno_portkey.guardrails.pii.stored import vaulted

    twins: dict[int, Any] = {}
    for owner in owners:
        holders: list[Any] = [owner, *(getattr(owner, name, None) for name in MANAGERS)]
        for holder in holders:
            db = getattr(holder, "db", None)
            if db is None or hasattr(type(db), "_agno_portkey_vaults"):
                continue
            if id(db) not in twins:
                if guard.hides() and _outlives(db):
                    guard.vaults.warn_of_loss(type(db).__name__)
                twins[id(db)] = vaulted(
                    db, guard.vaults, find=guard.analyzer.spans, hides=guard.hides
                )
            holder.db = twins[id(db)]


def _outlives(db: Any) -> bool:
    """Whether what a database holds is there when this process has ended."""
    source = source_of(db)
    return not isinstance(db, InMemoryDb) and (source is None or not in_memory(source))


def redact_logs(guards: Sequence[Any]) -> None:
    """Have all handlers there are log no personal data and no secret, if one of `guards` looks."""
    for guard in guards:
        if isinstance(guard, PIIGuardrail):
            install(guard.redacted)
            return
    if any(isinstance(guard, SecretsGuardrail) for guard in guards):
        install(without_secrets)
