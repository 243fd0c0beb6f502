"""Which models and providers an agent may ask: wherever its calls can come to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agno.agent import Agent
from agno.memory import MemoryManager
from agno.run.base import RunStatus
from agno.team import Team
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey import Event, Policy, PortkeyModel, Repair, govern
from agno_portkey.errors import ConfigurationError, ModelNotAllowed
from agno_portkey.routing.config.presets import openai
from agno_portkey.routing.config.routes import Fallback, LoadBalance, Target
from agno_portkey.routing.limits import LimitTable, ModelLimit, Reached, reached_by
from agno_portkey.testing import EmbeddedProvider

ONLY_MINI = {"agents": {"Desk": ["gpt-4o-mini"]}}


def asks(provider: EmbeddedProvider, **options: Any) -> PortkeyModel:
    given = {"portkey_provider": "openai", "api_key": "k", **options}
    return PortkeyModel(base_url=provider.url, **given)


def hosted(**options: Any) -> PortkeyModel:
    options = {"portkey_api_key": "pk", "base_url": "https://api.portkey.ai/v1", **options}
    return PortkeyModel(**options)


def desk(model: PortkeyModel, models: Any, **options: Any) -> Agent:
    return govern(Agent(name="Desk", model=model, **options), policy=Policy(models=models))


# When a team is governed


@pytest.mark.parametrize(
    ("models", "good"),
    [
        ({"everyone": ["gpt-4o*"]}, True),
        ({"everyone": ["gpt-4o"]}, False),
        ({"everyone": ["GPT-4O*"]}, False),
        ({"everyone": []}, False),
        ({"everyone": {"providers": ["openai"]}}, True),
        ({"everyone": {"providers": ["open"]}}, False),
        ({"everyone": {"configs": ["pc-*"]}}, True),
        ({"roles": {"member": ["gpt-4o-mini"]}}, True),
        ({"roles": {"member": ["o3"]}}, False),
        ({"roles": {"judge": ["o3"]}}, True),
        ({"agents": {"Desk": ["o3"]}}, False),
        # Each one that is for it has to let it through.
        ({"everyone": ["gpt-4o-mini"], "agents": {"Desk": ["o3"]}}, False),
        ({"everyone": ["o3"], "agents": {"Desk": ["gpt-4o-mini"]}}, False),
        ({"everyone": ["o3"], "mode": "observe"}, True),
        ({"everyone": ["o3"], "mode": "off"}, True),
    ],
)
def test_what_may_not_be_asked_is_refused_before_anything_runs(
    portkey_provider: EmbeddedProvider, models: Any, good: bool
) -> None:
    model = asks(portkey_provider)
    if good:
        desk(model, models)
        return
    with pytest.raises(ConfigurationError, match=r"Desk\.model: Desk may not ask gpt-4o-mini of"):
        desk(model, models)


def test_it_says_where_the_policy_has_it(portkey_provider: EmbeddedProvider) -> None:
    policy = Policy.from_yaml("models:\n  agents:\n    Desk: [o3]\n")
    with pytest.raises(ConfigurationError, match=r"policy\.models\.agents\.Desk allows models o3"):
        govern(Agent(name="Desk", model=asks(portkey_provider)), policy=policy)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {agents: {Dsk: [o3]}}", "nobody is called 'Dsk'"),
        ("models: {roles: {boss: [o3]}}", "one of leader, planner"),
        ("models: {agents: {Desk: {}}}", "it limits nothing"),
        ("models: {agents: {Desk: {model: [o3]}}}", "it takes models, providers, configs"),
        ("models: {everyone: {models: o3}}", "a list is due here"),
        ("models: {mode: sometimes}", "off, observe or enforce"),
    ],
)
def test_a_limit_that_would_hold_nothing_is_refused(
    portkey_provider: EmbeddedProvider, text: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        govern(Agent(name="Desk", model=asks(portkey_provider)), policy=Policy.from_yaml(text))


def test_a_policy_with_limits_is_written_and_read_again() -> None:
    said = {
        "everyone": {"providers": ["openai", "@team"]},
        "roles": {"judge": {"models": ["gpt-4o*"]}},
        "agents": {"Desk": {"configs": ["pc-desk-*"]}},
        "mode": "observe",
    }
    policy = Policy(models=said)
    assert Policy.from_yaml(policy.to_yaml()).models == policy.models


ROUTE = Fallback(
    targets=[
        openai("gpt-4o-mini", name="first", api_key="k"),
        LoadBalance(
            experiment="arms",
            targets=[
                openai("gpt-4o-mini", name="a", api_key="k"),
                Target(provider="groq", model="llama", name="b", weight=0.5, api_key="k"),
            ],
        ),
        openai("o3", name="stronger", api_key="k"),
    ]
)


@pytest.mark.parametrize(
    ("limit", "good"),
    [
        ({"models": ["gpt-4o-mini", "llama", "o3"]}, True),
        ({"models": ["gpt-4o-mini", "llama"]}, False),
        ({"models": ["gpt-4o-mini", "o3"]}, False),
        ({"providers": ["openai"]}, False),
        ({"providers": ["openai", "groq"]}, True),
    ],
)
def test_every_target_of_a_route_counts(
    portkey_provider: EmbeddedProvider, limit: Any, good: bool
) -> None:
    model = asks(portkey_provider, config=ROUTE, portkey_provider=None, api_key=None)
    if good:
        desk(model, {"everyone": limit})
        return
    with pytest.raises(ConfigurationError, match="may not ask"):
        desk(model, {"everyone": limit})


def test_what_a_repair_may_ask_counts(portkey_provider: EmbeddedProvider) -> None:
    model = asks(portkey_provider, repair=Repair(stronger="o3"))
    with pytest.raises(ConfigurationError, match="may not ask o3 of openai"):
        desk(model, ONLY_MINI)


def test_models_that_help_and_fall_back_count(portkey_provider: EmbeddedProvider) -> None:
    o3 = asks(portkey_provider, id="o3")
    for options in (
        {"parser_model": o3},
        {"memory_manager": MemoryManager(model=o3)},
        {"fallback_models": [o3]},
    ):
        with pytest.raises(ConfigurationError, match="may not ask o3"):
            desk(asks(portkey_provider), ONLY_MINI, **options)


def test_each_member_has_limits_of_its_own(portkey_provider: EmbeddedProvider) -> None:
    def team(lead: str) -> Team:
        desk = Agent(name="Desk", model=asks(portkey_provider))
        return Team(name="Lead", members=[desk], model=asks(portkey_provider, id=lead))

    govern(team("o3"), policy=Policy(models=ONLY_MINI))
    with pytest.raises(ConfigurationError, match=r"Lead\.model: Lead may not ask o3"):
        govern(team("o3"), policy=Policy(models={"roles": {"leader": ["gpt-4o*"]}}))


# Hosted Portkey


@pytest.mark.parametrize(
    ("options", "limit", "good"),
    [
        ({"config": "pc-desk-1"}, {"models": ["*"]}, False),
        ({"config": "pc-desk-1"}, {"models": ["*"], "configs": ["pc-desk-*"]}, True),
        ({"config": "pc-desk-1"}, {"providers": ["*"], "configs": ["pc-other"]}, False),
        ({"id": "@team/gpt-4o"}, {"models": ["gpt-4o"], "providers": ["@team"]}, True),
        ({"id": "@team/gpt-4o"}, {"providers": ["@other"]}, False),
        ({"id": "@team/gpt-4o"}, {"models": ["@team/*"]}, False),
        ({"portkey_provider": "@team"}, {"providers": ["@team"]}, True),
        ({"virtual_key": "vk-team"}, {"providers": ["vk-team"]}, True),
        ({"virtual_key": "vk-team"}, {"providers": ["openai"]}, False),
        ({"portkey_provider": "openai", "virtual_key": "vk"}, {"providers": ["openai"]}, False),
        ({}, {"providers": ["*"]}, False),
        ({}, {"models": ["gpt-4o-mini"]}, True),
    ],
)
def test_slugs_virtual_keys_and_hosted_configs(options: Any, limit: Any, good: bool) -> None:
    table = LimitTable(everyone=ModelLimit(**{name: tuple(held) for name, held in limit.items()}))
    limits = table.of("member", "Desk", None)
    assert limits is not None
    assert (limits.refusal(reached_by(hosted(**options))) is None) is good


def test_names_of_a_provider_that_begin_like_slugs(portkey_provider: EmbeddedProvider) -> None:
    model = asks(portkey_provider, id="@cf/meta/llama", portkey_provider="workers-ai")
    assert reached_by(model) == [Reached("@cf/meta/llama", ("workers-ai",))]


# When a call is made


def refused(agent: Agent, provider: EmbeddedProvider) -> str:
    before = len(provider.requests)
    output = agent.run("Hi")
    assert output.status == RunStatus.error
    assert len(provider.requests) == before
    return str(output.content)


def test_what_was_changed_since_is_refused_unsent(portkey_provider: EmbeddedProvider) -> None:
    heard: list[Event] = []
    model = asks(portkey_provider, observers=[heard.append])
    agent = desk(model, ONLY_MINI)
    assert agent.run("Hi").status == RunStatus.completed
    bound: Any = agent.model
    bound.id = "o3"
    assert refused(agent, portkey_provider).startswith("Desk may not ask o3 of openai")
    bound.id, bound.portkey_provider = "gpt-4o-mini", "openai"
    assert agent.run("Hi").status == RunStatus.completed


@pytest.mark.parametrize(
    "change",
    [
        {"extra_body": {"model": "o3"}},
        {"request_params": {"model": "o3"}},
        {"request_params": {"extra_body": {"model": "o3"}}},
        {"extra_headers": {"x-portkey-provider": "groq"}},
        {"extra_headers": {"X-Portkey-Config": "pc-any"}},
        {"default_headers": {"X-Portkey-Virtual-Key": "vk"}},
        {"extra_headers": {"x-portkey-config": json.dumps({"override_params": {"model": "o3"}})}},
        {
            "extra_headers": {
                "x-portkey-config": json.dumps(
                    {
                        "strategy": {"mode": "fallback"},
                        "targets": [{"provider": "openai"}, {"targets": [{"provider": "groq"}]}],
                    }
                )
            }
        },
        {"client_params": {"default_headers": {"x-portkey-provider": "groq"}}},
    ],
)
def test_what_a_request_says_beside_its_model_counts(
    portkey_provider: EmbeddedProvider, change: dict[str, Any]
) -> None:
    limit = {"models": ["gpt-4o-mini"], "providers": ["openai"]}
    agent = desk(asks(portkey_provider, **change), {"everyone": limit})
    assert "Desk may not ask" in refused(agent, portkey_provider)


def test_a_route_within_limits_is_asked(portkey_provider: EmbeddedProvider) -> None:
    route = {"provider": "openai", "api_key": "k", "override_params": {"model": "gpt-4o-mini"}}
    model = asks(portkey_provider, config=route, id="any", portkey_provider=None, api_key=None)
    limit = {"models": ["gpt-4o-mini"], "providers": ["openai"]}
    assert desk(model, {"everyone": limit}).run("Hi").status == RunStatus.completed


def test_observing_tells_and_sends(
    portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    agent = govern(
        Agent(name="Desk", model=asks(portkey_provider)),
        policy=Policy(models={"everyone": ["o3"], "mode": "observe"}),
        observers=[heard.append],
    )
    assert agent.run("Hi").status == RunStatus.completed
    told = [event for event in heard if event.kind == "limit"]
    assert {(event.role, event.data["mode"]) for event in told} == {("Desk", "observe")}
    monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "enforce")
    assert "may not ask" in refused(agent, portkey_provider)
    monkeypatch.setenv("AGNO_PORTKEY_MODELS_MODE", "off")
    heard.clear()
    assert agent.run("Hi").status == RunStatus.completed
    assert [event for event in heard if event.kind == "limit"] == []


NAMES = st.text("abc-*?[]/@.", min_size=1, max_size=6)


@given(NAMES, st.none() | st.lists(NAMES, max_size=2), st.none() | st.lists(NAMES, max_size=2))
def test_more_limits_never_let_more_through(
    model: str, first: list[str] | None, second: list[str] | None
) -> None:
    limits = [ModelLimit(None if each is None else tuple(each)) for each in (first, second)]
    reached = Reached(model, ("openai",))
    table = LimitTable(everyone=limits[0], agents={"Desk": limits[1]})
    both = table.of("member", "Desk", None)
    assert both is not None
    assert (both.refusal([reached]) is None) == all(each.allows(reached) for each in limits)
    if both.refusal([reached]) is not None:
        with pytest.raises(ModelNotAllowed):
            both.require([reached], None)
