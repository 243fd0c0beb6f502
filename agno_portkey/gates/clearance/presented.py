"""A clearance that somebody brings along: the id of one that is kept, or an exported one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from agno_portkey.gates.clearance.clearances import Clearances
from agno_portkey.gates.clearance.record import LONGEST, Asking, Grant
from agno_portkey.gates.clearance.refusing import refused
from agno_portkey.gates.clearance.token import verify

__all__ = ["present"]


def present(
    store: Clearances,
    keys: str | Iterable[Any],
    presented: str,
    asking: Asking,
    now: datetime | None = None,
    *,
    look: bool = False,
) -> Grant:
    """The clearance that `presented` is, claimed in `store` for who asks; else ClearanceRefused.

    A text with dots in it is a token, which one of the public `keys` has to have signed. With
    `look` it is told as it would be claimed, and is not.
    """
    if not isinstance(presented, str) or not presented.strip():
        raise refused("malformed", what="what was presented", problem="an id or a token is needed")
    now, presented = now or store.clock(), presented.strip()
    if "." in presented:
        grant = verify(presented, keys, asking, now=now, leeway=store.leeway)
        return store.admit(grant, asking, now, look=look)
    if len(presented) > LONGEST or not presented.isprintable():
        raise refused("malformed", what="what was presented", problem="it is no id")
    return store.claim(presented, asking, now, look=look)
