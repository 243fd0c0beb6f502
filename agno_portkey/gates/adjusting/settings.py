"""`Adjust`: whether and how a gate's thresholds follow its history."""

from __future__ import annotations

from dataclasses import dataclass

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.checks.base import number

__all__ = ["Adjust"]


@dataclass(frozen=True, kw_only=True)
class Adjust:
    """Has a gate propose other thresholds from its history, and follow those that were applied.

    After each `every` decisions of a process, and never on fewer than `least` plans, a threshold is
    proposed at which the gate would still pass more than `floor` of them, with `confidence`. With
    `auto` one that tightens is applied at once; one that loosens always waits for a person with the
    scope gates:approve. See `proposal.propose` for the rule.
    """

    auto: bool = False
    floor: float = 0.85
    least: int = 50
    every: int = 25
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not isinstance(self.auto, bool):
            raise ConfigurationError(f"Adjust.auto: True or False, not {self.auto!r}")
        number(self, "floor", least=0.5, most=0.99)
        number(self, "least", least=10, whole=True)
        number(self, "every", least=1, whole=True)
        number(self, "confidence", least=0.8, most=0.999)
