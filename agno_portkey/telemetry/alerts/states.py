"""Alerts from the first time that they are so until nobody need hear of them any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agno_portkey.telemetry.alerts.kinds import Kind
from agno_portkey.telemetry.alerts.watching import Found

__all__ = ["Alert", "States"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One that fires since `began`, or has until `ended`; `of` is what its label says."""

    kind: Kind
    of: str
    figure: float
    began: datetime
    ended: datetime | None = None


class States:
    """Which alerts are waited with, which fire, and what of it is to be said now.

    An alert fires once it has been so for its kind's `lasts`, at each look; it is over with the
    first look at which it is not so.
    """

    def __init__(self, kinds: Mapping[str, Kind], repeat_interval: float) -> None:
        self._kinds, self._repeat = kinds, repeat_interval
        self._since: dict[Found, float] = {}
        self._firing: dict[Found, Alert] = {}
        # By the kind of alert: when it was said last.
        self._said: dict[str, float] = {}

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(self._firing.values())

    def step(
        self, now: float, at: datetime, found: Mapping[Found, float]
    ) -> list[tuple[Alert, ...]]:
        """Take in what was `found` at a look; the groups that are to be told, each of one kind.

        A group has all that fire of its kind, and those that are over since it was told.
        """
        changed: set[str] = set()
        over = [self._firing.pop(key) for key in [*self._firing] if key not in found]
        self._since = {key: self._since.get(key, now) for key in found}
        for key, figure in found.items():
            kind = self._kinds[key[0]]
            if key in self._firing:
                self._firing[key] = replace(self._firing[key], figure=figure)
            elif now - self._since[key] >= kind.lasts:
                self._firing[key] = Alert(kind, key[1], figure, at)
                changed.add(kind.part)
        ended = [replace(alert, ended=at) for alert in over]
        changed |= {alert.kind.part for alert in ended}
        told = []
        for part in self._kinds:
            group = [each for each in (*self._firing.values(), *ended) if each.kind.part == part]
            if group and (part in changed or now - self._said[part] >= self._repeat):
                self._said[part] = now
                told.append(tuple(group))
        return told
