"""A batch is booked once, at half the price, however often it is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from ledger_rows import rows, total

from agno_portkey.errors import BudgetExceeded
from agno_portkey.knowledge import BatchJob
from agno_portkey.model import PortkeyModel
from agno_portkey.telemetry.ledger import Budget, Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Usage

INPUTS = [f"question {number}" for number in range(4)]


@pytest.fixture
def model(ledger: Ledger, portkey_provider: EmbeddedProvider) -> PortkeyModel:
    portkey_provider.when(lambda request: True, Reply("Yes", usage=Usage(100, 10)))
    return PortkeyModel(base_url=portkey_provider.url, api_key="k", observers=[ledger])


def job(model: Any, tmp_path: Path) -> BatchJob:
    agent = Agent(name="Writer", model=model, telemetry=False)
    return BatchJob(agent, INPUTS, journal=tmp_path / "job.journal")


def test_a_batch_is_one_row_however_often_it_is_fetched(
    model: PortkeyModel, ledger: Ledger, tmp_path: Path
) -> None:
    one = job(model, tmp_path)
    one.submit()
    ledger.flush()
    for _ in range(3):
        assert one.fetch().tokens == 440
    # Another process fetches it as well, and has a ledger of its own.
    other = Ledger(ledger._store.place, timeout=30)
    model.observers = [other]
    job(model, tmp_path).fetch()
    other.flush()
    [row] = rows(ledger)
    assert (row["kind"], row["requests"], row["role"]) == ("batch", 4, "Writer")
    assert (row["input_tokens"], row["output_tokens"], row["tokens"]) == (400, 40, 440)
    # Half of 400 at 0.15 and 40 at 0.60 dollars for a million.
    assert (row["cost"], row["priced"]) == ((400 * 150 + 40 * 600) // 2, "list")


def test_what_is_asked_again_is_booked_by_itself(
    model: PortkeyModel, ledger: Ledger, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    portkey_provider.fault(Fault.status(500), text="question 2")
    one = job(model, tmp_path)
    one.submit()
    one.fetch(retry=True)
    [batch] = rows(ledger, kind="batch")
    [again] = rows(ledger, kind="attempt")
    assert (batch["tokens"], again["tokens"]) == (330, 110)
    assert total(rows(ledger), "tokens") == 440


def test_a_budget_keeps_a_batch_from_being_sent_and_no_answer_from_being_read(
    model: PortkeyModel, ledger: Ledger, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    one = job(model, tmp_path)
    one.submit()
    model.budgets = ledger.budgets(Budget(per="day", limit_tokens=0))
    # They are paid for.
    assert [output and output.content for output in one.fetch().outputs] == ["Yes"] * 4
    writer = Agent(name="Writer", model=model, telemetry=False)
    with pytest.raises(BudgetExceeded, match="the budget of day"):
        BatchJob(writer, ["x"], journal=tmp_path / "second").submit()
    assert len(portkey_provider.batches.held) == 1
