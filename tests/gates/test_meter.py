"""`Meter`: what a run takes, and what its guards refuse, counted with the run and no other."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from agno_portkey.gates.meter import Meter
from agno_portkey.run_facts import Usage
from agno_portkey.runs import Run, Runs
from agno_portkey.verdict import Event, Verdict


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def run(runs: Runs) -> Run:
    run = runs.open("team", "Release")
    runs.join("judge", run, "judge", "Judge")
    return run


def attempt(run_id: str | None = "judge", **data: Any) -> Event:
    return Event("attempt", run_id=run_id, data=data)


def guard(passed: bool, name: str = "pii") -> Event:
    return Event("guard", run_id="judge", verdict=Verdict(passed, name))


def test_what_requests_take_is_added_up(runs: Runs, run: Run) -> None:
    meter = Meter(runs)
    meter(attempt(input_tokens=10, output_tokens=2, cost=0.25, seconds=1.5))
    meter(attempt("team", input_tokens=1, output_tokens=1, cost=0.5, seconds=0.5))
    assert run.usage == Usage(2, 14, 0.75, 2.0)
    # What one has cost that says nothing is not known, and so neither is what all have.
    meter(attempt())
    assert run.usage == Usage(3, 14, None, 2.0)
    meter(attempt(cost=0.25))
    assert run.usage.cost is None
    assert Usage() + Usage() == Usage()


def test_what_guards_refused_is_kept_once_for_each_of_them(runs: Runs, run: Run) -> None:
    meter = Meter(runs)
    meter(guard(True))
    meter(Event("guard", run_id="judge"))
    assert run.failures == []
    for name in ("one", *["noisy"] * 120, "one", "other"):
        meter(guard(False, name))
    assert run.failures == ["one", "noisy", "other"]


@pytest.mark.parametrize("kind", ["call", "gate", "tool"])
def test_nothing_else_counts(kind: str, runs: Runs, run: Run) -> None:
    Meter(runs)(Event(kind, run_id="judge", verdict=Verdict(False, "x"), data={"cost": 1.0}))
    assert (run.usage, run.failures) == (Usage(), [])


@pytest.mark.parametrize("run_id", [None, "unknown"])
def test_a_call_of_no_known_run_is_passed_over(run_id: str | None, runs: Runs, run: Run) -> None:
    Meter(runs)(attempt(run_id, input_tokens=1))
    assert run.usage == Usage()


def test_a_copy_counts_for_the_same_runs(runs: Runs) -> None:
    meter = Meter(runs)
    assert copy.deepcopy(meter) is meter
