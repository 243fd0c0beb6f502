"""What a provider has left out is unknown, and not 0; what it says in its total is not lost."""

from __future__ import annotations

import decimal
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from four_forms import FORMS, ask, play
from hypothesis import example, given
from hypothesis import strategies as st
from ledger_rows import rows

from agno_portkey import govern
from agno_portkey.errors import BudgetExceeded, ConfigurationError
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.recovery.inside import requests_inside
from agno_portkey.telemetry.ledger import Budget, Ledger, Price, Prices, dollars
from agno_portkey.testing import EmbeddedProvider, Reply, Usage
from agno_portkey.verdict import Event

Models = Callable[..., PortkeyModel]


@dataclass(frozen=True)
class Said(Usage):
    """The usage as it stands in an answer, whatever it is."""

    said: Any = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        told: dict[str, object] = self.said
        return told


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, (None, None, None, "unmeasured")),
        ({}, (None, None, None, "unmeasured")),
        ({"prompt_tokens": None, "completion_tokens": None}, (None, None, None, "unmeasured")),
        (
            {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            (None, None, None, "unmeasured"),
        ),
        ({"prompt_tokens": 10}, (10, None, None, "unmeasured")),
        ({"completion_tokens": 7}, (None, 7, None, "unmeasured")),
        # Of which nobody knows which part was which.
        ({"total_tokens": 50}, (None, None, 50, "unknown")),
        ({"prompt_tokens": 10, "total_tokens": 50}, (10, None, 50, "unknown")),
        # An answer of no words, where the total says so.
        (
            {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10},
            (10, 0, 10, "list"),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 5, 15, "list")),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            (10, 5, 15, "list"),
        ),
        # Thoughts that some providers count in the total alone.
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40},
            (10, 5, 40, "list"),
        ),
    ],
)
def test_what_is_left_out_is_unknown(
    said: Any,
    told: tuple[Any, ...],
    form: str,
    booked: Models,
    ledger: Ledger,
    portkey_provider: EmbeddedProvider,
) -> None:
    portkey_provider.reply(Reply("Hello", usage=Said(said=said)))
    play(Agent(model=booked(), telemetry=False), form)
    [row] = rows(ledger)
    found = (row["input_tokens"], row["output_tokens"], row["tokens"], row["priced"])
    assert found == told
    assert (row["cost"] is None) == (row["priced"] != "list")


def test_thoughts_in_the_total_alone_cost_what_an_answer_does(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    ledger.prices = Prices({"gpt-4o-mini": Price(Decimal(1), Decimal(2))})
    said = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}
    portkey_provider.reply(Reply("Hello", usage=Said(said=said)))
    budgets = ledger.budgets(Budget(per="total", limit_tokens=40))
    ask(booked(budgets=budgets), "run")
    assert [row["cost"] for row in rows(ledger)] == [70_000_000]
    with pytest.raises(BudgetExceeded, match="40 of 40 tokens"):
        ask(booked(budgets=budgets), "run")


def test_embeddings_of_which_nobody_says_what_they_took(
    ledger: Ledger, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    embedder = PortkeyEmbedder(
        base_url=portkey_provider.url, api_key="k", dimensions=8, observers=[ledger, heard.append]
    )
    monkeypatch.setattr("agno_portkey.knowledge.embedding_request._tokens", lambda answer: 0)
    assert embedder.embed(["a text", "and another"]).require()
    [row] = rows(ledger)
    assert (row["tokens"], row["input_tokens"], row["cost"], row["priced"]) == (
        *(None, None, None),
        "unmeasured",
    )


# Money


@pytest.mark.parametrize("traps", [[], [decimal.Inexact, decimal.Rounded]])
def test_the_threads_own_arithmetic_changes_no_sum(traps: list[Any]) -> None:
    price = Price(Decimal("0.00015"), Decimal("0.0006"), Decimal("0.000075"))
    with decimal.localcontext(decimal.Context(prec=3, traps=traps)):
        assert price.cost(123_457, 98_765, 10_001) == 77_027_475
        assert price.cost(1, 0, 1) == 75
        assert dollars(1_234_567_891_234_567_891) == Decimal("1234567891.234567891")


# What is not in the database, or would be twice


@pytest.mark.parametrize("form", FORMS)
def test_two_ledgers_of_one_database_book_once_and_both_hold(
    form: str, tmp_path: Path, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply("Hello", usage=Usage(60, 40)))
    # What it has read counts for long.
    second = Ledger(str(tmp_path / "ledger.db"), timeout=30, max_age=50)
    agent = Agent(name="Writer", model=booked(), telemetry=False)
    govern(agent, ledger=second, budgets=[Budget(per="total", limit_tokens=250)])
    for _ in range(4):
        play(agent, form)
    assert len(portkey_provider.calls) == 3
    second.flush()
    assert [row["tokens"] for row in rows(ledger)] == [100, 100, 100]


def test_ledgers_in_memory_are_each_its_own(portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.reply(Reply("Hello", usage=Usage(60, 40)))
    both = [Ledger(InMemoryDb()) for _ in range(2)]
    model = PortkeyModel(
        base_url=portkey_provider.url, portkey_provider="openai", api_key="k", observers=both
    )
    ask(model, "run")
    assert [[row["tokens"] for row in rows(each)] for each in both] == [[100], [100]]


def test_who_makes_a_call_of_its_own_in_between_changes_nothing(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    other = booked()

    def asks(event: Event) -> None:
        if event.kind == "attempt":
            ask(other, "run")

    ask(booked(observers=[ledger, asks, ledger]), "run")
    assert len(rows(ledger)) == len(portkey_provider.calls) == 2


def test_a_cost_center_that_no_tag_can_be_is_refused() -> None:
    assert Budget(per="day", limit_usd=1, cost_center="x" * 128).cost_center == "x" * 128
    with pytest.raises(ConfigurationError, match="at most 128 characters"):
        Budget(per="day", limit_usd=1, cost_center="x" * 129)


def test_a_cost_center_is_found_by_what_is_kept_of_it(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    center = "a\x00b\ud800"
    budgets = ledger.budgets(Budget(per="total", limit_tokens=0, cost_center=center))
    with pytest.raises(BudgetExceeded):
        ask(booked(tags={"cost_center": center}, budgets=budgets), "run")
    assert not portkey_provider.calls


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["fallback", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["strategy", "mode", "targets", "retry", "attempts", "is_open"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["targets[1]", "targets[0].targets[2]", "targets[9999]"]),
    st.none() | st.integers(-1, 9),
)
@example({"strategy": "fallback", "targets": [{}, {}]}, "targets[1]", None)
@example({"strategy": {"mode": "fallback"}, "targets": ["x"]}, "targets[1]", None)
@example({"strategy": {"mode": "fallback"}}, "targets[1]", None)
def test_a_config_that_is_none_breaks_no_call(
    config: Any, option: str, retries: int | None
) -> None:
    answered = {"option_index": option, "retry_attempt_count": retries}
    assert requests_inside(json.dumps(config), answered) >= max(0, retries or 0)


def test_a_row_that_the_table_does_not_take_is_lost_and_said_to_be(
    tmp_path: Path, booked: Models, ledger: Ledger
) -> None:
    model = booked(budgets=ledger.budgets(Budget(per="total", limit_tokens=10**6)))
    ask(model, "run")
    ledger.flush()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        # As a rule that was put on the table does.
        file.execute(
            "CREATE TRIGGER rule BEFORE INSERT ON agno_portkey_ledger "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    ask(model, "run")
    ledger.flush()
    assert ledger.lost == 1
    with pytest.raises(BudgetExceeded, match="1 rows of the ledger were lost"):
        ask(model, "run")
