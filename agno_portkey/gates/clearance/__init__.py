"""Clearances: leave to run one judged plan once, kept in a database or exported as a token."""

from agno_portkey.gates.clearance.clearances import Clearances, MemoryClearances
from agno_portkey.gates.clearance.keys import KeyPair, new_key
from agno_portkey.gates.clearance.presented import present
from agno_portkey.gates.clearance.record import Asking, Grant, State, digest_of_request, new_id
from agno_portkey.gates.clearance.refusing import CODES
from agno_portkey.gates.clearance.token import export, verify

__all__ = [
    "CODES",
    "Asking",
    "Clearances",
    "Grant",
    "KeyPair",
    "MemoryClearances",
    "State",
    "digest_of_request",
    "export",
    "new_id",
    "new_key",
    "present",
    "verify",
]
