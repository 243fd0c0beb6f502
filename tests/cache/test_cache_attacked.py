"""What the cache of calls was attacked with: others' answers, stale ones, and stores that lie."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import uuid
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from cached_agents import Always, Instead
from four_forms import FORMS, play
from pydantic import BaseModel

from agno_portkey import PortkeyModel
from agno_portkey.cache import Cache, CacheFigures, CachePolicy, flights, layer
from agno_portkey.cache.answers import cache_at
from agno_portkey.cache.entry import Selection
from agno_portkey.routing import Fallback, LoadBalance, Target
from agno_portkey.runs import TENANT_KEY
from agno_portkey.testing import EmbeddedProvider, Reply, ToolCall

PARIS = ["What is the capital of France?", "What's the capital of France?"]
CARD = "4111 1111 1111 1111"


Makes = Callable[..., Agent]


@pytest.fixture
def agent(portkey_provider: EmbeddedProvider, cache: Cache, figures: CacheFigures) -> Makes:
    """An agent with a policy for everybody, of which `policy` says what is otherwise."""

    def made(
        policy: dict[str, Any] | None = None, tools: Any = None, schema: Any = None, **options: Any
    ) -> Agent:
        model = PortkeyModel(
            **{"base_url": portkey_provider.url, "api_key": "k", **options},
            cache=CachePolicy(**{"store": cache, "scope": "public", **(policy or {})}),
            observers=[figures],
        )
        return Agent(model=model, tools=tools, output_schema=schema)

    return made


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


# Stale answers


def test_what_was_under_way_while_entries_were_forgotten_is_not_kept(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    def answer(request: Any) -> str:
        if len(portkey_provider.calls) == 1:
            cache.forget(Selection(everything=True), by="ops", dry_run=False)
            return "old"
        return "new"

    portkey_provider.when(lambda request: True, answer)
    assert [agent().run("Hi").content for _ in range(2)] == ["old", "new"]


def test_what_was_forgotten_is_in_no_file_any_more(
    agent: Makes, portkey_provider: EmbeddedProvider, tmp_path: Any
) -> None:
    portkey_provider.when(lambda request: True, "Ask for the xylophone.")
    store = Cache(tmp_path / "answers.db")
    agent({"store": store}).run("Hi")

    def is_there() -> bool:
        return any(b"xylophone" in file.read_bytes() for file in tmp_path.iterdir())

    assert is_there()
    Cache(tmp_path / "answers.db").forget(Selection(everything=True), by="ops", dry_run=False)
    assert not is_there()
    assert store.entries() == []
    store.close()


def test_what_is_kept_between_the_looking_and_the_noting_is_forgotten_too(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    def note(*noted: Any) -> None:
        agent().run("Hi")
        cache.store.note(*noted)

    keeper = Cache(Instead(cache.store, note=note))  # type: ignore[arg-type]
    keeper.forget(Selection(everything=True), by="ops", dry_run=False)
    assert cache.entries() == []


def test_a_policys_lifetime_holds_for_what_another_one_kept(
    portkey_provider: EmbeddedProvider, agent: Makes
) -> None:
    now = [1_000_000.0]
    store = Cache(":memory:", clock=lambda: now[0])
    agent({"store": store, "lifetime": 1e5}).run("Hi")
    now[0] += 100
    agent({"store": store, "lifetime": 101}).run("Hi")
    assert len(portkey_provider.calls) == 1
    agent({"store": store, "lifetime": 99}).run("Hi")
    assert len(portkey_provider.calls) == 2


@pytest.mark.parametrize("lifetime", [99, 50])
def test_nor_does_who_waits_for_another_get_an_older_one(
    lifetime: int,
    portkey_provider: EmbeddedProvider,
    agent: Makes,
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks first finds that it is too old by its policy, or by that of the other alone."""
    now, waits, leases = [1_000_000.0], threading.Event(), threading.Event()
    waiting = layer.wait_for

    def noted(*asked: Any) -> Any:
        waits.set()
        return waiting(*asked)

    def lease(*asked: Any) -> bool:
        leases.set()
        return waits.wait(10) and cache.store.lease(*asked)

    def get(key: str, at: float) -> Any:
        # It is kept just before who has the lease looks once more.
        return cache.store.get(key, at) if lifetime == 99 or waits.is_set() else None

    portkey_provider.when(lambda request: True, ["old", "new"])
    agent({"lifetime": 1e5, "store": Cache(cache.store, clock=lambda: now[0])}).run("Hi")
    now[0] += 100
    monkeypatch.setattr(layer, "wait_for", noted)
    store = Cache(Instead(cache.store, lease=lease, get=get), clock=lambda: now[0])  # type: ignore[arg-type]
    first = agent({"store": store, "lifetime": 99 if lifetime == 99 else 101})
    second = agent({"store": store, "lifetime": lifetime})
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(first.run, "Hi")
        assert leases.wait(10)
        assert pool.submit(second.run, "Hi").result().content == "new"
        assert asked.result().content == ("new" if lifetime == 99 else "old")
    assert len(portkey_provider.calls) == 2


def test_what_is_too_old_is_waited_for_where_another_process_asks_for_it(
    portkey_provider: EmbeddedProvider, agent: Makes, cache: Cache
) -> None:
    now, leases = [1_000_000.0], list[str]()

    def lease(key: str, *asked: Any) -> bool:
        leases.append(key)
        if len(leases) == 2:
            # The other has its answer.
            kept = cache.store.get(key, now[0])
            assert kept is not None
            cache.store.put(replace(kept, created_at=now[0]))
        return False

    agent({"lifetime": 1e5, "store": Cache(cache.store, clock=lambda: now[0])}).run("Hi")
    now[0] += 100
    store = Cache(Instead(cache.store, lease=lease), clock=lambda: now[0])  # type: ignore[arg-type]
    agent({"store": store, "lifetime": 99}).run("Hi")
    assert (len(leases), len(portkey_provider.calls)) == (2, 1)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: sun"


@pytest.mark.parametrize("form", FORMS)
def test_tool_calls_that_another_policy_kept_are_not_given(
    form: str, agent: Makes, portkey_provider: EmbeddedProvider
) -> None:
    def answer(request: Any) -> Any:
        if any(message.get("role") == "tool" for message in request.body["messages"]):
            return "Sun."
        return Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),))

    portkey_provider.when(lambda request: True, answer)
    for allowed, calls in ((True, 2), (True, 2), (False, 3)):
        assert play(agent({"tool_calls": allowed}, tools=[weather]), form).content == "Sun."
        assert len(portkey_provider.calls) == calls


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


# Stores


def _with_answer(entry: Any, answer: str) -> Any:
    return entry and replace(entry, answer=answer)


@pytest.mark.parametrize("answer", ["junk", "{}", "[" * 200_000, json.dumps({"said": 1})])
@pytest.mark.parametrize("kind", ["exact", "semantic"])
def test_an_answer_that_is_none_is_asked_for(
    kind: str, answer: str, agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    lying = Instead(
        cache.store, get=lambda *asked: _with_answer(Cache.find(cache, asked[0]), answer)
    )
    store = Cache(lying, random=Always())  # type: ignore[arg-type]
    for verifier in (None, lambda comparison: True):
        asks = agent({"store": store, "kind": kind, "verifier": verifier, "floor": 0.5})
        for question in PARIS:
            assert asks.run(question).status == RunStatus.completed
    assert store.entries()
    assert not store.resting


def test_a_lease_that_could_not_be_ended_is_ended_before_the_next(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    busy = [TimeoutError()]
    ended = threading.Event()

    def release(key: str, owner: str) -> None:
        if busy:
            ended.set()
            raise busy.pop()
        cache.store.release(key, owner)

    # Nothing is kept, so that the next one has to ask as well.
    forgetful = Instead(cache.store, release=release, get=lambda *asked: None)
    store = Cache(forgetful)  # type: ignore[arg-type]
    asks = agent({"store": store})
    asks.run("Hi")
    assert ended.wait(10)
    assert not store.resting
    asks.run("Hi")
    assert len(portkey_provider.calls) == 2


def test_a_lease_that_comes_after_its_call_was_cancelled_is_ended(
    agent: Makes, cache: Cache, portkey_provider: EmbeddedProvider
) -> None:
    began, released, go_on = threading.Event(), threading.Event(), threading.Event()
    keys: list[str] = []

    def lease(key: str, owner: str, *asked: Any) -> bool:
        keys.append(key)
        began.set()
        return go_on.wait(10) and cache.store.lease(key, owner, *asked)

    def release(*asked: Any) -> None:
        cache.store.release(*asked)
        released.set()

    store = Cache(Instead(cache.store, lease=lease, release=release))  # type: ignore[arg-type]
    asks = agent({"store": store})

    async def cancelled() -> None:
        run = asyncio.create_task(asks.arun("Hi"))
        assert await asyncio.to_thread(began.wait, 10)
        run.cancel()
        await asyncio.wait([run])
        assert await asyncio.to_thread(released.wait, 10)
        go_on.set()

    asyncio.run(cancelled())
    assert portkey_provider.calls == []
    # Others would wait a minute for an answer that nobody asks for.
    assert cache.store.lease(keys[0], "other", 60, cache.clock())


def test_a_cache_at_an_address_stays(
    agent: Makes, portkey_provider: EmbeddedProvider, tmp_path: Any
) -> None:
    address = str(tmp_path / "answers.db")
    agent({"store": address}).run("Hi")
    held = weakref.ref(cache_at(address))
    gc.collect()
    assert held() is cache_at(address)
    agent({"store": address}).run("Hi")
    assert len(portkey_provider.calls) == 1
    cache_at(address).close()


def test_a_clock_that_goes_back_makes_no_rest_longer(
    agent: Makes, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agno_portkey.cache import answers

    monkeypatch.setattr(answers, "_REST", 0.0)
    now = [1_000_000.0]

    def fails(*asked: Any) -> Any:
        raise OSError

    store = Cache(Instead(cache.store, get=fails), clock=lambda: now[0])  # type: ignore[arg-type]
    assert store.find("k") is None
    now[0] -= 1e6
    assert not store.resting


# Those who ask at once


def test_who_stops_reading_a_stream_holds_nobody_up(
    agent: Makes, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "_STALLED", 0.05)
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    asks = agent()
    reading = asks.run("Hi", stream=True)
    next(event for event in reading if event.event == "RunContent")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asks.run, "Hi").result(timeout=15).content == "All is well"
    assert len(portkey_provider.calls) == 2
    # Who goes on reads the rest of its own.
    assert "".join(event.content for event in reading if event.event == "RunContent")


class Fact(BaseModel):
    value: int


def test_nobody_waits_for_what_is_made_of_an_answer_that_is_not_shared(
    agent: Makes, portkey_provider: EmbeddedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, went_alone = threading.Event(), threading.Event()
    waiting, in_time = layer.wait_for, list[bool]()

    def noted(*asked: Any) -> Any:
        waits.set()
        return waiting(*asked)

    def answer(request: Any) -> str:
        if len(portkey_provider.calls) == 1:
            waits.wait(10)
            return "write to ann.jones@example.com, and there is no JSON"
        if "ann.jones" in str(request.body["messages"]):
            # The contract of who asked first has it asked again.
            in_time.append(went_alone.wait(10))
            return '{"value": 7}'
        went_alone.set()
        return '{"value": 7}'

    monkeypatch.setattr(flights, "_STALLED", 1e9)
    monkeypatch.setattr(layer, "wait_for", noted)
    portkey_provider.when(lambda request: True, answer)
    asks = agent(schema=Fact)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(asks.run, "How many?") for _ in range(2)]
        assert [each.result().content for each in asked] == [Fact(value=7)] * 2
    assert in_time == [True]


def test_a_forked_process_waits_for_no_call_of_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    held = flights.Flights()
    assert held.join("k")[1]
    # As a thread of the parent may have had it at the fork.
    assert held._lock.acquire(timeout=1)
    monkeypatch.setattr(flights.os, "getpid", lambda: -1)
    assert held.join("k")[1]


def test_a_forked_process_ends_a_call_of_its_parents_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = flights.Flights()
    flight, _ = held.join("k")
    assert held._lock.acquire(timeout=1)
    monkeypatch.setattr(flights.os, "getpid", lambda: -1)
    ended = threading.Thread(target=held.leave, args=("k", flight), daemon=True)
    ended.start()
    ended.join(10)
    assert not ended.is_alive()
    assert flight.landed
