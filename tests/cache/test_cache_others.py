"""What others have asked is never served, whoever teaches; nor is what must not be kept."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from agno.models.message import Message
from agno.run.base import RunStatus
from cached_agents import PARIS, Makes

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache
from agno_portkey.routing import Fallback, LoadBalance, Target
from agno_portkey.runs import TENANT_KEY
from agno_portkey.testing import EmbeddedProvider

CARD = "4111 1111 1111 1111"


# Others' answers


@pytest.mark.parametrize("scope", ["user", "tenant"])
@pytest.mark.parametrize(
    "tenants", [(1, 2), (uuid.UUID(int=1), uuid.UUID(int=2)), ("", ""), ([], 0)]
)
def test_a_tenant_that_is_no_name_shares_with_nobody(
    tenants: Any, scope: str, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    asks = agent({"scope": scope})
    for tenant in tenants:
        ended = asks.run("Hi", user_id="ann", metadata={TENANT_KEY: tenant})
        assert ended.status == RunStatus.completed
    assert len(portkey_provider.calls) == 2


def test_half_a_letter_is_no_letter(agent: Makes, portkey_provider: EmbeddedProvider) -> None:
    asks = agent({"scope": "user"})
    for user in ("\ud83d\ude00", "\U0001f600"):
        asks.run("Hi", user_id=user)
    assert len(portkey_provider.calls) == 2


def _headers(value: str) -> dict[str, Any]:
    return {"x-portkey-config": value}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"extra_headers": _headers("a")}, {"extra_headers": _headers("b")}),
        ({"default_headers": _headers("a")}, {"default_headers": _headers("b")}),
        (
            {"request_params": {"extra_headers": _headers("a")}},
            {"request_params": {"extra_headers": _headers("b")}},
        ),
        (
            {"config": Fallback(targets=[Target(provider="openai", model="a", api_key="k")])},
            {"config": Fallback(targets=[Target(provider="openai", model="b", api_key="k")])},
        ),
        ({"portkey_provider": "openai"}, {"portkey_provider": "groq"}),
    ],
    ids=["headers", "default headers", "headers of a request", "route", "provider"],
)
def test_models_that_go_elsewhere_share_nothing(
    one: dict[str, Any], other: dict[str, Any], agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    for options in (one, other, one, other):
        agent(None, **options).run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 2


def test_those_in_two_arms_of_an_experiment_share_nothing(
    agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    targets = [Target(provider="openai", model=name, name=name, api_key="k") for name in ("a", "b")]
    asks = agent(None, config=LoadBalance(targets=targets, sticky="user", experiment="ab"))
    users = [f"user {number}" for number in range(12)]
    for user in users:
        asks.run("Hi", user_id=user)
    # One call an arm: each has answers of its own.
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize(
    "answer", ["Ask Angela Jones about it, she knows.", "Send it to 12 Baker Street, London."]
)
def test_names_and_addresses_of_people_are_not_for_others_to_see(
    answer: str, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, answer)
    for scope, calls in (("user", 1), ("tenant", 3), ("public", 5)):
        for _ in range(2):
            agent({"scope": scope}).run("Whom?", user_id="ann", metadata={TENANT_KEY: "a"})
        assert len(portkey_provider.calls) == calls


def test_a_place_is_nobodys_data(agent: Makes, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, "Paris.")
    for _ in range(2):
        agent().run(PARIS[0])
    assert len(portkey_provider.calls) == 1


# What is vetoed, and who teaches


def test_what_something_speaks_against_is_never_served_whatever_was_learnt(
    agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, "OK.")
    asks = agent({"kind": "semantic", "max_error": 0.5, "sample": 0})
    for number in range(60):
        asks.run(f"What dose is right for a child of {number} years?")
    assert len(portkey_provider.calls) == 60


def test_no_tenant_teaches_another(agent: Makes, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, "OK.")
    asks = agent({"kind": "semantic", "max_error": 0.5, "sample": 0, "scope": "user"})

    def calls(tenant: str, user: str) -> int:
        before = len(portkey_provider.calls)
        for question in PARIS:
            asks.run(question, user_id=user, metadata={TENANT_KEY: tenant})
        return len(portkey_provider.calls) - before

    assert [calls("eve's", f"user {number}") for number in range(12)][-1] == 1
    assert calls("bob's", "bob") == 2


# What must not be kept


def _card_in_a_list() -> list[Message]:
    return [Message(role="user", content=[{"type": "text", "text": f"Is {CARD} mine?"}])]


def _card_in_a_tool_call() -> list[Message]:
    call = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": f'"{CARD}"'}}
    return [
        Message(role="user", content="Pay"),
        Message(role="assistant", tool_calls=[call]),
        Message(role="tool", tool_call_id="1", content="done"),
    ]


@pytest.mark.parametrize(
    "asked", [_card_in_a_list, _card_in_a_tool_call, lambda: f"Is {CARD} mine?"]
)
def test_personal_data_anywhere_in_what_was_asked_is_not_kept(
    asked: Callable[[], Any], agent: Makes, portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    # The answer says nothing of it.
    portkey_provider.when(lambda request: True, "Yes.")
    for _ in range(2):
        agent().run(asked())
    assert (len(portkey_provider.calls), cache.entries()) == (2, [])


@pytest.mark.parametrize(
    "options",
    [
        {"request_params": {"temperature": 1.9}},
        {"extra_body": {"temperature": "1.9"}},
        {"extra_body": {"temperature": "hot"}},
        {"config": Target(provider="openai", api_key="k", override_params={"temperature": 1.9})},
    ],
)
def test_a_high_temperature_is_found_wherever_it_is_set(
    options: dict[str, Any], agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    for _ in range(2):
        assert agent(None, **options).run("Hi").status == RunStatus.completed
    assert len(portkey_provider.calls) == 2


def _raises() -> str:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("policy", "options"),
    [({"knowledge": _raises}, {}), ({}, {"extra_body": {"weights": {1: 2, "1": 3}}})],
)
def test_what_no_key_can_be_made_of_is_asked(
    policy: dict[str, Any],
    options: dict[str, Any],
    agent: Makes,
    portkey_provider: EmbeddedProvider,
) -> None:
    for _ in range(2):
        assert agent(policy, **options).run("Hi").status == RunStatus.completed
    assert len(portkey_provider.calls) == 2


def test_a_cost_that_is_no_number_is_none(
    agent: Makes, monkeypatch: pytest.MonkeyPatch, portkey_provider: EmbeddedProvider
) -> None:
    from agno.metrics import MessageMetrics

    told = PortkeyModel._get_metrics

    def odd(self: Any, usage: Any) -> MessageMetrics:
        metrics = told(self, usage)
        metrics.cost = float("nan")
        return metrics

    monkeypatch.setattr(PortkeyModel, "_get_metrics", odd)
    for _ in range(2):
        assert agent().run("Hi").status == RunStatus.completed
    assert len(portkey_provider.calls) == 1
