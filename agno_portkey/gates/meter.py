"""What a team run takes and what its guards refuse, as its models and guards tell of it."""

from __future__ import annotations

from typing import Any

from agno_portkey.runs import Runs, Usage
from agno_portkey.verdict import Event

__all__ = ["Meter"]


class Meter:
    """An observer that keeps, with each known run, what `BudgetCheck` and `GuardCheck` ask for."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def __deepcopy__(self, memo: dict[int, Any]) -> Meter:
        return self

    def __call__(self, event: Event) -> None:
        if event.kind not in ("attempt", "guard"):
            return
        station = self._runs.find(event.run_id)
        if station is None:
            return
        if event.kind == "attempt":
            data = event.data
            tokens = data.get("input_tokens", 0) + data.get("output_tokens", 0)
            station.run.used_up(Usage(1, tokens, data.get("cost"), data.get("seconds", 0.0)))
        elif event.verdict is not None and not event.verdict.passed:
            with station.run.lock:
                # By name: how often one has failed must not hide that another did.
                if event.verdict.source not in station.run.failures:
                    station.run.failures.append(event.verdict.source)
