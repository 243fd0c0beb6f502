"""Which switch stops an owner, and where that is, if its database is given to it later."""

from __future__ import annotations

import logging
import os
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.errors import ConfigurationError
from agno_portkey.stopping.switch import DATABASE_VARIABLE, StopSwitch
from agno_portkey.verdict import Verdict

__all__ = ["LateSwitch", "switch_of"]

_log = logging.getLogger("agno_portkey")


class LateSwitch:
    """The switch in the first database that its owner is given; until then it stops nothing.

    A server gives its own database to whomever it serves that has none. One that can hold no stops
    is said in the log, once, and passed over.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._switch: StopSwitch | None = None
        self._unfit: Any = None

    def __repr__(self) -> str:
        return f"LateSwitch({self._switch!r})"

    @property
    def has_database(self) -> bool:
        """Whether there is a database by now."""
        return self._switch is not None or getattr(self._owner, "db", None) is not None

    @property
    def found(self) -> StopSwitch | None:
        """The switch in the owner's database, made at need; None while there is none."""
        database = getattr(self._owner, "db", None)
        if self._switch is None and database is not None and database is not self._unfit:
            try:
                self._switch = StopSwitch(database)
            except ConfigurationError as error:
                self._unfit = database
                _log.warning("there is no kill switch: %s; or set %s", error, DATABASE_VARIABLE)
        return self._switch

    def check(self, *swarms: str) -> Verdict | None:
        """Why `swarms` may not go on, or None; blocks where what is known is too old."""
        switch = self.found
        return None if switch is None else switch.check(*swarms)

    async def verdict(self, io: IO, *swarms: str) -> Verdict | None:
        """The same for a layer: it waits through `io`."""
        switch = self._switch or (await io.run(lambda: self.found) if self.has_database else None)
        return None if switch is None else await switch.verdict(io, *swarms)


def switch_of(owner: Any) -> StopSwitch | LateSwitch:
    """The switch of an agent, team or workflow.

    It is in the database that `AGNO_PORTKEY_DATABASE_URL` names, where operators then find it
    too, else in the owner's own `db`, which may come later.
    """
    if named := os.environ.get(DATABASE_VARIABLE):
        return StopSwitch(named)
    late = LateSwitch(owner)
    return late.found or late
