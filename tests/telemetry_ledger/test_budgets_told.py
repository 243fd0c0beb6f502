"""Databases that can't tell what was spent let nothing through; several spend of one budget."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from budgeted import A_CENT_EACH
from four_forms import FORMS, ask
from ledger_rows import rows

from agno_portkey.errors import BudgetExceeded
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.telemetry.ledger import Budget, Ledger, Total
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event

Models = Callable[..., PortkeyModel]

pytestmark = pytest.mark.usefixtures("a_dollar_each")


@pytest.fixture
def ledger(dear: Ledger) -> Ledger:
    return dear


# Databases that can't tell


class Told:
    """A store of a database that misbehaves: `told` gives its sums."""

    place = "the store"

    def __init__(self, told: Callable[[], Any]) -> None:
        self.told = told
        self.kept: list[Any] = []

    def put(self, given: Any) -> list[Any]:
        self.kept += given
        return []

    def total(self, same: Any, *, writer: str, after: int) -> Total:
        return self.told()


def _over(ledger: Ledger, store: Any) -> None:
    ledger._store = ledger._writer._store = store


def _raises() -> Any:
    raise sqlite3.OperationalError("disk on fire")


@pytest.mark.parametrize("form", FORMS)
def test_a_database_that_raises_lets_nothing_through(
    form: str, ledger: Ledger, limited: Models, portkey_provider: EmbeddedProvider
) -> None:
    _over(ledger, Told(_raises))
    model = limited(per="day", limit_usd=5)
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match="the ledger can't be read: OperationalError"):
            ask(model, form)
    assert not portkey_provider.calls


@pytest.mark.parametrize("form", FORMS)
def test_a_database_that_hangs_lets_nothing_through(
    form: str, tmp_path: Path, booked: Models, portkey_provider: EmbeddedProvider
) -> None:
    ledger = Ledger(InMemoryDb(), prices=A_CENT_EACH, timeout=0.1, max_age=50)
    opened = threading.Event()
    _over(ledger, Told(lambda: opened.wait(60) and Total()))
    model = booked(observers=[ledger], budgets=ledger.budgets(Budget(per="day", limit_usd=5)))
    with pytest.raises(BudgetExceeded, match="does not answer"):
        ask(model, form)
    threads = threading.active_count()
    # Nobody else waits for it, for a while.
    for _ in range(3):
        with pytest.raises(BudgetExceeded, match="does not answer"):
            ask(model, form)
    assert threading.active_count() <= threads
    assert not portkey_provider.calls
    opened.set()


def test_in_observe_a_database_that_raises_holds_up_nobody(ledger: Ledger, booked: Models) -> None:
    heard: list[Event] = []
    _over(ledger, Told(_raises))
    budgets = ledger.budgets(Budget(per="day", limit_usd=5, mode="observe"))
    ask(booked(budgets=budgets, observers=[ledger, heard.append]), "run")
    [told] = [event for event in heard if event.kind == "budget"]
    assert told.verdict is not None
    assert "nobody can say what was spent" in told.verdict.reason


def test_sums_that_shrink_do_not_count(
    ledger: Ledger, limited: Models, portkey_provider: EmbeddedProvider
) -> None:
    ledger._max_age = 1e-9
    model = limited(per="total", limit_tokens=150)
    ask(model, "run")
    # A replica that lags, or a backup: it knows of nothing.
    _over(ledger, Told(Total))
    ask(model, "run")
    with pytest.raises(BudgetExceeded, match="200 of 150 tokens"):
        ask(model, "run")


@pytest.mark.parametrize("spoilt", ["DROP TABLE agno_portkey_ledger", None])
def test_a_table_that_was_taken_away_is_no_new_budget(
    spoilt: str | None, tmp_path: Path, ledger: Ledger, limited: Models
) -> None:
    ledger._max_age = 1e-9
    model = limited(per="total", limit_tokens=1000)
    ask(model, "run")
    ledger.flush()
    if spoilt is None:
        (tmp_path / "ledger.db").unlink()
    else:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
            file.execute(spoilt)
    with pytest.raises(BudgetExceeded, match="was there and is gone"):
        ask(model, "run")


def test_a_row_that_was_spoilt_closes_it(tmp_path: Path, ledger: Ledger, limited: Models) -> None:
    ledger._max_age = 1e-9
    model = limited(per="total", limit_usd=1000)
    ask(model, "run")
    ledger.flush()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        file.execute("UPDATE agno_portkey_ledger SET cost = -5000000000")
        file.commit()
    with pytest.raises(BudgetExceeded, match="can't be read"):
        ask(model, "run")


def test_rows_that_were_lost_close_it(ledger: Ledger, limited: Models) -> None:
    model = limited(per="total", limit_usd=1000)
    ask(model, "run")
    ledger._writer.lost += 1
    with pytest.raises(BudgetExceeded, match="1 rows of the ledger were lost"):
        ask(model, "run")


# Several at once


def test_two_processes_share_a_budget(
    database: str, booked: Models, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    here = Ledger(database, prices=A_CENT_EACH, timeout=30)
    script = """
import sys
from decimal import Decimal
from agno.models.message import Message
from agno_portkey import PortkeyModel
from agno_portkey.telemetry.ledger import Budget, Ledger, Price, Prices
database, gateway, provider = sys.argv[1:]
prices = Prices({"gpt-4o-mini": Price(Decimal(10), Decimal(10))})
ledger = Ledger(database, prices=prices, timeout=30)
model = PortkeyModel(base_url=gateway, portkey_provider="openai", api_key="k",
    custom_host=provider, observers=[ledger],
    budgets=ledger.budgets(Budget(per="day", limit_usd="2.5")))
for _ in range(2):
    model.response(messages=[Message(role="user", content="Hi")])
"""
    arguments = [database, portkey_gateway.url, portkey_provider.url]
    # It ends at once: what it has spent is written before.
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, env={**os.environ})
    model = booked(observers=[here], budgets=here.budgets(Budget(per="day", limit_usd="2.5")))
    ask(model, "run")
    with pytest.raises(BudgetExceeded, match=r"3\.000000000 of 2\.5 USD"):
        ask(model, "run")
    assert len(rows(here)) == 3
    assert len({row["writer"] for row in rows(here)}) == 2


def test_of_many_at_once_only_those_under_way_go_over(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    most = 4
    model = booked(budgets=ledger.budgets(Budget(per="day", limit_tokens=500)))

    def asked(_: int) -> bool:
        try:
            ask(model, "run")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(most) as threads:
        sent = sum(threads.map(asked, range(30)))
    # It was crossed with five; three more can have been under way.
    assert 5 <= sent <= 5 + most - 1
    assert len(portkey_provider.calls) == sent
    assert sum(row["tokens"] for row in rows(ledger)) == 100 * sent
