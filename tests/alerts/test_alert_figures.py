"""What counts towards a figure that alerts are about, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from agno_portkey.telemetry.alerts import Thresholds
from agno_portkey.telemetry.alerts.watching import Watch
from agno_portkey.telemetry.ledger.prices import Prices
from agno_portkey.verdict import Event, Verdict

ONE: dict[str, Any] = {"least": 1, "lasts": 0}
ANSWERED = {"model": "gpt", "seconds": 3.0, "attempts": 1}


def watch(**thresholds: Any) -> Watch:
    left_out = dict.fromkeys(Thresholds.model_fields)
    return Watch(Thresholds(**{**left_out, **thresholds}), Prices.shipped())


def found(held: Watch, *events: Event) -> dict[str, float]:
    for event in events:
        held.take(0.0, event)
    return {of: figure for (_, of), figure in held.found(1.0).items()}


@pytest.mark.parametrize(
    "data",
    [
        {**ANSWERED, "error": "UpstreamFailed"},
        {**ANSWERED, "cancelled": True},
        # Somebody had the answer already.
        {**ANSWERED, "attempts": 0},
        {**ANSWERED, "seconds": True},
        {**ANSWERED, "seconds": "3"},
        {**ANSWERED, "seconds": -1.0},
    ],
)
def test_the_latency_is_that_of_calls_that_were_answered(data: dict[str, Any]) -> None:
    held = watch(latency={**ONE, "above": 1e-6})
    assert found(held, Event("call", data=data)) == {}
    # One that took no time that the clock could tell counts as well.
    assert found(held, Event("call", data={**ANSWERED, "seconds": 0})) == {"gpt": 0.005}


@pytest.mark.parametrize("outcome", ["bypass", "kept", "compared", "would hit", "unusable"])
def test_what_did_not_ask_the_cache_is_no_miss(outcome: str) -> None:
    held = watch(cache_hits={**ONE, "below": 0.5})
    assert found(held, Event("cache", data={"outcome": outcome})) == {}
    hits = [Event("cache", data={"outcome": each}) for each in ("hit", "near", "shared")]
    assert found(held, *hits) == {}
    misses = [Event("cache", data={"outcome": "miss"})] * 4
    assert found(held, *misses) == {"": 3 / 7}


def test_a_gate_that_only_observes_has_decided_nothing() -> None:
    held = watch(gate_passes={**ONE, "below": 0.85})
    refused = Verdict(False, "release")
    assert found(held, Event("gate", verdict=refused, data={"would": "refuse"})) == {}
    assert found(held, Event("gate", data={})) == {}
    assert found(held, Event("gate", verdict=refused)) == {"release": 0.0}


def test_a_target_beyond_the_most_goes_with_the_others_and_those_known_do_not() -> None:
    held = watch(circuits={"lasts": 0})
    targets = [f"t{number}" for number in range(50)]
    opened = [Event("circuit", data={"target": each, "state": "open"}) for each in targets]
    assert set(found(held, *opened)) == {*targets}
    closed = Event("circuit", data={"target": "t0", "state": "closed"})
    assert set(found(held, closed)) == {*targets} - {"t0"}
    late = Event("circuit", data={"target": "late", "state": "open"})
    assert set(found(held, late)) == {*targets, "other"} - {"t0"}


@pytest.mark.parametrize(("length", "told"), [(200, "g" * 200), (201, "other")])
def test_a_name_is_told_up_to_its_longest(length: int, told: str) -> None:
    held = watch(gate_passes={**ONE, "below": 0.85})
    assert found(held, Event("gate", verdict=Verdict(False, "g" * length))) == {told: 0.0}


def test_what_only_prometheus_can_tell_is_not_watched() -> None:
    assert {*Watch(Thresholds(), Prices.shipped()).kinds} == {
        "latency",
        "errors",
        "cache_hits",
        "gate_passes",
        "spending",
        "circuits",
    }


def test_a_figure_at_its_limit_is_not_beyond_it() -> None:
    half = [Event("attempt", data={"provider": "p", "error": "UpstreamFailed"})]
    half.append(Event("attempt", data={"provider": "p"}))
    assert found(watch(errors={**ONE, "above": 0.5}), *half) == {}
    assert found(watch(errors={**ONE, "above": 0.499}), *half) == {"p": 0.5}
    even = [Event("gate", verdict=Verdict(passed, "g")) for passed in (True, False)]
    assert found(watch(gate_passes={**ONE, "below": 0.5}), *even) == {}
    assert found(watch(gate_passes={**ONE, "below": 0.501}), *even) == {"g": 0.5}


def test_a_days_budget_is_that_share_of_it_in_one_window() -> None:
    held = watch(day_budget={"usd": 20, "share": 0.1, "window": 60, "least": 1})
    spent = [Event("call", data={}), Event("attempt", data={"cost": 1.5})]
    assert found(held, *spent) == {}
    assert found(held, *spent) == {"": 3.0}
