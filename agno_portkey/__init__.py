"""Governed Agno agents and teams through a Portkey gateway.

The Runner does not run until the team's gate has passed.
"""

from agno_portkey.contracts import Critique, Issue, Judgement, Plan, Step
from agno_portkey.gates import Declined, Gate
from agno_portkey.govern import govern, registry_of
from agno_portkey.model import PortkeyModel
from agno_portkey.verdict import Event, Observer, Verdict

__all__ = [
    "Critique",
    "Declined",
    "Event",
    "Gate",
    "Issue",
    "Judgement",
    "Observer",
    "Plan",
    "PortkeyModel",
    "Step",
    "Verdict",
    "govern",
    "registry_of",
]
