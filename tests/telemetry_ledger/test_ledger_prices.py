"""Prices are exact, found by the names that providers give, and never nothing where unknown."""

from __future__ import annotations

import json
import logging
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.ledger import Price, Prices, dollars

SHIPPED = Path(__file__).parents[2] / "agno_portkey" / "telemetry" / "prices.json"
FIGURES = st.decimals(0, 1, places=9)
COUNTS = st.integers(0, 10**9)


def test_the_shipped_list_is_dated_and_in_the_form_of_openlit() -> None:
    held = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert date.fromisoformat(held["date"]) <= date(2026, 12, 31)
    assert Prices.shipped().date == held["date"]
    assert len(held["chat"]) >= 25
    for each in held["chat"].values():
        assert 0 < each["promptPrice"] <= each["completionPrice"] < 1
        assert each.get("cacheReadPrice", 0) < each["promptPrice"]
    assert all(0 < each < 0.001 for each in held["embeddings"].values())


@pytest.mark.parametrize(
    ("name", "million"),
    [
        ("gpt-4o-mini", "0.15"),
        ("GPT-4o-mini", "0.15"),
        ("openai/gpt-4o-mini", "0.15"),
        ("@my-slug/openai/gpt-4o-mini", "0.15"),
        ("gpt-4o-mini-2024-07-18", "0.15"),
        ("gpt-4o-2024-05-13", "5"),
        ("gpt-4o-2024-11-20", "2.5"),
        ("claude-3-5-sonnet-20241022", "3"),
        ("claude-3-5-sonnet-latest", "3"),
        ("claude-3-5-sonnet@20241022", "3"),
        ("models/gemini-2.0-flash", "0.1"),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88"),
    ],
)
def test_a_model_is_found_by_what_providers_call_it(name: str, million: str) -> None:
    price = Prices.shipped().of(name)
    assert price is not None
    assert dollars(price.cost(1_000_000)) == Decimal(million)


@pytest.mark.parametrize(
    "name", ["gpt-4o-min", "gpt-4o-mini-audio", "4o-mini", "gpt-4o-mini:free", "", "/", "gpt-4o-99"]
)
def test_a_name_that_is_only_alike_has_no_price(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    prices = Prices({"gpt-4o-mini": Price(Decimal(1)), "gpt-4o": Price(Decimal(1))}, date="x")
    assert prices.of(name) is None
    assert prices.knows(name) is False
    assert prices.of(name, name) is None
    said = [record.getMessage() for record in caplog.records]
    # Once, however often it is asked for.
    assert len(said) == 1
    assert said[0].startswith(f"no price is known of {name or 'a model without a name'} (list of x")


def test_the_second_name_counts_where_the_first_has_none(caplog: pytest.LogCaptureFixture) -> None:
    prices = Prices({"asked": Price(Decimal(1))})
    assert prices.of(None, "answered", "asked") == Price(Decimal(1))
    assert not caplog.records


def test_an_embedding_has_prices_of_its_own() -> None:
    prices = Prices.shipped()
    found = prices.of("openai/text-embedding-3-small", embedding=True)
    assert found is not None
    assert dollars(found.cost(1_000_000)) == Decimal("0.02")
    assert prices.knows("text-embedding-3-small")
    logging.disable(logging.CRITICAL)
    try:
        assert prices.of("text-embedding-3-small") is None
        assert prices.of("gpt-4o", embedding=True) is None
    finally:
        logging.disable(logging.NOTSET)


@given(FIGURES, FIGURES, st.none() | FIGURES, COUNTS, COUNTS, COUNTS)
def test_a_cost_is_exact_to_half_a_billionth(
    prompt: Decimal, completion: Decimal, cached: Decimal | None, one: int, two: int, three: int
) -> None:
    cost = Price(prompt, completion, cached).cost(one, two, three)
    part = min(one, three) if cached is not None else 0
    exact = (one - part) * Fraction(prompt) + two * Fraction(completion)
    exact = (exact + part * Fraction(cached or 0)) / 1000 * 10**9
    assert abs(cost - exact) <= Fraction(1, 2)
    assert dollars(cost) * 10**9 == cost


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("no JSON", "can't be read"),
        ([], "has no"),
        ({"chat": []}, "has no"),
        ({"chat": {"m": {"promptPrice": 1}}}, "chat.m needs a promptPrice and a completionPrice"),
        ({"chat": {"m": 3}}, "chat.m needs"),
        ({"chat": {"m": {"promptPrice": "1", "completionPrice": 1}}}, "chat.m.promptPrice"),
        ({"chat": {"m": {"promptPrice": -1, "completionPrice": 1}}}, "chat.m.promptPrice"),
        ({"chat": {"m": {"promptPrice": 1, "completionPrice": True}}}, "chat.m.completionPrice"),
        ({"chat": {"m": {"promptPrice": float("nan"), "completionPrice": 1}}}, "promptPrice"),
        ({"chat": {"m": {"promptPrice": 2500, "completionPrice": 1}}}, "for 1,000 tokens"),
        (
            {"chat": {"m": {"promptPrice": 1, "completionPrice": 1, "cacheReadPrice": "x"}}},
            "chat.m.cacheReadPrice",
        ),
        ({"chat": {}, "embeddings": 3}, "embeddings in"),
        ({"chat": {}, "embeddings": {"e": None}}, "embeddings.e"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_what_is_wrong(
    held: Any, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    file.write_text(held if isinstance(held, str) else json.dumps(held), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        Prices.from_file(file)
    with pytest.raises(ConfigurationError, match="can't be read"):
        Prices.from_file(tmp_path / "none.json")
