"""Many inputs through the Batch API: each is asked as by a call, and its answer comes to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agno.db.in_memory import InMemoryDb
from agno.models.message import Message
from batch_forms import (
    INPUTS,
    Jobs,
    Models,
    Point,
    agent,
    bodies,
    said,
)

from agno_portkey.cache import CachePolicy
from agno_portkey.errors import (
    UpstreamFailed,
)
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider
from agno_portkey.verdict import Event


def test_answers_come_to_their_inputs_through_the_gateway(
    portkey_gateway: LocalGateway,
    portkey_provider: EmbeddedProvider,
    job: Jobs,
    model: Models,
) -> None:
    through = model(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        custom_host=portkey_provider.url,
        tags={"team": "night"},
    )
    one = job(agent(through), max_lines=3)
    status = one.submit()
    assert (status.submitted, status.over, status.refused) == (True, False, 0)
    assert [part.lines for part in status.parts] == [3, 3, 1]
    found = one.fetch()
    assert said(found) == [f"to {text}" for text in INPUTS]
    assert found.require() == found.outputs
    assert (found.pending, found.foreign, found.retried) == ((), 0, ())
    assert one.status().state == "completed"
    assert found.tokens > 0
    # No call by itself, and never the way to results that the gateway leads elsewhere.
    assert portkey_provider.calls == []
    assert not any("output" in request.path for request in portkey_provider.requests)


def test_a_line_is_what_a_call_of_the_agent_would_be(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    who = agent(
        model(temperature=0.25, max_tokens=50),
        instructions="Be brief.",
        output_schema=Point,
        additional_input=["And now:"],
    )
    job(who, ["a question"]).submit()
    portkey_provider.when(lambda request: True, Point(n=1))
    portkey_provider._rules.reverse()
    who.run("a question")
    [line], [call] = bodies(portkey_provider), portkey_provider.calls
    assert line == call.body
    assert line["response_format"]["json_schema"]["name"] == "Point"


def test_tags_go_with_each_request(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    one = job(agent(model(tags={"cost_center": "cc-42"})))
    one.submit()
    one.fetch()
    tags = [json.loads(each.headers["x-portkey-metadata"]) for each in portkey_provider.requests]
    assert tags == [{"role": "Writer", "cost_center": "cc-42"}] * 4


def test_a_model_is_asked_with_messages(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    talk = [Message(role="system", content="Be kind."), Message(role="user", content="Hi")]
    one = job(model(), [talk, "Well?"])
    one.submit()
    assert [body["messages"] for body in bodies(portkey_provider)] == [
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        [{"role": "user", "content": "Well?"}],
    ]
    assert said(one.fetch()) == ["to Hi", "to Well?"]


def test_what_is_not_over_is_pending(portkey_provider: EmbeddedProvider, job: Jobs) -> None:
    portkey_provider.batches.by_hand = True
    one = job(max_lines=4)
    one.submit()
    first, second = portkey_provider.batches.held
    assert one.status().state == "validating"
    portkey_provider.batches.advance(first, "completed", lines=4)
    portkey_provider.batches.advance(second, lines=1)
    status = one.status()
    assert (status.state, status.over) == ("in_progress", False)
    assert [(p.status, p.completed) for p in status.parts] == [("completed", 4), ("in_progress", 1)]
    assert one.wait(every=0.001, seconds=0.0).over is False
    found = one.fetch(retry=True)
    assert said(found) == [*(f"to {text}" for text in INPUTS[:4]), None, None, None]
    assert (found.errors, found.pending) == ({}, (4, 5, 6))
    with pytest.raises(TimeoutError):
        found.require()
    portkey_provider.batches.by_hand = False
    assert one.wait(every=0.001).over
    assert one.fetch().require()


def test_broken_answers_are_looked_at_once_and_ask_nobody_else(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    heard: list[Event] = []
    asked = model(observers=[heard.append])
    who = agent(asked, retries=2, delay_between_retries=0, fallback_models=[model(id="other")])
    message = {"role": "assistant", "content": "Half"}
    body = {"choices": [{"index": 0, "finish_reason": "error", "message": message}]}
    portkey_provider.batches.alter = lambda lines: [
        {**line, "response": {"status_code": 200, "body": body}} for line in lines
    ]
    one = job(who)
    one.submit()
    found = one.fetch()
    assert {type(error) for error in found.errors.values()} == {UpstreamFailed}
    assert sum(event.kind == "attempt" for event in heard) == len(INPUTS)
    assert portkey_provider.calls == []
    # They say nothing of the health of who answers calls now.
    assert not any(event.kind == "circuit" for event in heard)
    assert asked.router.circuits.states() == {}


def test_sessions_are_kept_of_what_was_answered(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    db = InMemoryDb()
    one = job(agent(model(), db=db), INPUTS[:3])
    one.submit()
    assert db.get_sessions() == []
    one.fetch()
    assert len(db.get_sessions()) == 3


def test_what_a_cache_knows_is_sent_all_the_same(
    portkey_provider: EmbeddedProvider, job: Jobs, model: Models, tmp_path: Path
) -> None:
    store = str(tmp_path / "cache.db")
    who = agent(model(cache=CachePolicy(kind="exact", scope="public", store=store)))
    assert who.run(INPUTS[0]).content == who.run(INPUTS[0]).content
    assert len(portkey_provider.calls) == 1
    one = job(who)
    one.submit()
    assert len(bodies(portkey_provider)) == len(INPUTS)
    assert said(one.fetch()) == [f"to {text}" for text in INPUTS]
