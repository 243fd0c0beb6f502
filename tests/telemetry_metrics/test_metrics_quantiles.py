"""A p95 that is asked of the metrics is that of the spans, within 5 %."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_metrics import DURATION, FIRST, Bench

from agno_portkey.telemetry import names

LATENCIES = st.floats(0.005, 300)


def asked_of(buckets: list[tuple[float, float]], share: float) -> float:
    """Prometheus' histogram_quantile, as its documentation has it."""
    rank = share * buckets[-1][1]
    place = next(n for n, (_, count) in enumerate(buckets[:-1]) if count >= rank)
    upper, count = buckets[place]
    lower, before = buckets[place - 1] if place else (0.0, 0.0)
    return lower + (upper - lower) * (rank - before) / (count - before)


def true(latencies: list[float], share: float) -> float:
    """The smallest latency that is not exceeded in `share` of all."""
    ordered = sorted(latencies)
    return ordered[math.ceil(share * len(ordered)) - 1]


def measured(latencies: list[float]) -> list[tuple[float, float]]:
    bench = Bench()
    for seconds in latencies:
        bench.call(seconds)
    return bench.read().buckets(DURATION)


def assert_near(latencies: list[float]) -> None:
    # As a span has them: in nanoseconds.
    latencies = [round(each * 1e9) / 1e9 for each in latencies]
    buckets = measured(latencies)
    for share in (0.5, 0.95, 0.99):
        assert asked_of(buckets, share) == pytest.approx(true(latencies, share), rel=0.05)


@settings(max_examples=60)
@given(st.lists(LATENCIES, min_size=1, max_size=60))
def test_of_any_latencies(latencies: list[float]) -> None:
    assert_near(latencies)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.01, 60), st.floats(0.05, 1.5))
def test_of_lognormal_ones(seed: int, median: float, sigma: float) -> None:
    chance = random.Random(seed)
    drawn = [median * math.exp(chance.gauss(0, sigma)) for _ in range(400)]
    assert_near([min(max(each, 0.005), 300) for each in drawn])


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.005, 1), st.floats(2, 250), st.floats(0.03, 0.07))
def test_of_two_modes(seed: int, fast: float, slow: float, share: float) -> None:
    """Some calls hit a timeout or a second try: the p95 lies in the one mode or in the other."""
    chance = random.Random(seed)
    modes = [slow if chance.random() < share else fast for _ in range(300)]
    assert_near([mode * chance.uniform(1, 1.04) for mode in modes])


def test_a_latency_of_one_model_takes_so_many_series() -> None:
    bench = Bench()
    bench.call(0.2, **{"gen_ai.request.stream": True, names.FIRST_TOKEN: 0.1})
    samples = bench.read().samples
    # 232 bounds and infinity, the sum and the count.
    of_latencies = [each for each in samples if each.name.startswith((DURATION, FIRST))]
    assert len(of_latencies) == 2 * (233 + 2)
    assert len(samples) - len(of_latencies) < 10


def test_series_of_latencies_are_few_whatever_models_are_called() -> None:
    bench = Bench()
    for number in range(100):
        bench.call(model=f"m{number}")
        bench.span("call", {names.REQUEST_MODEL: f"m{number}", names.ERROR_TYPE: "X"})
    figures = bench.read()
    assert len(figures.of(f"{DURATION}_count", "gen_ai_request_model")) == 21
    assert figures.sum(f"{DURATION}_count", agno_portkey_outcome="answered") == 100
    assert figures.sum(f"{DURATION}_count", gen_ai_request_model="other") == 160
