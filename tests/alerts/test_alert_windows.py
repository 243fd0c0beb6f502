"""Sums over a window, and alerts over looks, against naive counts."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.telemetry.alerts import Thresholds
from agno_portkey.telemetry.alerts.kinds import kinds
from agno_portkey.telemetry.alerts.states import States
from agno_portkey.telemetry.alerts.windows import Window, bucket, p95

AT = datetime(2026, 11, 28, tzinfo=UTC)
STEPS = st.lists(st.tuples(st.floats(0, 40), st.sampled_from("abc"), st.integers(1, 5)))


@given(STEPS, st.floats(1, 500), st.integers(1, 60), st.floats(0, 1000))
def test_sums_are_those_of_a_naive_count(
    steps: list[tuple[float, str, int]], seconds: float, slots: int, later: float
) -> None:
    """All that is younger than the window less a step is in it, and nothing that is older."""
    window, told, now = Window(seconds, slots), list[tuple[float, str, int]](), 0.0
    for pause, name, amount in steps:
        now += pause
        window.add(now, {name: amount})
        told.append((now, name, amount))
    now += later
    sums, width = window.sums(now), seconds / slots
    # Floats at the very edge of a step are in either.
    least = naive(told, now - seconds + width * 1.000001)
    most = naive(told, now - seconds * 1.000001)
    assert all(least[name] <= sums[name] <= most[name] for name in "abc")
    assert not any(set(each) - set("abc") for each in (sums,))
    # Again the same: a look takes nothing away.
    assert window.sums(now) == sums


def naive(told: list[tuple[float, str, int]], since: float) -> Counter[str]:
    sums: Counter[str] = Counter()
    for at, name, amount in told:
        if at > since:
            sums[name] += amount
    return sums


@given(st.lists(st.floats(0, 1e6), max_size=300))
def test_it_holds_no_more_than_its_slots(times: list[float]) -> None:
    """In whatever order they come."""
    window = Window(60.0, slots=10)
    for at in times:
        window.add(at, {"x": 1})
        assert len(window._held) <= 10
    assert window.sums(max(times, default=0.0))["x"] <= len(times)


@given(st.lists(st.floats(0.005, 3600), min_size=1, max_size=200))
def test_a_p95_is_near_the_true_one(latencies: list[float]) -> None:
    counts = Counter(map(bucket, latencies))
    true = sorted(latencies)[math.ceil(0.95 * len(latencies)) - 1]
    assert true / 1.0000001 <= p95(counts) <= true * 1.0500001


@pytest.mark.parametrize("odd", [float("nan"), -1.0, 0.0, float("-inf")])
def test_odd_latencies_are_the_lowest(odd: float) -> None:
    assert bucket(odd) == 0


def test_a_latency_without_end_is_the_highest() -> None:
    assert bucket(float("inf")) == bucket(1e9) == bucket(3600.0)
    assert p95({}) == 0.0


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 6))
def test_it_fires_after_so_many_looks_at_which_it_is_so(looks: list[bool], lasts: int) -> None:
    [kind] = [
        each
        for each in kinds(Thresholds(errors={"lasts": lasts}))  # type: ignore[arg-type]
        if each.part == "errors"
    ]
    states = States({"errors": kind}, 1e9)
    fired = False
    for now, is_so in enumerate(looks):
        at = AT + timedelta(seconds=now)
        told = states.step(float(now), at, {("errors", "x"): 0.5} if is_so else {})
        since = looks[max(0, now - lasts) : now + 1]
        fires = len(since) == lasts + 1 and all(since)
        assert bool(states.firing) is fires
        # What begins and what ends is told, each once.
        assert [[each.ended for each in group] for group in told] == (
            [[None if fires else at]] if fires is not fired else []
        )
        fired = fires


def test_it_is_repeated_no_more_often_than_asked() -> None:
    found = {("errors", "x"): 0.5}
    all_kinds = {each.part: each for each in kinds(Thresholds(errors={"lasts": 0}))}  # type: ignore[arg-type]
    states = States(all_kinds, 60.0)
    said = [now for now in range(200) if states.step(float(now), AT, found)]
    assert said == [0, 60, 120, 180]


def test_those_of_one_kind_are_a_group() -> None:
    all_kinds = {each.part: each for each in kinds(Thresholds(errors={"lasts": 0}))}  # type: ignore[arg-type]
    states = States(all_kinds, 60.0)
    both = {("errors", "a"): 0.5, ("errors", "b"): 0.25}
    [group] = states.step(0.0, AT, both)
    assert [(each.of, each.figure) for each in group] == [("a", 0.5), ("b", 0.25)]
    # One of them is over: the other is told as well, and that one no more afterwards.
    [group] = states.step(1.0, AT + timedelta(seconds=1), {("errors", "b"): 0.3})
    assert [(each.of, each.ended is None, each.figure) for each in group] == [
        ("b", True, 0.3),
        ("a", False, 0.5),
    ]
    assert not states.step(2.0, AT, {("errors", "b"): 0.3})


def test_a_window_of_many_latencies_stays_small() -> None:
    window, chance = Window(60.0), random.Random(1)
    for n in range(20_000):
        window.add(n / 100, {bucket(chance.lognormvariate(0, 3)): 1})
    assert len(window._held) <= 60
    assert max(len(sums) for _, sums in window._held) <= 280
