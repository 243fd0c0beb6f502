"""What the ledger has booked is what the provider has said, to the token, whatever went wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.team import Team
from four_forms import FORMS, STREAMED, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_rows import Reported, embedded_tokens, rows, total
from pydantic import BaseModel

from agno_portkey import Gate, govern
from agno_portkey.cache import CachePolicy
from agno_portkey.contracts import Repair
from agno_portkey.gates import Sampling
from agno_portkey.guardrails import Block, Finding, Guard, ModerationGuardrail, Passage
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.model import PortkeyModel
from agno_portkey.routing import Fallback, Target
from agno_portkey.routing.config.parts import Retry
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request, ToolCall, Usage
from agno_portkey.testing.replies import Completion
from agno_portkey.testing.story import REQUEST, Release, release_team, tell

Models = Callable[..., PortkeyModel]

# What a client never gets the usage of.
UNTOLD = {
    "429": Fault.status(429, retry_after=0),
    "500": Fault.status(500),
    "503": Fault.status(503),
    "400": Fault.status(400),
    "401": Fault.status(401),
    "cut": Fault.cut(),
    "clean cut": Fault.cut(clean=True),
    "reset": Fault.reset(),
    "html": Fault.html(),
    "no choices": Fault.no_choices(),
    "error chunk": Fault.error_chunk(),
    "malformed": Fault.malformed_chunk(),
    "overflow": Fault.context_overflow(),
    "filter": Fault.content_filter(),
}


def balances(ledger: Ledger, reported: Reported, **same: Any) -> list[dict[str, Any]]:
    found = rows(ledger, estimated=False, **same)
    assert total(found, "input_tokens") == reported.input_tokens
    assert total(found, "output_tokens") == reported.output_tokens
    assert total(found, "tokens") == reported.input_tokens + reported.output_tokens
    assert total(found, "cached_tokens") == sum(each.cached_tokens for each in reported.said)
    assert total(found, "reasoning_tokens") == sum(each.reasoning_tokens for each in reported.said)
    return found


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch, reported: Reported) -> Reported:
    """What the provider reports with each answer, of whatever made it up."""
    monkeypatch.setattr(Completion, "_usage", lambda completion: reported.usage())
    return reported


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(st.sampled_from(["answers", *UNTOLD]), min_size=1, max_size=5),
    form=st.sampled_from(FORMS),
    targets=st.integers(1, 2),
)
def test_it_balances_whatever_the_provider_does(
    script: list[str], form: str, targets: int, portkey_gateway: LocalGateway
) -> None:
    reported, left = Reported(), iter(script)

    def says(request: Request) -> Reply | Fault:
        if (fault := UNTOLD.get(next(left, "answers"))) is not None:
            return fault
        return Reply("All is well here", usage=reported.usage())

    with EmbeddedProvider() as provider:
        provider.when(lambda request: True, says)
        ledger = Ledger(_memory())
        route = Fallback(
            targets=[
                Target(model=f"m{n}", provider="openai", api_key="k", custom_host=provider.url)
                for n in range(targets)
            ]
        )
        model = PortkeyModel(
            base_url=portkey_gateway.url,
            config=route,
            observers=[ledger],
            recovery=Recovery(wait=0.001, max_wait=0.01, attempts=4),
        )
        play(Agent(model=model, telemetry=False), form)
        found = balances(ledger, reported)
        # Each request is booked, those that failed too; the gateway sent none by itself.
        assert len(found) == len(rows(ledger)) == len(provider.calls)


def _memory() -> Any:
    from agno.db.in_memory import InMemoryDb

    return InMemoryDb()


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_is_refused_is_paid_for(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    portkey_provider.reply(Reply("I began to", finish_reason="content_filter"))
    play(Agent(model=booked(), telemetry=False), form)
    [row] = balances(ledger, whole)
    assert (row["status"], row["error"]) == ("failed", "ContentFiltered")
    assert (row["priced"], row["tokens"] > 0) == ("list", True)


@pytest.mark.parametrize("form", STREAMED)
def test_a_stream_that_breaks_off_counts_what_it_has_said_so_far(
    form: str,
    booked: Models,
    ledger: Ledger,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As providers do that count with each chunk.
    so_far, event = json.dumps(Usage(40, 7).as_dict()).encode(), Completion._event

    def counted(*args: Any, **options: Any) -> bytes:
        return event(*args, **options).replace(b'"usage": null', b'"usage": ' + so_far)

    monkeypatch.setattr(Completion, "_event", counted)
    portkey_provider.reply("one two three four")
    portkey_provider.fault(Fault.cut())
    play(Agent(model=booked(), telemetry=False), form)
    first = rows(ledger)[0]
    assert (first["status"], first["input_tokens"], first["output_tokens"]) == ("failed", 40, 7)


def test_a_call_that_its_caller_leaves_is_booked_as_such(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply("one two three four five six", token_delay=0.05))
    stream = booked().response_stream(messages=[Message(role="user", content="Hi")])
    next(part for part in stream if part.content)
    stream.close()
    [row] = rows(ledger)
    told = (row["status"], row["tokens"], row["cost"], row["priced"])
    assert told == ("cancelled", None, None, "unmeasured")


class Verse(BaseModel):
    text: str
    lines: int


@pytest.mark.parametrize("form", FORMS)
def test_what_a_contract_asks_again_is_booked(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    portkey_provider.reply("no object at all")
    portkey_provider.reply(Verse(text="a", lines=1))
    model = booked(repair=Repair(reasks=1))
    ended = play(Agent(model=model, output_schema=Verse, telemetry=False), form)
    assert ended.content == Verse(text="a", lines=1)
    assert len(balances(ledger, whole)) == 2


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_gated_teams_run_is_booked_as_one(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    tell(portkey_provider)
    team = govern(
        release_team(booked(observers=[]), Release()),
        runner="runner",
        gate=Gate(min_score=7, sampling=Sampling(least=2, most=4)),
        tags={"cost_center": "cc-42", "environment": "test"},
        ledger=ledger,
    )
    output = team.run(REQUEST) if form == "run" else asyncio.run(team.arun(REQUEST))
    found = balances(ledger, whole)
    assert len(found) == len(portkey_provider.calls)
    assert {row["run"] for row in found} == {output.run_id}
    assert {row["cost_center"] for row in found} == {"cc-42"}
    assert {row["swarm"] for row in found} == {team.name}
    # The Judge was asked more than once for a judgement, and each time is booked.
    judged = [row for row in found if row["role"] == "Judge"]
    asked = [call for call in portkey_provider.calls if call.schema_name == "Judgement"]
    assert len(judged) == len(asked) >= 4
    by = {each.name: each for each in ledger.sums("role")}
    assert set(by) == {"Release", "Planner", "Critic", "Judge", "Runner"}
    assert sum(each.tokens for each in by.values()) == total(found, "tokens")


def _delegating(member: str) -> Callable[[Request], Reply]:
    def lead(request: Request) -> Reply:
        if request.tool_results:
            return Reply("Done.")
        call = ToolCall("delegate_task_to_member", {"member_id": member, "task": "Do it"})
        return Reply(tool_calls=[call])

    return lead


@pytest.mark.parametrize("form", ["run", "arun", "stream"])
def test_a_team_without_a_gate_has_one_run_at_any_depth(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    portkey_provider.when("You lead the outer", _delegating("inner"))
    portkey_provider.when("You lead the inner", _delegating("worker"))
    worker = Agent(name="Worker", id="worker", model=booked(observers=[]))
    inner = Team(
        name="Inner",
        id="inner",
        members=[worker],
        model=booked(observers=[]),
        instructions="You lead the inner",
    )
    outer = Team(
        name="Outer", members=[inner], model=booked(observers=[]), instructions="You lead the outer"
    )
    govern(outer, ledger=ledger)
    if form == "stream":
        [*_] = outer.run("Go", stream=True)
    elif form == "arun":
        asyncio.run(outer.arun("Go"))
    else:
        outer.run("Go")
    found = balances(ledger, whole)
    assert [row["role"] for row in found] == ["Outer", "Inner", "Worker", "Inner", "Outer"]
    assert len({row["run"] for row in found}) == 1
    assert found[0]["run"] == found[0]["own_run"]
    assert len({row["own_run"] for row in found}) == 3


class Asks(Guard):
    """A guard that has a model judge each text."""

    name = "Asks"

    def __init__(self, model: PortkeyModel) -> None:
        self.judge = Agent(model=model, instructions="You moderate", telemetry=False)
        super().__init__()

    def inspect(self, passage: Passage) -> Finding:
        return Block("harmful") if self.judge.run(passage.text).content == "NO" else None


def test_the_calls_of_a_guard_are_booked(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    portkey_provider.when("You moderate", ["YES", "NO"])
    agent = Agent(name="Writer", model=booked(observers=[]), telemetry=False)
    govern(agent, guards=[Asks(booked(observers=[]))], ledger=ledger)
    agent.run("Hi")
    assert len(balances(ledger, whole)) == len(portkey_provider.calls) == 3


def test_the_moderation_endpoint_takes_no_tokens(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    agent = Agent(name="Writer", model=booked(observers=[]), telemetry=False)
    govern(agent, guards=[ModerationGuardrail(model=booked(observers=[]))], ledger=ledger)
    agent.run("Hi")
    assert [r.route for r in portkey_provider.requests].count("POST /moderations") >= 2
    assert len(balances(ledger, whole)) == 1


def test_what_our_own_cache_answers_is_not_booked(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    model = booked(cache=CachePolicy())
    for _ in range(3):
        Agent(model=model, telemetry=False).run("Hi", user_id="ann")
    assert len(portkey_provider.calls) == 1
    assert len(balances(ledger, whole)) == 1


def test_the_same_ledger_at_model_and_team_books_once(
    booked: Models, ledger: Ledger, whole: Reported
) -> None:
    agent = govern(Agent(name="Writer", model=booked(), telemetry=False), ledger=ledger)
    agent.run("Hi")
    assert len(balances(ledger, whole)) == 1


# What the gateway does by itself


def _here(provider: EmbeddedProvider, model: str, **more: Any) -> Target:
    return Target(
        model=model, provider="openai", api_key="k", custom_host=provider.url, **more
    )  # fmt: skip


@pytest.mark.parametrize("form", ["run", "astream"])
def test_the_gateways_own_requests_are_estimated_and_apart(
    form: str, booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider, whole: Reported
) -> None:
    portkey_provider.fault(Fault.status(500), times=None, model="first")
    portkey_provider.fault(Fault.status(503), model="gpt-4o")
    retry = Retry(attempts=1, on_status_codes=[503])
    route = Fallback(
        targets=[
            _here(portkey_provider, "first"),
            _here(portkey_provider, "gpt-4o", retry=retry),
        ]
    )
    model = booked(config=route, recovery=Recovery(by="gateway"))
    play(Agent(model=model, telemetry=False), form)
    [measured] = balances(ledger, whole)
    [own] = rows(ledger, estimated=True)
    # One that the fallback left, and one that was tried again.
    assert len(portkey_provider.calls) == 3 == measured["requests"] + own["requests"]
    told = (own["kind"], own["tokens"], own["cost"], own["priced"], own["run"] == measured["run"])
    assert told == ("gateway", None, None, "unmeasured", True)
    [line] = ledger.sums("model")
    assert (line.requests, line.estimated, line.unmeasured) == (1, 2, 0)


def test_retries_that_did_not_help_are_as_many_as_the_config_allows(
    booked: Models, ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    retry = Retry(attempts=1, on_status_codes=[503])
    model = booked(
        config=_here(portkey_provider, "gpt-4o", retry=retry), recovery=Recovery(by="gateway")
    )
    Agent(model=model, telemetry=False).run("Hi")
    assert len(portkey_provider.calls) == sum(row["requests"] for row in rows(ledger)) == 2
    assert [row["requests"] for row in rows(ledger, estimated=True)] == [1]


# Embeddings


@pytest.mark.parametrize("form", ["sync", "async"])
def test_embeddings_are_booked_with_what_was_refused(
    form: str, ledger: Ledger, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    embedder = PortkeyEmbedder(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url,
        batch_size=4,
        dimensions=8,
        recovery=Recovery(attempts=2, wait=0.001, max_wait=0.01),
        observers=[ledger],
        tags={"cost_center": "kb"},
    )
    texts = [f"text number {number}" for number in range(10)]
    if form == "sync":
        embedder.embed(texts)
    else:
        asyncio.run(embedder.aembed(texts))
    [row] = rows(ledger)
    told = (row["kind"], row["status"], row["model"], row["cost_center"], row["requests"])
    assert told == ("embedding", "ok", "text-embedding-3-small", "kb", 3)
    assert row["tokens"] == row["input_tokens"] == embedded_tokens(portkey_provider) == 40
    # Two cents for a million tokens.
    assert (row["cost"], row["output_tokens"]) == (40 * 20, 0)


def test_vectors_that_are_refused_are_paid_for(
    ledger: Ledger, portkey_provider: EmbeddedProvider
) -> None:
    embedder = PortkeyEmbedder(
        base_url=portkey_provider.url,
        api_key="k",
        dimensions=8,
        recovery=Recovery(attempts=2, wait=0.001, max_wait=0.01),
        observers=[ledger],
    )
    portkey_provider.fault(Fault.status(503), route="POST /embeddings")
    # It was asked for 8, and says 9.
    object.__setattr__(embedder, "dimensions", 9)
    params = embedder._params
    object.__setattr__(embedder, "_params", lambda: {**params(), "dimensions": 8})
    found = embedder.embed(["some text"])
    assert len(found.failures) == 1
    [row] = rows(ledger)
    assert (row["status"], row["tokens"]) == ("failed", 3)
    assert row["requests"] == len(portkey_provider.requests) == 2
