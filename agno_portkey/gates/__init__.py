"""Gates: what a plan must have passed before the Runner may run it, and the locks that hold."""

from agno_portkey.gates.adjusting import Adjust
from agno_portkey.gates.case import Case
from agno_portkey.gates.charter import Charter
from agno_portkey.gates.checks import (
    AccuracyCheck,
    BudgetCheck,
    Check,
    CritiqueCheck,
    GuardCheck,
    JudgementCheck,
    Outcome,
    ReliabilityCheck,
    ScorerCheck,
    SuiteCheck,
    all_of,
    any_of,
    outcome_of,
    record_suite,
    weighted,
)
from agno_portkey.gates.declined import Declined, put_declined
from agno_portkey.gates.gate import Gate, check_gates
from agno_portkey.gates.interlock import Seat, guard_call, interlock
from agno_portkey.gates.sampling import Poll, Sampling
from agno_portkey.gates.tools import is_protected, original, protect

__all__ = [
    "AccuracyCheck",
    "Adjust",
    "BudgetCheck",
    "Case",
    "Charter",
    "Check",
    "CritiqueCheck",
    "Declined",
    "Gate",
    "GuardCheck",
    "JudgementCheck",
    "Outcome",
    "Poll",
    "ReliabilityCheck",
    "Sampling",
    "ScorerCheck",
    "Seat",
    "SuiteCheck",
    "all_of",
    "any_of",
    "check_gates",
    "guard_call",
    "interlock",
    "is_protected",
    "original",
    "outcome_of",
    "protect",
    "put_declined",
    "record_suite",
    "weighted",
]
