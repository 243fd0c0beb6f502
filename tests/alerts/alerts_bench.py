"""What tests of `Alerts` share: a clock that is set, and alerts that look when they are told to."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from alert_stories import Happening, attempted

from agno_portkey.telemetry.alerts import Alerts, Circuits, Thresholds
from agno_portkey.verdict import tell

SOON: Any = {"lasts": 0, "least": 10, "window": "5m"}
THRESHOLDS = Thresholds(
    latency=SOON, errors=SOON, cache_hits=SOON, gate_passes=SOON, circuits=Circuits(lasts=0)
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def at_once(seconds: float) -> None:
    """No pause."""


def own_threads() -> list[str]:
    return [
        each.name for each in threading.enumerate() if each.name.startswith("agno-portkey-alerts")
    ]


def alerts_to(webhook: Any, clock: Clock, **how: Any) -> Alerts:
    """Alerts that look when they are told to."""
    given = {"thresholds": THRESHOLDS, "interval": 3600.0, "clock": clock, "sleep": at_once, **how}
    return Alerts(webhook, **given)


def play(alerts: Alerts, *several: list[Happening], times: int = 1) -> None:
    for happenings in several * times:
        for each in happenings:
            # Each event is another one.
            tell([alerts], replace(each.event))


def degrade(alerts: Alerts) -> None:
    play(alerts, attempted(failed=True), times=10)
