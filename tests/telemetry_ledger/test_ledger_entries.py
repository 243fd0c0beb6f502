"""What one event comes to: whatever providers, callers and gateways say, it fits and adds up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import rows

from agno_portkey.telemetry.ledger import Entry, Ledger, Price, Prices
from agno_portkey.telemetry.ledger.entry import LONGEST, entries_of, fitted
from agno_portkey.verdict import Event

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PRICES = Prices({"m": Price(Decimal(1), Decimal(2), Decimal("0.5"))}, {"e": Price(Decimal("0.25"))})


def booked(kind: str = "attempt", **data: Any) -> list[Entry]:
    return [*entries_of(Event(kind, "Writer", "Team", "own", data=data), PRICES, NOW)]


def one(**data: Any) -> Entry:
    [entry] = booked(**data)
    return entry


def test_it_says_for_whom_it_was() -> None:
    tags = {"cost_center": "cc", "session": "s", "run": "cut", "team": "x"}
    entry = one(run="outer", tags=tags, model="m", provider="openai", target="t", option_index="o")
    told = (entry.run, entry.own_run, entry.role, entry.swarm, entry.session, entry.cost_center)
    assert told == ("outer", "own", "Writer", "Team", "s", "cc")
    assert (entry.model, entry.provider, entry.target, entry.option_index) == (
        *("m", "openai", "t"),
        "o",
    )
    assert json.loads(entry.tags) == tags


def test_cached_tokens_cost_less_and_are_no_more() -> None:
    entry = one(model="m", input_tokens=100, output_tokens=10, cached_tokens=40, reasoning_tokens=4)
    assert (entry.tokens, entry.cached_tokens, entry.reasoning_tokens) == (110, 40, 4)
    # 60 at 1, 40 at 0.5, 10 at 2, for a thousand.
    assert (entry.cost, entry.priced) == (100_000_000, "list")


def test_the_name_that_was_asked_for_gives_the_price_where_the_answers_has_none() -> None:
    assert one(model="m-as-deployed", asked="m", input_tokens=1, output_tokens=0).cost == 1_000_000
    unknown = one(model="x", asked="y", input_tokens=1, output_tokens=0)
    assert (unknown.cost, unknown.priced, unknown.tokens) == (None, "unknown", 1)


@pytest.mark.parametrize(
    ("told", "cost", "priced"),
    [
        (0.1, 100_000_000, "provider"),
        ("0.25", 250_000_000, "provider"),
        (0, 0, "provider"),
        (1e-10, 0, "provider"),
        (5e-10, 1, "provider"),
        (None, 3_000_000, "list"),
        (-1, 3_000_000, "list"),
        (float("nan"), 3_000_000, "list"),
        (float("inf"), 3_000_000, "list"),
        (1e12, 3_000_000, "list"),
        ("much", 3_000_000, "list"),
        ([1], 3_000_000, "list"),
        (True, 3_000_000, "list"),
    ],
)
def test_what_the_provider_says_it_cost_wins_where_it_is_money(
    told: Any, cost: int, priced: str
) -> None:
    entry = one(model="m", input_tokens=1, output_tokens=1, cost=told)
    assert (entry.cost, entry.priced) == (cost, priced)


@pytest.mark.parametrize("status", ["HIT", "hit", "SEMANTIC HIT"])
def test_what_the_gateways_cache_answers_costs_nothing(status: str) -> None:
    entry = one(
        model="m", input_tokens=9, output_tokens=9, cached_tokens=3, cost=3, cache_status=status
    )
    assert (entry.tokens, entry.input_tokens, entry.cached_tokens) == (0, 0, None)
    assert (entry.cost, entry.priced) == (0, "free")
    asked = one(model="m", input_tokens=9, output_tokens=9, cache_status="MISS")
    assert asked.tokens == 18


@pytest.mark.parametrize(
    ("data", "priced"),
    [
        ({"error": "GatewayRateLimited", "status": 429}, "free"),
        ({"error": "GatewayUnauthorized", "status": 401}, "free"),
        ({"error": "GatewayUnreachable", "status": 502}, "free"),
        ({"error": "GatewayDeniedInput", "status": None}, "free"),
        ({"error": "GatewayDeniedOutput", "status": None}, "unmeasured"),
        ({"error": "UpstreamFailed", "status": 500}, "unmeasured"),
        ({"error": "GatewayTimeout", "status": 408}, "unmeasured"),
        # It had begun to answer.
        ({"error": "UpstreamFailed", "status": 400, "finish_reason": None}, "unmeasured"),
        ({"cancelled": True}, "unmeasured"),
        ({}, "unmeasured"),
    ],
)
def test_who_refused_took_nothing_and_of_who_broke_off_it_is_not_known(
    data: dict[str, Any], priced: str
) -> None:
    entry = one(model="m", **data)
    free = priced == "free"
    assert (entry.priced, entry.tokens, entry.cost) == (
        priced,
        *((0, 0) if free else (None, None)),
    )


def test_the_gateways_own_requests_are_a_row_without_figures() -> None:
    measured, own = booked(model="m", input_tokens=1, output_tokens=1, gateway_requests=3, run="r")
    assert (measured.estimated, measured.requests, measured.tokens) == (False, 1, 2)
    assert (own.estimated, own.requests, own.kind, own.run) == (True, 3, "gateway", "r")
    assert (own.tokens, own.input_tokens, own.cost) == (None, None, None)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"tokens": 40, "requests": 2}, ("ok", 40, 10_000_000, "list")),
        ({"tokens": 40, "failed": 1}, ("ok", 40, 10_000_000, "list")),
        ({"tokens": 40, "failed": 2}, ("failed", 40, 10_000_000, "list")),
        ({"tokens": 0, "kept": 2}, ("ok", 0, 0, "free")),
        ({"tokens": 0, "requests": 3, "failed": 2}, ("failed", 0, 0, "free")),
        # Answered, and nobody says what it took.
        ({"tokens": 0, "requests": 1, "failed": 1}, ("ok", None, None, "unmeasured")),
        ({"tokens": 40, "error": "CircuitOpen"}, ("failed", 40, 10_000_000, "list")),
        ({"tokens": 40, "model": "other"}, ("ok", 40, None, "unknown")),
    ],
)
def test_an_embedding(data: dict[str, Any], told: tuple[Any, ...]) -> None:
    [entry] = booked("embedding", **{"model": "e", "texts": 2, **data})
    assert (entry.status, entry.tokens, entry.cost, entry.priced) == told
    assert (entry.kind, entry.requests) == ("embedding", data.get("requests", 0))


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
)
NAMES = (
    *("model", "asked", "provider", "target", "option_index", "run", "error", "status"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost", "cache_status"),
    *("gateway_requests", "tokens", "requests", "texts", "failed", "cancelled", "finish_reason"),
    *("total_tokens", "kept"),
)


@given(
    st.sampled_from(["attempt", "embedding"]),
    st.dictionaries(st.sampled_from(NAMES), anything),
    st.dictionaries(st.text(max_size=9), st.text(max_size=9)) | anything,
)
def test_whatever_is_said_is_booked_and_adds_up(kind: str, data: dict[str, Any], tags: Any) -> None:
    ledger = Ledger(InMemoryDb(), prices=PRICES)
    ledger(Event(kind, "r", "s", "own", data={**data, "tags": tags}))
    found = rows(ledger)
    assert ledger.lost == 0
    assert [row["estimated"] for row in found][:1] == [False]
    for row in found:
        for name, value in row.items():
            if isinstance(value, str):
                assert len(value) <= LONGEST or name == "tags"
                assert "\x00" not in value
                assert value.encode("utf-8").decode() == value
            elif isinstance(value, int):
                assert 0 <= value < 2**63
        assert (row["cost"] is None) == (row["priced"] in ("unknown", "unmeasured"))


@given(st.text(max_size=600), st.text(max_size=600))
def test_texts_that_are_cut_stay_apart(one: str, other: str) -> None:
    # They may only be the same where what no database takes was put out of them.
    clean = [text.replace("\x00", "\ufffd").encode("utf-8", "replace") for text in (one, other)]
    assert (fitted(one) == fitted(other)) == (clean[0] == clean[1])


def test_tags_that_are_too_many_are_cut() -> None:
    tags = {f"tag {n}": "x" * 100 for n in range(100)}
    kept = json.loads(one(tags=tags).tags)
    assert 20 < len(kept) < 100
    assert kept.items() <= tags.items()


def test_a_day_is_that_of_utc() -> None:
    at = datetime(2026, 5, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert Entry(at=at, kind="attempt").day == "2026-05-02"
