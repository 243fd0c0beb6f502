"""What keeps a threshold from being changed, with a code and what to do about it."""

from __future__ import annotations

from collections.abc import Collection

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.adjusting.change import Change
from agno_portkey.gates.adjusting.standing import Standing, same
from agno_portkey.gates.approving import APPROVE

__all__ = ["require_before", "require_scope", "waiting"]


def waiting(standing: Standing, check: str, version: int | None) -> Change:
    """The proposal for `check` that waits, which is `version` if that is given."""
    kept = standing.open(check)
    if kept is None or version not in (None, kept.version):
        which = "" if version is None else f" by version {version}"
        raise AdjustmentRefused(
            "unknown", f"{standing.gate}/{check}: no proposal waits{which}: propose anew"
        )
    return kept


def require_before(standing: Standing, check: str, before: float) -> None:
    """Refuse what was meant for another threshold than the one that holds now."""
    holding = standing.holding(check)
    if holding is not None and not same(holding, before):
        raise AdjustmentRefused(
            "overtaken",
            f"{standing.gate}/{check}: the threshold is {holding:g} by now, and not {before:g}: "
            "propose anew",
        )


def require_scope(before: float, threshold: float, scopes: Collection[str]) -> None:
    """Refuse a threshold that is lower than `before` without the scope for it."""
    # One scope given as a text holds no others.
    held = {scopes} if isinstance(scopes, str) else scopes
    if threshold < before and APPROVE not in held:
        raise AdjustmentRefused(
            "unapproved",
            f"from {before:g} to {threshold:g} loosens the gate: that takes a person with the "
            f"scope {APPROVE}",
        )
