"""What would go over a budget is not sent, in whatever form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from agno.team import Team
from four_forms import FORMS, ask, play
from ledger_rows import rows

from agno_portkey import govern
from agno_portkey.errors import BudgetExceeded, ConfigurationError
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Fallback, Target
from agno_portkey.telemetry.ledger import Budget, Ledger
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall, Usage
from agno_portkey.verdict import Event

Models = Callable[..., PortkeyModel]

pytestmark = pytest.mark.usefixtures("a_dollar_each")


@pytest.fixture
def ledger(dear: Ledger) -> Ledger:
    return dear


# Before a call is sent


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [{"limit_usd": "1.50"}, {"limit_tokens": 150}])
def test_the_call_that_crosses_the_line_is_the_last(
    limit: dict[str, Any], form: str, limited: Models, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(model=limited(per="day", **limit), telemetry=False)
    ended = [play(agent, form) for _ in range(4)]
    assert [each.status for each in ended] == [
        *(RunStatus.completed,) * 2,
        *(RunStatus.error,) * 2,
    ]
    assert len(portkey_provider.calls) == 2
    spent = "2.000000000 of 1.50 USD" if "limit_usd" in limit else "200 of 150 tokens"
    assert f"{spent} are spent" in str(ended[-1].content)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_a_typed_error_that_carries_its_verdict(form: str, limited: Models) -> None:
    model = limited(per="total", limit_tokens=100)
    ask(model, form)
    with pytest.raises(BudgetExceeded, match="100 of 100 tokens") as refused:
        ask(model, form)
    assert (refused.value.verdict.source, refused.value.verdict.passed) == ("budget", False)


def test_nothing_may_be_spent_where_the_limit_is_nothing(
    limited: Models, portkey_provider: EmbeddedProvider
) -> None:
    with pytest.raises(BudgetExceeded):
        ask(limited(per="day", limit_usd=0), "run")
    assert not portkey_provider.calls


@pytest.mark.parametrize("form", FORMS)
def test_each_request_of_a_call_asks_for_itself(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    # The first target is asked, and paid for: its answer is refused.
    portkey_provider.reset()
    portkey_provider.reply(Reply("", usage=Usage(60, 40), finish_reason="error"))
    route = Fallback(
        targets=[
            Target(model="gpt-4o-mini", provider="openai", api_key="k", custom_host=each)
            for each in (portkey_provider.url, portkey_provider.url + "/")
        ]
    )
    model = booked(config=route, budgets=ledger.budgets(Budget(per="day", limit_tokens=50)))
    with pytest.raises(BudgetExceeded):
        ask(model, form)
    assert len(portkey_provider.calls) == 1
    assert [(row["status"], row["tokens"]) for row in rows(ledger)] == [("failed", 100)]


@pytest.mark.parametrize("form", ["sync", "async"])
def test_embeddings_ask_too(form: str, ledger: Ledger, portkey_provider: EmbeddedProvider) -> None:
    embedder = PortkeyEmbedder(
        base_url=portkey_provider.url,
        api_key="k",
        dimensions=8,
        observers=[ledger],
        budgets=ledger.budgets(Budget(per="day", limit_tokens=5)),
    )
    texts = ["what takes just five"]

    def embed() -> Any:
        return embedder.embed(texts) if form == "sync" else asyncio.run(embedder.aembed(texts))

    assert embed().require()
    with pytest.raises(BudgetExceeded):
        embed()
    assert len(portkey_provider.requests) == 1


# What a budget is for


def test_each_run_has_its_own(limited: Models, portkey_provider: EmbeddedProvider) -> None:
    agent = Agent(model=limited(per="run", limit_tokens=100), telemetry=False)
    assert [agent.run("Hi").status for _ in range(3)] == [RunStatus.completed] * 3


@pytest.mark.parametrize("form", ["run", "arun", "stream"])
def test_members_spend_the_budget_of_their_teams_run(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    call = ToolCall("delegate_task_to_member", {"member_id": "worker", "task": "Go"})
    asks = Reply(tool_calls=[call], usage=Usage(60, 40))
    portkey_provider.when(lambda request: bool(request.tools), asks)
    worker = Agent(name="Worker", id="worker", model=booked(observers=[]))
    team = Team(name="Release", members=[worker], model=booked(observers=[]))
    govern(team, ledger=ledger, budgets=[Budget(per="run", limit_tokens=250)])
    if form == "stream":
        [*_] = team.run("Go", stream=True)
    elif form == "arun":
        asyncio.run(team.arun("Go"))
    else:
        team.run("Go")
    # Leader, member, leader: the member is not asked again, and so is nobody.
    assert [row["role"] for row in rows(ledger)] == ["Release", "Worker", "Release"]
    assert len(portkey_provider.calls) == 3


def test_a_cost_center_is_limited_by_itself(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    budgets = ledger.budgets(Budget(per="total", limit_tokens=100, cost_center="a"))
    models = [booked(tags={"cost_center": name}, budgets=budgets) for name in ("a", "b")]
    for model in (*models, models[1]):
        ask(model, "run")
    with pytest.raises(BudgetExceeded, match="cost center a"):
        ask(models[0], "run")
    assert len(portkey_provider.calls) == 3


def test_every_cost_center_can_have_its_own(booked: Models, ledger: Ledger) -> None:
    budgets = ledger.budgets(Budget(per="total", limit_tokens=100, cost_center="*"))
    for tags in ({"cost_center": "a"}, {"cost_center": "b"}, {}):
        model = booked(tags=tags, budgets=budgets)
        ask(model, "run")
        # What has no cost center is under none, and does not get off so.
        with pytest.raises(BudgetExceeded):
            ask(model, "run")


def test_a_day_ends_at_midnight_in_utc(ledger: Ledger, limited: Models) -> None:
    now = [datetime(2026, 5, 1, 23, 59, 59, tzinfo=UTC)]
    ledger._clock = lambda: now[0]
    model = limited(per="day", limit_tokens=100)
    ask(model, "run")
    with pytest.raises(BudgetExceeded, match="day 2026-05-01"):
        ask(model, "run")
    now[0] += timedelta(seconds=1)
    ask(model, "run")
    now[0] = now[0].astimezone(timezone(timedelta(hours=-5)))
    with pytest.raises(BudgetExceeded, match="day 2026-05-02"):
        ask(model, "run")


# Modes


def test_observe_tells_and_lets_through(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    budgets = ledger.budgets(Budget(per="day", limit_usd=1, mode="observe", cost_center="*"))
    tags = {"cost_center": "cc"}
    model = booked(budgets=budgets, observers=[ledger, heard.append], tags=tags)
    agent = Agent(name="Writer", model=model, telemetry=False)
    for _ in range(3):
        assert agent.run("Hi").status is RunStatus.completed
    told = [event for event in heard if event.kind == "budget"]
    assert [(each.data["cost"], each.data["tokens"]) for each in told] == [
        ("1.000000000", 100),
        ("2.000000000", 200),
    ]
    first = told[0]
    assert first.verdict is not None
    assert (first.role, first.data["mode"], first.data["cost_center"]) == (
        "Writer",
        "observe",
        "cc",
    )
    assert not first.verdict.passed


@pytest.mark.parametrize(("said", "sent"), [("off", 3), ("observe", 3), ("nonsense", 1)])
def test_a_variable_rolls_it_back(
    said: str,
    sent: int,
    limited: Models,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_BUDGETS_MODE", said)
    agent = Agent(model=limited(per="day", limit_tokens=1), telemetry=False)
    for _ in range(3):
        agent.run("Hi")
    assert len(portkey_provider.calls) == sent


# Prices that nobody knows


def test_dollars_are_not_counted_without_a_price(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    budgets = ledger.budgets(Budget(per="day", limit_usd=5))
    with pytest.raises(BudgetExceeded, match="no price is known of new-model: give its price"):
        ask(booked(id="new-model", budgets=budgets), "run")
    assert not portkey_provider.calls
    tokens = ledger.budgets(Budget(per="day", limit_tokens=150))
    ask(booked(id="new-model", budgets=tokens), "run")
    free = ledger.budgets(Budget(per="day", limit_usd=5, unpriced="allow"))
    ask(booked(id="new-model", budgets=free), "run")
    # One whose price is known is refused as well: what the others cost is not.
    with pytest.raises(BudgetExceeded, match="2 requests have no known price"):
        ask(booked(budgets=budgets), "run")


def test_each_target_of_a_route_needs_a_price(booked: Models, ledger: Ledger) -> None:
    targets = [
        Target(model=name, provider="openai", api_key="k") for name in ("gpt-4o-mini", "other")
    ]
    model = booked(
        config=Fallback(targets=targets), budgets=ledger.budgets(Budget(per="day", limit_usd=5))
    )
    with pytest.raises(BudgetExceeded, match="no price is known of other:"):
        ask(model, "run")


def test_what_the_provider_says_it_cost_wins(
    limited: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reset()

    class Priced(Usage):
        def as_dict(self) -> dict[str, object]:
            return {**Usage(60, 40).as_dict(), "cost": 0.1}

    for _ in range(3):
        portkey_provider.reply(Reply("Hello", usage=Priced(60, 40)))
    model = limited(per="day", limit_usd="0.3")
    for _ in range(3):
        ask(model, "run")
    # Three tenths, exactly: as floats they would be more.
    assert [(row["cost"], row["priced"]) for row in rows(ledger)] == [(100_000_000, "provider")] * 3
    with pytest.raises(BudgetExceeded, match=r"0\.300000000 of 0\.3 USD"):
        ask(model, "run")


# Given wrongly


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"per": "week", "limit_usd": 1}, "Budget.per: one of run, day, total"),
        ({"per": "day"}, "limit_usd, limit_tokens, or both"),
        ({"per": "day", "limit_usd": -1}, "Budget.limit_usd: dollars"),
        ({"per": "day", "limit_usd": float("nan")}, "Budget.limit_usd: dollars"),
        ({"per": "day", "limit_usd": True}, "Budget.limit_usd: dollars"),
        ({"per": "day", "limit_usd": "five"}, "Budget.limit_usd: dollars"),
        ({"per": "day", "limit_tokens": 1.5}, "Budget.limit_tokens: a whole number"),
        ({"per": "day", "limit_tokens": -1}, "Budget.limit_tokens: a whole number"),
        ({"per": "day", "limit_tokens": 1, "cost_center": " "}, "Budget.cost_center"),
        ({"per": "day", "limit_tokens": 1, "mode": "on"}, "Budget.mode: one of"),
        ({"per": "day", "limit_tokens": 1, "unpriced": "yes"}, "Budget.unpriced: refuse or allow"),
    ],
)
def test_a_budget_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Budget(**given)


def test_budgets_need_their_ledger(ledger: Ledger, booked: Models) -> None:
    budget = Budget(per="day", limit_tokens=1)
    with pytest.raises(ConfigurationError, match="observers: the ledger of the budgets"):
        booked(observers=[], budgets=ledger.budgets(budget))
    with pytest.raises(ConfigurationError, match=r"budgets: a list of what Ledger\.budgets"):
        booked(budgets=[budget])
    with pytest.raises(ConfigurationError, match="budgets: they need a ledger"):
        govern(Agent(model=booked()), budgets=[budget])
    with pytest.raises(ConfigurationError, match="ledger: a Ledger, not str"):
        govern(Agent(model=booked()), ledger="ledger.db")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="budgets: a Budget, not dict"):
        govern(Agent(model=booked()), ledger=ledger, budgets=[{}])  # type: ignore[list-item]
