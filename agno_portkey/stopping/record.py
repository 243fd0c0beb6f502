"""One stop, as it is kept and as it is told; and the store for what lives in one process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from agno_portkey.verdict import shown

__all__ = ["ALL", "LONGEST", "MemoryStore", "Resumed", "Stop", "Store", "fold", "kept", "parsed"]

ALL = "*"
# Characters of a name.
LONGEST = 255


@dataclass(frozen=True, slots=True)
class Stop:
    """Who stopped `swarm` (`*`: every one), when and why."""

    swarm: str
    at: datetime
    by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        who = "every swarm is" if self.swarm == ALL else f"the swarm {self.swarm} is"
        return shown(f"{who} {self.since}")

    @property
    def since(self) -> str:
        """Since when, by whom and why, in words: "stopped since ..."."""
        told = f"stopped since {self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        if self.by:
            told += f" by {self.by}"
        # Into terminals and logs, which obey some of what may stand there.
        return shown(told + (f" ({self.reason})" if self.reason else ""))


@dataclass(frozen=True, slots=True)
class Resumed:
    """Who let `swarm` go on last, and why, where that was said."""

    swarm: str
    by: str | None = None
    reason: str | None = None


@runtime_checkable
class Store(Protocol):
    """Where stops are kept. Each method blocks, and raises whatever its database raises.

    One of your own is given to `StopSwitch` in place of a database.
    """

    place: str

    def stops(self) -> Mapping[str, Stop]:
        """What is stopped now, by folded name; raises ValueError for what is no stop."""
        ...

    def put(self, stop: Stop) -> None:
        """Keep `stop` in place of an earlier one of the same name."""

    def lift(self, swarm: str, *, by: str | None = None, reason: str | None = None) -> list[Stop]:
        """Take back the stops of `swarm`, and return them; keep who did so, and why."""
        ...

    def resumed(self) -> list[Resumed]:
        """What was kept so of swarms that are not stopped."""
        ...

    def note(self, swarms: Collection[str]) -> None:
        """Keep the names that a process asks for, so that a wrong one can be told."""

    def noted(self) -> set[str]:
        """The names that were kept so."""
        ...


def fold(swarm: str) -> str:
    """The name by which swarms are compared: neither case nor spaces round it count."""
    return swarm.strip().casefold()


def kept(said: Any, longest: int | None = None) -> str | None:
    """Who or why, as every database keeps it: what is said of a stop is not to keep it from one."""
    if said is None:
        return None
    return str(said).replace("\0", " ").encode("utf-8", "replace").decode()[:longest]


def parsed(row: Any) -> Stop:
    """The stop that a row is; raises ValueError where it is none."""
    swarm, at, by, reason = row
    texts = isinstance(swarm, str) and fold(swarm) and isinstance(at, str)
    if not texts or not all(isinstance(said, str | None) for said in (by, reason)):
        raise ValueError("a row of agno_portkey_stops is no stop: mend or delete it")
    try:
        when = datetime.fromisoformat(at)
    except ValueError:
        raise ValueError(
            "a stopped_at in agno_portkey_stops is no time: mend or delete its row"
        ) from None
    return Stop(swarm, when if when.tzinfo else when.replace(tzinfo=UTC), by, reason)


class MemoryStore:
    """Stops that nobody outside this process can reach; kept on the database object itself."""

    place = "this process"

    def __init__(self, database: Any) -> None:
        kept = vars(database).setdefault("_agno_portkey_stops", ({}, set(), {}))
        self._stops: dict[str, Stop] = kept[0]
        self._names: set[str] = kept[1]
        self._resumed: dict[str, Resumed] = kept[2]

    def stops(self) -> Mapping[str, Stop]:
        return self._stops.copy()

    def put(self, stop: Stop) -> None:
        self._stops[fold(stop.swarm)] = stop
        self._resumed.pop(fold(stop.swarm), None)

    def lift(self, swarm: str, *, by: str | None = None, reason: str | None = None) -> list[Stop]:
        lifted = self._stops.pop(fold(swarm), None)
        if lifted is None:
            return []
        if by or reason:
            self._resumed[fold(swarm)] = Resumed(lifted.swarm, by, reason)
        return [lifted]

    def resumed(self) -> list[Resumed]:
        return [*self._resumed.values()]

    def note(self, swarms: Collection[str]) -> None:
        self._names.update(swarms)

    def noted(self) -> set[str]:
        return self._names.copy()
