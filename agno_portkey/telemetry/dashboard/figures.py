"""Sums and quantiles of points, as the database makes them: over time, or of the whole range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import case, func, literal, select
from sqlalchemy.sql.elements import BindParameter, ColumnElement

from agno_portkey.telemetry.dashboard.points import TABLE, of_bin
from agno_portkey.telemetry.dashboard.ranges import UNKNOWN, Asked, keyed

__all__ = ["Figures", "Read", "count_of", "sum_of"]

# Asks the database: a statement's rows.
Read = Callable[[Any], Sequence[Any]]
Figure = int | float | None
Fold = Callable[[list[Any]], Any]
_QUANTILES = {"p50": 50, "p95": 95, "p99": 99}


def count_of(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    """How many points are so."""
    return func.sum(case((condition, 1), else_=0))


def sum_of(column: Any, condition: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
    """The sum of a column, of points that are so."""
    of = func.coalesce(column, 0)
    return func.sum(of if condition is None else case((condition, of), else_=0))


@dataclass(frozen=True)
class Figures:
    """Figures of the points that are `where`, by the names in `by`, each over time and in all."""

    read: Read
    asked: Asked
    where: ColumnElement[bool]
    by: Any = None

    def told(
        self, columns: Mapping[str, Any], fold: Mapping[str, Fold] | None = None
    ) -> dict[str, Any]:
        """`columns` over time and in all: what a panel's `groups` are, and its `left_out`.

        In all they are the sum of the steps, or what `fold` makes of those that there are.
        """
        key, left_out = self._key
        at, folds = self.asked.bucket(), fold or {}
        named = [column.label(name) for name, column in columns.items()]
        wanted = select(at.label("at"), key.label("key"), *named).where(self.where)
        groups = self._over_time(wanted.group_by(*self._by(at, key)), [*columns])
        for group in groups:
            for name, values in group["series"].items():
                held = [value for value in values if value is not None]
                group["totals"][name] = folds.get(name, sum)(held) if held else None
        return {"groups": groups, "left_out": left_out}

    def quantiles(self, bin: str = "bin") -> dict[str, Any]:
        """The same of p50, p95 and p99 in milliseconds, and of how many there were."""
        key, left_out = self._key
        names = ["count", *_QUANTILES]
        groups = self._over_time(self._reached(self.asked.bucket(), key, TABLE.c[bin]), names)
        # Those of the whole are nothing that those of the steps would tell.
        wanted = self._reached(literal(0), key, TABLE.c[bin]) if groups else None
        whole = {row[1]: row for row in self.read(wanted)} if groups else {}
        # Meanwhile somebody may have had them forgotten.
        kept = [group for group in groups if group["key"] in whole]
        for group in kept:
            group["totals"] = _figures(names, whole[group["key"]])
        return {"groups": kept, "left_out": left_out}

    def _over_time(self, wanted: Any, names: Sequence[str]) -> list[dict[str, Any]]:
        times = {time: index for index, time in enumerate(self.asked.times)}
        groups: dict[Any, dict[str, Any]] = {}
        for row in self.read(wanted):
            if (group := groups.get(row[1])) is None:
                series: dict[str, list[Figure]] = {name: [None] * len(times) for name in names}
                group = groups[row[1]] = {"key": row[1], "totals": {}, "series": series}
            for name, value in _figures(names, row).items():
                group["series"][name][times[int(row[0])]] = value
        return sorted(groups.values(), key=lambda each: (each["key"] is None, str(each["key"])))

    @cached_property
    def _key(self) -> tuple[Any, int]:
        if self.by is None:
            return literal(UNKNOWN), 0
        return keyed(self.read, self.by, self.where)

    def _by(self, *of: Any) -> Sequence[Any]:
        # Postgres takes no constant for a name to group by.
        return [each for each in of if not isinstance(each, BindParameter)]

    def _reached(self, at: Any, key: Any, bin: Any) -> Any:
        """The bins at which so many of a hundred are not above, as the database finds them."""
        told = at.label("at"), key.label("key"), bin.label("bin"), func.count().label("n")
        counted = select(*told).where(self.where, bin.is_not(None))
        bins = counted.group_by(*self._by(at, key), bin).subquery()
        of = [bins.c.at, bins.c.key]
        below = func.sum(bins.c.n).over(partition_by=of, order_by=bins.c.bin)
        total = func.sum(bins.c.n).over(partition_by=of)
        sums = select(bins, below.label("below"), total.label("total")).subquery()
        reached = [
            func.min(case((sums.c.below * 100 >= sums.c.total * share, sums.c.bin))).label(name)
            for name, share in _QUANTILES.items()
        ]
        wanted = select(sums.c.at, sums.c.key, func.max(sums.c.total).label("count"), *reached)
        return wanted.group_by(sums.c.at, sums.c.key)


def _figures(names: Sequence[str], row: Sequence[Any]) -> dict[str, Figure]:
    """The figures of a row, which stand behind its time and its key."""
    return {name: _figure(name, value) for name, value in zip(names, row[2:], strict=True)}


def _figure(name: str, said: Any) -> Figure:
    if said is not None and name in _QUANTILES:
        # To more places than a bin is wide, also of what took no time.
        return float(f"{of_bin(said):.5g}")
    if said is None or isinstance(said, int | float):
        return said
    # Postgres has decimals for sums.
    return int(said) if said == int(said) else float(said)
