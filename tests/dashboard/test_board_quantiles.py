"""Quantiles by bins: within 1 % of the exact ones, whatever the latencies."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from datetime import timedelta

from board_spans import NOON, agno_db, around, call, put, span
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey.telemetry.dashboard import Board
from agno_portkey.telemetry.dashboard.points import bin_of, of_bin

# Microseconds are what a row tells.
LATENCIES = st.integers(10, 3_600_000_000).map(lambda micros: micros / 1_000)


def exact(latencies: Sequence[float], share: int) -> float:
    """The least of them that so many of a hundred are not above."""
    return sorted(latencies)[math.ceil(len(latencies) * share / 100) - 1]


@given(LATENCIES)
def test_the_middle_of_a_bin_is_near_all_that_is_in_it(ms: float) -> None:
    assert abs(of_bin(bin_of(ms)) - ms) <= 0.01 * ms


@given(st.lists(LATENCIES, min_size=1, max_size=120))
@settings(max_examples=20, deadline=None)
def test_quantiles_are_within_one_percent_of_the_exact_ones(latencies: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder, agno_db(f"sqlite:///{folder}/agno.db") as db:
        put(db, *(call(ms=ms) for ms in latencies))
        [group] = Board(db).panel("latency", around())["groups"]
    assert group["totals"]["count"] == len(latencies)
    for name, share in (("p50", 50), ("p95", 95), ("p99", 99)):
        true = exact(latencies, share)
        assert abs(group["totals"][name] - true) <= 0.0101 * true
        # All are in one step: over time it is the same.
        assert [value for value in group["series"][name] if value is not None] == [
            group["totals"][name]
        ]


def test_each_step_and_model_has_its_own(database: str) -> None:
    early, late = NOON - timedelta(minutes=30), NOON + timedelta(minutes=30)
    # Each is 3 % longer than the one before: a quantile that is one off is seen.
    rows = [
        call(when, first * 1.03**number, model)
        for when, first, model in ((early, 100, "slow"), (late, 200, "slow"), (late, 10, "quick"))
        for number in range(100)
    ]
    with agno_db(database) as db:
        put(db, *rows)
        told = Board(db).panel("latency", around())
    at = {time: index for index, time in enumerate(told["times"])}
    steps = [
        at[int(when.timestamp() * 1_000) // told["step"] * told["step"]] for when in (early, late)
    ]
    p95 = {group["key"]: group["series"]["p95"] for group in told["groups"]}
    for model, step, first in (("slow", 0, 100), ("slow", 1, 200), ("quick", 1, 10)):
        true = first * 1.03**94
        assert abs(p95[model][steps[step]] - true) <= 0.011 * true
    assert p95["quick"][steps[0]] is None
    assert told["exact"] == 0.01
    assert told["units"]["p95"] == "ms"


def test_only_answers_of_providers_are_measured(database: str) -> None:
    kept = {"agno_portkey.attempts": 0}
    rows = [
        call(ms=100),
        call(ms=9_000, said=kept),
        call(ms=8_000, said={"error.type": "UpstreamFailed"}),
        call(ms=7_000, said={"agno_portkey.cancelled": True}),
        span("attempt", ms=6_000),
    ]
    with agno_db(database) as db:
        put(db, *rows)
        [group] = Board(db).panel("latency", around())["groups"]
    assert group["totals"]["count"] == 1
    assert abs(group["totals"]["p99"] - 100) <= 1


def test_the_first_word_is_that_of_streams(database: str) -> None:
    first = {"gen_ai.server.time_to_first_token": 0.25}
    streamed = {**first, "gen_ai.request.stream": True}
    with agno_db(database) as db:
        put(db, call(ms=400, said=streamed), call(ms=500, said=first))
        told = Board(db).panel("latency", around())
    [group] = told["first_token"]
    assert group["totals"]["count"] == 1
    assert abs(group["totals"]["p95"] - 250) <= 2.5
