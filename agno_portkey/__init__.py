"""Governed Agno agents and teams through a Portkey gateway.

The Runner does not run until the team's gate has passed.
"""

from agno_portkey.contracts import Contract, Critique, Issue, Judgement, Plan, Repair, Step
from agno_portkey.gates import Declined, Gate
from agno_portkey.govern import govern, registry_of
from agno_portkey.guardrails import (
    Block,
    Flag,
    Guard,
    Passage,
    Rewrite,
    guard,
    raise_on_block,
    verdict_of,
)
from agno_portkey.model import PortkeyModel
from agno_portkey.policy import Policy
from agno_portkey.verdict import Event, Observer, Verdict

__all__ = [
    "Block",
    "Contract",
    "Critique",
    "Declined",
    "Event",
    "Flag",
    "Gate",
    "Guard",
    "Issue",
    "Judgement",
    "Observer",
    "Passage",
    "Plan",
    "Policy",
    "PortkeyModel",
    "Repair",
    "Rewrite",
    "Step",
    "Verdict",
    "govern",
    "guard",
    "raise_on_block",
    "registry_of",
    "verdict_of",
]
