"""Governed Agno agents and teams through a Portkey gateway.

The Runner does not run until the team's gate has passed.
"""

import importlib as _importlib
import sys as _sys
from types import ModuleType as _ModuleType

# Read by type checkers alone: a name is imported when it is first asked for, so that a command or
# a module that needs few of them does not wait for all.
TYPE_CHECKING = False
if TYPE_CHECKING:
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
del TYPE_CHECKING

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

_MODULES = {
    "contracts": ("Contract", "Critique", "Issue", "Judgement", "Plan", "Repair", "Step"),
    "gates": ("Declined", "Gate"),
    "govern": ("govern", "registry_of"),
    "guardrails": (
        *("Block", "Flag", "Guard", "Passage", "Rewrite", "guard", "raise_on_block"),
        "verdict_of",
    ),
    "model": ("PortkeyModel",),
    "policy": ("Policy",),
    "verdict": ("Event", "Observer", "Verdict"),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(_importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(_ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Whoever imports the module `govern` first would else find it in place of the function.
        if name not in _WHERE or not isinstance(value, _ModuleType):
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
