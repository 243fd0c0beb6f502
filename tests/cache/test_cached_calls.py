"""Calls that are answered from a cache, in all four forms, and those that never are."""

from __future__ import annotations

from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from cached_agents import Counting, asks_for_weather, outcomes, weather
from four_forms import FORMS, STREAMED, play
from pydantic import BaseModel

from agno_portkey.cache import Cache, CacheFigures, CachePolicy
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.runs import TENANT_KEY
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Usage

USAGE = Usage(prompt_tokens=100, completion_tokens=20)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("again", FORMS)
def test_the_same_is_asked_once_in_whatever_form(
    form: str, again: str, model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    portkey_provider.reply(Reply("All is well. Ça va 🌞", usage=USAGE, chunk_size=3))
    agent = Agent(model=model())
    first = play(agent, form, user_id="ann")
    second = play(agent, again, user_id="ann")
    assert first.content == second.content == "All is well. Ça va 🌞"
    assert len(portkey_provider.calls) == 1
    assert outcomes(figures) == {"miss": 1, "hit": 1}
    [row] = figures.rows()
    assert (row.saved_tokens, row.kept, row.hit_rate) == (120, 1, 0.5)
    assert second.output is not None
    assert second.output.metrics is not None
    assert second.output.metrics.total_tokens == 0
    if again in STREAMED:
        assert second.text_shown == "All is well. Ça va 🌞"
        if form in STREAMED:
            assert second.shown == first.shown


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        ({"user_id": "ann"}, {"user_id": "bob"}, 2),
        ({"user_id": "ann"}, {"user_id": "ann"}, 1),
        ({}, {}, 2),
        (
            {"user_id": "ann", "metadata": {TENANT_KEY: "a"}},
            {"user_id": "ann", "metadata": {TENANT_KEY: "b"}},
            2,
        ),
    ],
    ids=["others", "the same", "nobody", "namesakes"],
)
def test_one_users_answers_are_for_nobody_else(
    first: dict[str, Any],
    second: dict[str, Any],
    calls: int,
    model: Any,
    portkey_provider: EmbeddedProvider,
) -> None:
    agent = Agent(model=model())
    for options in (first, second):
        assert agent.run("Hi", **options).status == RunStatus.completed
    assert len(portkey_provider.calls) == calls


def test_a_tenants_answers_are_its_own_and_public_ones_everybodys(
    model: Any, portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    shared = Agent(model=model(CachePolicy(store=cache, scope="tenant")))
    for user, tenant in (("ann", "a"), ("bob", "a"), ("ann", "b")):
        shared.run("Hi", user_id=user, metadata={TENANT_KEY: tenant})
    assert len(portkey_provider.calls) == 2
    shared.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 3
    public = Agent(model=model(CachePolicy(store=cache, scope="public")))
    for user in ("ann", "bob", None):
        public.run("Hi", user_id=user)
    assert len(portkey_provider.calls) == 4


class Fact(BaseModel):
    value: int


def test_what_does_not_fit_its_contract_is_not_kept_but_what_came_of_asking_again_is(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("no JSON at all")
    portkey_provider.reply('{"value": 7}')
    agent = Agent(model=model(), output_schema=Fact)
    for _ in range(2):
        assert agent.run("How many?", user_id="ann").content == Fact(value=7)
    # The answer that fitted in the end answers the question as it was asked first.
    assert len(portkey_provider.calls) == 2


def test_a_broken_output_is_asked_for_anew(model: Any, portkey_provider: EmbeddedProvider) -> None:
    from agno_portkey.contracts import Repair

    agent = Agent(model=model(repair=Repair(reasks=0)), output_schema=Fact)
    portkey_provider.reply("no JSON at all")
    assert agent.run("How many?", user_id="ann").status == RunStatus.error
    portkey_provider.reply('{"value": 7}')
    assert agent.run("How many?", user_id="ann").content == Fact(value=7)


@guard
def no_beans(passage: Passage) -> Block | None:
    return Block("beans") if passage.direction == "output" and "beans" in passage.text else None


@pytest.mark.parametrize("form", FORMS)
def test_what_a_guard_refuses_is_not_kept_and_hits_are_guarded(
    form: str, model: Any, portkey_provider: EmbeddedProvider
) -> None:
    counting = Counting()
    portkey_provider.reply("Spill the beans")
    agent = Agent(model=model(guards=[no_beans, counting]))
    assert play(agent, form, user_id="ann").status == RunStatus.error
    portkey_provider.reply("All is well")
    for _ in range(2):
        assert play(agent, form, user_id="ann").content == "All is well"
    assert len(portkey_provider.calls) == 2
    assert "".join(counting.seen).count("All is well") == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("It was cut", finish_reason="length"), "not whole"),
        ("mail ann.jones@example.com", "personal data"),
        ("call +49 30 901820", "personal data"),
        ("the key is ghp_" + "a1B2c3D4e5F6" * 3, "secret"),
        ("write to <PERSON_1>", "placeholder"),
    ],
)
def test_what_must_not_be_kept_is_not(
    reply: Any, why: str, model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    agent = Agent(model=model())
    for _ in range(2):
        portkey_provider.reply(reply)
        agent.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 2
    [row] = figures.rows()
    assert row.reasons[why] == 2 or row.reasons["TruncatedStream"] == 2


def test_what_was_asked_must_not_be_kept_either(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    agent = Agent(model=model())
    for _ in range(2):
        agent.run("My card is 4111 1111 1111 1111, is that safe?", user_id="ann")
    assert len(portkey_provider.calls) == 2


def test_an_error_is_not_kept(model: Any, portkey_provider: EmbeddedProvider) -> None:
    from agno_portkey.routing.recovery.settings import Recovery

    agent = Agent(model=model(recovery=Recovery(attempts=1)))
    portkey_provider.fault(Fault.status(500), times=1)
    assert agent.run("Hi", user_id="ann").status == RunStatus.error
    assert agent.run("Hi", user_id="ann").status == RunStatus.completed


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("form", ["run", "astream"])
def test_tool_calls_are_kept_only_where_they_may_be(
    kept: bool, form: str, model: Any, portkey_provider: EmbeddedProvider, cache: Cache
) -> None:
    portkey_provider.when(lambda request: True, asks_for_weather)
    agent = Agent(model=model(CachePolicy(store=cache, tool_calls=kept)), tools=[weather])
    for _ in range(2):
        ended = play(agent, form, user_id="ann")
        assert ended.content == "Sun."
        assert [tool.result for tool in ended.output.tools] == ["Oslo: sun"]  # type: ignore[union-attr]
    # What is said of a tool's result is kept: it stands in the question.
    assert len(portkey_provider.calls) == (2 if kept else 3)


@pytest.mark.parametrize("mode", ["off", "observe", "enforce", "junk"])
def test_a_variable_of_the_environment_rolls_it_back(
    mode: str,
    model: Any,
    portkey_provider: EmbeddedProvider,
    figures: CacheFigures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGNO_PORTKEY_CACHE_MODE", mode)
    agent = Agent(model=model())
    for _ in range(2):
        agent.run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == (1 if mode == "enforce" else 2)
    if mode == "observe":
        [row] = figures.rows()
        assert (row.would["hit"], row.outcomes["hit"]) == (1, 0)
