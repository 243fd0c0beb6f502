"""`WatchHook`: an agent or team that was changed after it was governed does not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agno_portkey.errors import InputBlocked
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.hooks.lineage import hand_down
from agno_portkey.reach import held_by, same
from agno_portkey.verdict import Verdict

__all__ = ["WatchHook"]

_HELD = "_agno_portkey_held"


class WatchHook(Hook):
    """A pre-hook that `govern` installs: it refuses what was added or replaced since.

    Each run compares what the owner and its members hold with what they held; only where that
    differs is everything walked again, by `late`, which says what is not governed, or None. With
    `lineage` a team's members are told which run they are for, as a ledger needs it.
    """

    def __init__(self, late: Callable[[Any], str | None], *, lineage: bool = False) -> None:
        self._late = late
        self._lineage = lineage

    def before(self, moment: Moment) -> None:
        if (reason := self.changed(moment.owner)) is not None:
            said = f"{moment.name} was changed after it was governed: {reason}"
            raise InputBlocked(Verdict(False, "govern", (said,)))
        if self._lineage:
            hand_down(moment)

    def changed(self, owner: Any) -> str | None:
        """What of `owner`, which may be a copy of the governed one, is not governed any more."""
        held = held_by(owner)
        if same(vars(owner).get(_HELD), held):
            return None
        if (reason := self._late(owner)) is None:
            vars(owner)[_HELD] = held
        return reason

    def note(self, owner: Any) -> None:
        """Take what `owner` holds now as governed."""
        vars(owner)[_HELD] = held_by(owner)
