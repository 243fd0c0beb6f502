"""What a guard says of a passage: nothing, a block, another text, or a remark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agno_portkey.verdict import OwnWords

__all__ = ["Block", "Finding", "Flag", "NoFinding", "Rewrite"]


@dataclass(frozen=True, slots=True)
class Block:
    """The passage may not go on. `reason` is shown to the caller: keep the passage out of it."""

    reason: str
    score: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The passage goes on as `text`; only a guard that declares `rewrites` may say so."""

    text: str
    reason: str = "rewritten"
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flag:
    """The passage goes on as it is, and observers hear of it."""

    reason: str
    score: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


Finding: TypeAlias = Block | Rewrite | Flag | None


class NoFinding(OwnWords, TypeError):
    """What a guard said is no finding, or it can't be asked here; its words hold none of a text."""
