"""Thresholds that follow the history: proposed, applied by leave alone, and taken back."""

from agno_portkey.gates.adjusting.adjuster import AUTO, Adjuster, movable, past
from agno_portkey.gates.adjusting.change import Change
from agno_portkey.gates.adjusting.proposal import propose
from agno_portkey.gates.adjusting.proposed import NoProposal, Point, Proposal
from agno_portkey.gates.adjusting.settings import Adjust
from agno_portkey.gates.adjusting.standing import Standing
from agno_portkey.gates.adjusting.versions import Thresholds

__all__ = [
    "AUTO",
    "Adjust",
    "Adjuster",
    "Change",
    "NoProposal",
    "Point",
    "Proposal",
    "Standing",
    "Thresholds",
    "movable",
    "past",
    "propose",
]
