"""What is told of a call: who answered, in which arm of an experiment, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from agno.agent import Agent
from agno.models.message import Message
from four_forms import FORMS, ask, play
from recovering import TEXT, Make, Place, continued, two

from agno_portkey.errors import GatewayRateLimited
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.config.routes import Fallback, LoadBalance
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, ToolCall, Usage
from agno_portkey.verdict import Event

# Who answered


@pytest.mark.parametrize("form", FORMS)
def test_the_run_names_who_really_answered(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    usage = Usage(prompt_tokens=11, completion_tokens=7)
    portkey_provider.when(
        lambda request: request.model == "second", Reply("Hi", model="second-2026", usage=usage)
    )
    portkey_provider.fault(Fault.status(503), times=None, model="first")
    agent = Agent(model=through(two(target)))
    for _ in range(2):
        ended = play(agent, form)
        assert ended.output is not None
        assert (ended.output.model, ended.output.model_provider) == ("second-2026", "openai")
        said = (ended.output.model_provider_data or {})["portkey"]
        assert (said["model"], said["target"], said["attempts"]) == (
            "second-2026",
            "openai/second",
            2,
        )
        metrics = ended.output.metrics
        assert metrics is not None
        assert (metrics.input_tokens, metrics.output_tokens) == (11, 7)
        [share] = (metrics.details or {})["model"]
        assert (share.id, share.provider) == ("second-2026", "openai")
        assert (share.input_tokens, share.output_tokens) == (11, 7)


@pytest.mark.parametrize("form", FORMS)
def test_a_runs_metrics_tell_apart_who_answered_which_call(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    def weather(city: str) -> str:
        """The weather."""
        portkey_provider.fault(Fault.status(500), times=None, model="first")
        return f"sunny in {city}"

    asks = Reply(tool_calls=(ToolCall("weather", {"city": "Oslo"}),), usage=Usage(10, 3))
    portkey_provider.reply(asks)
    portkey_provider.reply(Reply("It is sunny.", usage=Usage(20, 5)))
    ended = play(Agent(model=through(two(target)), tools=[weather]), form)
    assert ended.output is not None
    assert ended.output.metrics is not None
    shares = (ended.output.metrics.details or {})["model"]
    told = {(each.id, each.input_tokens, each.output_tokens) for each in shares}
    assert told == {("first", 10, 3), ("second", 20, 5)}
    assert ended.output.metrics.input_tokens == 30


@pytest.mark.parametrize("form", FORMS)
def test_an_error_says_who_was_asked_and_what_it_was(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(500), times=None, model="first")
    portkey_provider.fault(Fault.status(429, retry_after=99), times=None, model="second")
    twice = Recovery(attempts=2, wait=0.01)
    with pytest.raises(GatewayRateLimited) as caught:
        ask(through(two(target), recovery=twice), form)
    assert "[asked: openai/first UpstreamFailed 500, openai/second" in str(caught.value)
    assert "fallback" not in str(caught.value)
    assert "in 99 s" in str(caught.value)


@pytest.mark.parametrize("form", ["run", "arun"])
def test_a_run_that_failed_keeps_what_the_error_was(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(429, retry_after=99), times=None)
    ended = play(Agent(model=through(target("first"))), form)
    assert ended.output is not None
    said = (ended.output.model_provider_data or {})["portkey"]
    assert (said["error"], said["status"], said["retry_after"]) == ("GatewayRateLimited", 429, 99)
    assert said["provider"] == "openai"


# Arms


@pytest.mark.parametrize("form", FORMS)
def test_an_arm_sticks_to_its_user_and_is_told_as_a_tag(
    form: str, target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    route = LoadBalance(
        sticky="user",
        experiment="mini-or-not",
        targets=[target("old", name="control"), target("new", name="canary")],
    )
    model = through(route, observers=[lambda event: heard.append(event)])
    users = [f"user-{number}" for number in range(12)]
    first = _arms(model, form, users, portkey_provider)
    assert _arms(model, form, users, portkey_provider) == first
    assert set(first.values()) == {"old", "new"}
    tags = [event.data["tags"] for event in heard if event.kind == "call"]
    named = {"control": "old", "canary": "new"}
    assert [named[each["arm"]] for each in tags[:12]] == list(first.values())
    assert {each["experiment"] for each in tags} == {"mini-or-not"}


def _arms(
    model: PortkeyModel, form: str, users: Sequence[str], provider: EmbeddedProvider
) -> dict[str, str | None]:
    asked: dict[str, str | None] = {}
    for user in users:
        play(Agent(model=model), form, user_id=user)
        asked[user] = provider.calls[-1].model
    return asked


def test_the_arm_reaches_the_gateway_with_the_other_tags(
    target: Place, portkey_provider: EmbeddedProvider
) -> None:
    import json

    route = LoadBalance(experiment="e", targets=[target("old", name="control")])
    model = PortkeyModel(base_url=portkey_provider.url, config=route, tags={"cost_center": "7"})
    ask(model, "run")
    tags = json.loads(portkey_provider.calls[-1].headers["x-portkey-metadata"])
    assert (tags["arm"], tags["experiment"], tags["cost_center"]) == ("control", "e", "7")


# Callers of all kinds


def test_a_stream_may_be_read_by_one_thread_after_the_other(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, lambda request: continued(request))
    portkey_provider.fault(Fault.cut(), model="first")
    portkey_provider.fault(Fault.status(500), model="second")
    route = Fallback(targets=[target("first"), target("second", prefill=True)])
    stream = through(route).response_stream(messages=[Message(role="user", content="Hi")])
    shown = ""
    ended = False
    while not ended:
        with ThreadPoolExecutor(1) as threads:
            part = threads.submit(next, stream, None).result()
        ended = part is None
        shown += (part.content or "") if part is not None else ""
    assert shown == TEXT


def test_a_call_that_its_caller_left_is_told_as_such(
    target: Place, through: Make, portkey_provider: EmbeddedProvider
) -> None:
    heard: list[Event] = []
    portkey_provider.reply(Reply(TEXT, token_delay=0.05))
    model = through(target("first"), observers=[lambda event: heard.append(event)])
    stream = model.response_stream(messages=[Message(role="user", content="Hi")])
    next(part for part in stream if part.content)
    stream.close()
    told = [(event.kind, event.data.get("cancelled")) for event in heard]
    assert told == [("attempt", True), ("call", True)]
    assert portkey_provider.calls[0].wait() == "client_gone"
