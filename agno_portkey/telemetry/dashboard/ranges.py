"""What is asked of the points: since when, until when, of whom; and by which steps of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from agno_portkey.telemetry.dashboard.points import TABLE

__all__ = ["REST", "UNKNOWN", "Asked", "keyed"]

# Milliseconds of a step: as many as make at most so many steps.
_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
_STEPS = (
    *(_SECOND, 2 * _SECOND, 5 * _SECOND, 10 * _SECOND, 15 * _SECOND, 30 * _SECOND),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 24 * _HOUR),
)
_MOST = 72
# Names that are told apart; what comes after them is the rest.
_KEYS = 8
# What stands for a name that is not known, and for all others: no name is empty, or a null.
UNKNOWN, REST = "", None


@dataclass(frozen=True, slots=True)
class Asked:
    """A range of time, in milliseconds since 1970 (`until` is not in it), and of whom; None: all.

    An empty filter is of what bears no such name.
    """

    since: int
    until: int
    swarm: str | None = None
    role: str | None = None
    environment: str | None = None

    @property
    def step(self) -> int:
        """Milliseconds of one step of a series."""
        width = max(1, self.until - self.since)
        few = next((step for step in _STEPS if width / step <= _MOST), None)
        day = _STEPS[-1]
        return few if few is not None else -(-width // (_MOST * day)) * day

    @property
    def times(self) -> list[int]:
        """When each step begins; the first may begin before `since`."""
        step = self.step
        return [*range(self.since - self.since % step, self.until, step)]

    def where(self, *kinds: str) -> ColumnElement[bool]:
        """Whether a point of one of `kinds` is asked for."""
        c = TABLE.c
        kind = c.kind == kinds[0] if len(kinds) == 1 else c.kind.in_(kinds)
        held = [kind, c.at >= self.since, c.at < self.until]
        for name in ("swarm", "role", "environment"):
            wanted = getattr(self, name)
            if wanted is not None:
                held.append(c[name] == wanted if wanted else c[name].is_(None))
        return and_(*held)

    def bucket(self) -> ColumnElement[int]:
        """The step in which a point is."""
        step = self.step
        bucket: ColumnElement[int] = TABLE.c.at - TABLE.c.at % step
        return bucket


def keyed(read: Any, column: Any, where: ColumnElement[bool]) -> tuple[ColumnElement[Any], int]:
    """`column` with the rarer names as the rest; and how many names those are.

    `read` is what asks the database.
    """
    named = func.coalesce(column, UNKNOWN)
    # One more of them tells that there are others: how many is counted only then.
    counted = func.count().desc()
    wanted = select(named).where(where).group_by(named).order_by(counted, named).limit(_KEYS + 1)
    found: Sequence[Any] = [row[0] for row in read(wanted)]
    if len(found) <= _KEYS:
        return named, 0
    [[count]] = read(select(func.count(named.distinct())).where(where))
    return case((named.in_(found[:_KEYS]), named), else_=REST), int(count) - _KEYS
