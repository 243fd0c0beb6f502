"""What a team may not be in production: see `environments`."""

from __future__ import annotations

from collections.abc import Iterable

from agno_portkey.environments import check_capture, check_production, is_production
from agno_portkey.modes import Modes
from agno_portkey.walk import Owner, name_of

__all__ = ["check_owners"]


def check_owners(owners: Iterable[Owner], modes: Modes, *, gated: bool) -> None:
    """Raise WrongEnvironment where production does not allow a gate's mode, or what is logged.

    ConfigurationError where this process does not say rightly of which environment it is.
    """
    if not is_production():
        return
    if gated and modes.gate != "enforce":
        check_production("observed-gates", f"gate: a gate that is to {modes.gate}")
    for owner in owners:
        if getattr(owner, "debug_mode", False):
            said = f"{name_of(owner)}: debug_mode, which logs what is asked and answered,"
            check_production("raw-content", said)
    check_capture()
