"""Gates: what a plan must have passed before the Runner may run it, and the locks that hold."""

from agno_portkey.gates.charter import Charter
from agno_portkey.gates.declined import Declined, put_declined
from agno_portkey.gates.gate import Case, Gate, check_gates
from agno_portkey.gates.interlock import Seat, guard_call, interlock
from agno_portkey.gates.tools import is_protected, original, protect, same_value, step_matches

__all__ = [
    "Case",
    "Charter",
    "Declined",
    "Gate",
    "Seat",
    "check_gates",
    "guard_call",
    "interlock",
    "is_protected",
    "original",
    "protect",
    "put_declined",
    "same_value",
    "step_matches",
]
