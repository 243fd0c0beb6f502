"""The rules and the embedded form find the same in the same story, minute by minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import promtool
import pytest
from alert_stories import Happening, attempted, cached, called, decided, measured

from agno_portkey.telemetry.alerts import DayBudget, Spending, Thresholds, rules
from agno_portkey.telemetry.alerts.states import States
from agno_portkey.telemetry.alerts.watching import Watch
from agno_portkey.telemetry.ledger import Prices

ALIKE: Any = {"window": "5m", "lasts": "3m", "least": 20}
THRESHOLDS = Thresholds(
    latency=ALIKE,
    errors=ALIKE,
    cache_hits=ALIKE,
    gate_passes=ALIKE,
    spending=Spending(**ALIKE, per_hour=10),
    day_budget=DayBudget(**ALIKE, usd=20, share=0.1),
)
# So long it is good, then bad, then good again, then nothing happens any more.
CALM, BAD, GOOD, IDLE = 6, 12, 12, 12
MINUTES = CALM + BAD + GOOD + IDLE

AT = datetime(2026, 11, 28, tzinfo=UTC)

Minute = Callable[[bool], list[list[Happening]]]


def latency(bad: bool) -> list[list[Happening]]:
    return [called(3.0 if bad and n < 2 else 0.5) for n in range(12)]


def errors(bad: bool) -> list[list[Happening]]:
    return [*([called(0.5)] * 18), attempted(failed=bad), attempted(failed=bad)]


def cache_hits(bad: bool) -> list[list[Happening]]:
    hits, misses = (3, 9) if bad else (8, 4)
    return [*([cached("near")] * hits), *([cached("miss")] * misses), *([cached("bypass")] * 20)]


def gate_passes(bad: bool) -> list[list[Happening]]:
    return [decided(passed=n >= 3 or not bad) for n in range(12)]


def spending(bad: bool) -> list[list[Happening]]:
    return [called(0.5, cost=0.02 if bad else 0.005) for _ in range(12)]


def day_budget(bad: bool) -> list[list[Happening]]:
    return [called(0.5, cost=0.05 if bad else 0.01) for _ in range(12)]


def alike(alert: Any) -> dict[str, str]:
    """The labels that Prometheus gives an alert."""
    label = {alert.kind.label: alert.of} if alert.kind.label else {}
    return {"alertname": alert.kind.name, "severity": alert.kind.severity, **label}


@pytest.mark.parametrize(
    ("minute", "fires"),
    [
        (latency, {"AgnoPortkeyLatency"}),
        (errors, {"AgnoPortkeyErrors"}),
        (cache_hits, {"AgnoPortkeyCacheHits"}),
        (gate_passes, {"AgnoPortkeyGatePasses"}),
        (spending, {"AgnoPortkeySpending"}),
        (day_budget, {"AgnoPortkeyDayBudget", "AgnoPortkeySpending"}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_they_fire_on_the_same_story(minute: Minute, fires: set[str], tmp_path: Path) -> None:
    """A rate begins with the second scrape, and a look back is a minute more or less: at the
    edges the two may differ by a minute, and nowhere else.
    """
    watch = Watch(THRESHOLDS, Prices.shipped())
    states = States(watch.kinds, 1e9)
    series: dict[str, list[str]] = {}
    firing: dict[int, list[dict[str, str]]] = {}
    with measured() as metrics:
        for now in range(MINUTES):
            bad = CALM <= now < CALM + BAD
            happens = minute(bad) if now < CALM + BAD + GOOD else []
            for each in (each for several in happens for each in several):
                watch.take(now * 60.0, each.event)
                metrics.take(each)
            states.step(now * 60.0, AT, watch.found(now * 60.0))
            firing[now] = [alike(each) for each in states.firing]
            for name, value in metrics.scrape().items():
                series.setdefault(name, ["_"] * now).append(f"{value:g}")
    assert {each["alertname"] for now in firing for each in firing[now]} == fires
    played = {name: " ".join(values) for name, values in series.items()}
    # In the middle of each part of the story, and where it fires in full.
    looks = [2, CALM - 1, CALM + BAD - 3, CALM + BAD - 1, MINUTES - IDLE - 1, MINUTES - 1]
    assert len(firing[CALM + BAD - 1]) == len(fires)
    assert not firing[CALM - 1]
    assert not firing[MINUTES - IDLE - 1]
    assert not firing[MINUTES - 1]
    expected = {(now, "firing"): firing[now] for now in looks}
    assert not promtool.trouble(tmp_path, rules(THRESHOLDS), played, expected)
