"""What events say of the figures that alerts are about, over their windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from agno_portkey.telemetry.alerts.kinds import Kind, kinds
from agno_portkey.telemetry.alerts.thresholds import Thresholds
from agno_portkey.telemetry.alerts.windows import Window, bucket, p95
from agno_portkey.telemetry.ledger.entry import entries_of
from agno_portkey.telemetry.ledger.prices import NANO, Prices
from agno_portkey.telemetry.names import is_code
from agno_portkey.verdict import Event, shown

__all__ = ["HEARD", "Found", "Watch"]

HEARD = frozenset({"call", "attempt", "cache", "gate", "circuit"})

# An alert that is so now: its part of `Thresholds`, and what its label says.
Found = tuple[str, str]

# Of each alert so many models, providers, gates or targets are told apart; beyond them "other".
_MOST = 50
_LONGEST = 200
_OTHER = "other"
_HITS = ("hit", "near", "shared")
_ALL, _BAD, _GOOD, _COST = "all", "bad", "good", "cost"
_HOUR = 3600.0


class Watch:
    """Takes events, and says which alerts are so; times are seconds of one clock.

    It is for one thread. What it holds does not grow with the events it gets.
    """

    def __init__(self, thresholds: Thresholds, prices: Prices) -> None:
        self.kinds: dict[str, Kind] = {
            kind.part: kind
            for kind in kinds(thresholds)
            if kind.part not in ("first_token", "gone")
        }
        self._prices = prices
        self._windows: dict[Found, Window] = {}
        self._open: dict[str, bool] = {}
        self._take: dict[str, Callable[[float, Event], None]] = {
            "call": self._call,
            "attempt": self._attempt,
            "cache": self._cache,
            "gate": self._gate,
            "circuit": self._circuit,
        }

    def take(self, at: float, event: Event) -> None:
        """Count an event that came at that time; those of other kinds than `HEARD` are none."""
        if (take := self._take.get(event.kind)) is not None:
            take(at, event)

    def found(self, now: float) -> dict[Found, float]:
        """The alerts that are so at `now`, and their figures."""
        beyond: dict[Found, float] = {}
        for (part, of), window in [*self._windows.items()]:
            kind, sums = self.kinds[part], window.sums(now)
            if not sums:
                # Another may have its place.
                del self._windows[part, of]
            elif sums[_ALL] >= kind.least and kind.is_beyond(figure := _figure(kind, sums)):
                beyond[part, of] = figure
        if "circuits" in self.kinds:
            beyond |= {("circuits", of): 2.0 for of, is_open in self._open.items() if is_open}
        return beyond

    def _call(self, at: float, event: Event) -> None:
        data = event.data
        for part in ("spending", "day_budget"):
            self._add(part, "", at, {_ALL: 1})
        is_well = not data.get("error") and not data.get("cancelled")
        # Without an attempt somebody had the answer already.
        if is_well and data.get("attempts") and _is_figure(data.get("seconds")):
            amounts: dict[str | int, float] = {_ALL: 1, bucket(data["seconds"]): 1}
            self._add("latency", _code(data.get("model")), at, amounts)

    def _attempt(self, at: float, event: Event) -> None:
        failed = "error" in event.data
        provider = _code(event.data.get("provider"))
        self._add("errors", provider, at, {_ALL: 1, _BAD: int(failed)})
        [attempt, *_] = entries_of(event, self._prices, datetime.now(UTC))
        for part in ("spending", "day_budget"):
            if attempt.cost:
                self._add(part, "", at, {_COST: attempt.cost / NANO})

    def _cache(self, at: float, event: Event) -> None:
        outcome = event.data.get("outcome")
        if outcome in (*_HITS, "miss"):
            self._add("cache_hits", "", at, {_ALL: 1, _GOOD: int(outcome != "miss")})

    def _gate(self, at: float, event: Event) -> None:
        # What would have become of a run that is only observed is no other decision.
        if event.verdict is not None and "would" not in event.data:
            amounts = {_ALL: 1, _GOOD: int(event.verdict.passed)}
            self._add("gate_passes", event.verdict.source, at, amounts)

    def _circuit(self, at: float, event: Event) -> None:
        target, is_open = _name(event.data.get("target")), event.data.get("state") == "open"
        if target not in self._open and len(self._open) >= _MOST:
            target = _OTHER
        self._open[target] = is_open

    def _add(self, part: str, of: Any, at: float, amounts: Mapping[Any, float]) -> None:
        if (kind := self.kinds.get(part)) is None:
            return
        key = (part, _name(of))
        if key not in self._windows:
            if sum(1 for other, _ in self._windows if other == part) >= _MOST:
                key = (part, _OTHER)
            if key not in self._windows:
                self._windows[key] = Window(kind.window)
        self._windows[key].add(at, amounts)


def _figure(kind: Kind, sums: Mapping[Any, float]) -> float:
    if kind.part == "latency":
        return p95({step: count for step, count in sums.items() if step != _ALL})
    if kind.part == "spending":
        return sums[_COST] * _HOUR / kind.window
    if kind.part == "day_budget":
        return sums[_COST]
    return sums[_BAD if kind.part == "errors" else _GOOD] / sums[_ALL]


def _code(said: Any) -> str:
    """What a gateway or provider says that it is, unless those can be anybody's words."""
    return said if isinstance(said, str) and is_code(said) else ""


def _name(of: Any) -> str:
    """What an alert says that it is of: a text that any receiver takes, and not a long one."""
    text = "" if of is None else shown(str(of)).encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST else _OTHER


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
