"""`Change`: one version of a gate's thresholds, and how a row of the table is read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from agno_portkey.errors import AdjustmentRefused
from agno_portkey.gates.history.rows import told

__all__ = ["Change", "Kind", "State", "packed", "parsed"]

Kind = Literal["tightened", "loosened", "rolled back", "set"]
State = Literal["applied", "proposed", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One version of the thresholds of a gate; a version is written once, and never changed.

    `threshold`, in 0-1 as all of these, is that of `check` from then on if it is applied; None is
    that of the gate as it is written. `before` is what held, `written` what the gate was written
    with then: where that is another one by now, the change holds no more. `rate`, `low` and `high`
    are the pass rate that the gate would have had on `runs` plans, and its interval.
    """

    swarm: str | None
    gate: str
    check: str
    version: int
    kind: Kind
    state: State
    threshold: float | None
    before: float
    written: float
    at: datetime
    by: str
    reason: str | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int | None = None

    @property
    def value(self) -> float:
        """The threshold that it is about."""
        return self.written if self.threshold is None else self.threshold

    def as_dict(self) -> dict[str, Any]:
        """The change as plain JSON types."""
        return {**asdict(self), "at": told(self.at)}


_FIELDS = tuple(each.name for each in fields(Change))
_SHARES = ("before", "written")
_OPTIONAL = ("threshold", "rate", "low", "high")


def packed(change: Change) -> dict[str, Any]:
    """The row of `change`."""
    # No swarm is a text of its own: a key holds no NULL.
    return {**change.as_dict(), "swarm": change.swarm or ""}


def parsed(row: Any) -> Change:
    """The change that `row` is; one that is none is refused as malformed."""
    values = {name: getattr(row, name) for name in _FIELDS}
    if wrong := _wrong(values):
        raise AdjustmentRefused(
            "malformed",
            f"version {values['version']} of the thresholds of {values['gate']!r}: {wrong} is not "
            "what was written there; put the row back, or roll back to an earlier version",
        )
    at = datetime.fromisoformat(values["at"]).astimezone(UTC)
    return Change(**{**values, "swarm": values["swarm"] or None, "at": at})


def _wrong(values: dict[str, Any]) -> str | None:
    """The first field that holds what no change has."""
    for name in ("gate", "check", "by"):
        if not isinstance(values[name], str) or not values[name]:
            return name
    for name in ("swarm", "reason"):
        if not isinstance(values[name], str | None):
            return name
    if type(values["version"]) is not int or values["version"] < 1:
        return "version"
    if values["kind"] not in get_args(Kind) or values["state"] not in get_args(State):
        return "kind or state"
    for name in (*_SHARES, *_OPTIONAL):
        if not _is_share(values[name], optional=name in _OPTIONAL):
            return name
    if values["runs"] is not None and (type(values["runs"]) is not int or values["runs"] < 0):
        return "runs"
    return None if _is_time(values["at"]) else "at"


def _is_share(value: Any, *, optional: bool) -> bool:
    if value is None:
        return optional
    return type(value) in (float, int) and math.isfinite(value) and 0 <= value <= 1


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).utcoffset() is not None
    except (TypeError, ValueError):
        return False
