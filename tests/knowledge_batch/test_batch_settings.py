"""Who can be asked in a batch, at which target, and in files of what length."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from agno.team import Team
from batch_forms import (
    QUICK,
    Jobs,
    Models,
    agent,
    bodies,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agno_portkey import PortkeyModel
from agno_portkey.errors import (
    ConfigurationError,
)
from agno_portkey.guardrails import Block, Passage, guard
from agno_portkey.knowledge import BatchJob
from agno_portkey.routing import Fallback, Target
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault


def test_who_needs_turns_is_refused(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    def look() -> str:
        return "it"

    refused = {
        "tools": agent(model(), tools=[look]),
        "reasoning_model": agent(model(), reasoning_model=model()),
        "output_model": agent(model(), output_model=model()),
        "add_datetime_to_context": agent(model(), add_datetime_to_context=True),
        "add_memories_to_context": agent(model(), add_memories_to_context=True),
        "a team": Team(members=[agent(model())], model=model()),
        "Agent with a PortkeyModel": object(),
    }
    for words, who in refused.items():
        with pytest.raises(ConfigurationError, match=words):
            job(who)
    with pytest.raises(ConfigurationError, match="tools"):
        job(agent(model(request_params={"tools": [{"type": "function"}]}))).submit()
    assert portkey_provider.requests == []


def test_who_asks_something_else_each_time_is_refused_before_it_is_paid(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    times: list[int] = []

    def instructions() -> str:
        times.append(1)
        return f"This is number {len(times)}."

    with pytest.raises(ConfigurationError, match="another request the next time"):
        job(agent(model(), instructions=instructions)).submit()
    assert portkey_provider.requests == []


def test_that_is_seen_although_the_first_inputs_are_refused(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    times: list[int] = []

    def instructions() -> str:
        times.append(1)
        return f"This is number {len(times)}."

    @guard
    def one_left(passage: Passage) -> Block | None:
        last = "question 6" in passage.text or "number" in passage.text
        return None if last else Block("not the last")

    who = agent(model(guards=[one_left]), instructions=instructions)
    with pytest.raises(ConfigurationError, match="another request the next time"):
        job(who).submit()
    assert portkey_provider.requests == []


def test_a_guard_that_refuses_what_it_let_through_is_no_obstacle(
    job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    seen: list[str] = []

    @guard
    def once(passage: Passage) -> Block | None:
        seen.append(passage.text)
        return Block("again") if len(seen) == 8 else None

    assert job(agent(model(guards=[once]))).submit().refused == 0
    assert len(bodies(portkey_provider)) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_lines", 0), ("max_bytes", True), ("concurrency", "8"), ("inputs", "text")],
)
def test_what_cannot_be_meant_is_refused(name: str, value: Any, job: Jobs) -> None:
    with pytest.raises(ConfigurationError, match=name):
        job(**{name: value})


def test_a_batch_is_at_one_target_of_a_route_and_a_retry_at_all(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider, job: Jobs, model: Models
) -> None:
    def target(name: str) -> Target:
        host = portkey_provider.url
        return Target(
            name=name,
            provider="openai",
            api_key=f"key-{name}",
            custom_host=host,
            model=f"m-{name}",
            override_params={"seed": 7},
        )

    routed = model(
        base_url=portkey_gateway.url,
        api_key=None,
        config=Fallback(targets=[target("one"), target("two")]),
    )
    with pytest.raises(ConfigurationError, match="one, two"):
        job(agent(routed))
    with pytest.raises(ConfigurationError, match="no target"):
        job(agent(routed), target="three")
    one = job(agent(routed), target="two")
    one.submit()
    assert {body["model"] for body in bodies(portkey_provider)} == {"m-two"}
    assert {body["seed"] for body in bodies(portkey_provider)} == {7}
    keys = {request.headers["authorization"] for request in portkey_provider.requests}
    assert keys == {"Bearer key-two"}
    portkey_provider.fault(Fault.status(503), times=1, text="question 3")
    found = one.fetch(retry=True)
    assert (found.retried, found.errors) == ((3,), {})
    assert [call.model for call in portkey_provider.calls] == ["m-one"]
    # What another target said is kept as well as any.
    assert one.fetch(retry=True).errors == {}
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize(("key", "sent"), [(None, None), ("k", "Bearer k")])
def test_no_key_is_made_up(
    key: str | None,
    sent: str | None,
    job: Jobs,
    model: Models,
    portkey_provider: EmbeddedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway would send it on in place of the key that it holds itself."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    one = job(agent(model(api_key=key)))
    one.submit()
    one.fetch()
    one.cancel()
    assert {r.headers.get("authorization") for r in portkey_provider.requests} == {sent}


@pytest.mark.parametrize("argument", ["default_headers", "extra_headers"])
def test_a_key_in_a_header_of_ones_own_is_sent(
    argument: str, job: Jobs, model: Models, portkey_provider: EmbeddedProvider
) -> None:
    own = {argument: {"Authorization": "Bearer mine"}}
    one = job(agent(model(api_key=None, portkey_provider="openai", **own)), ["Hi"])
    one.submit()
    assert one.fetch().errors == {}
    sent = {request.headers.get("authorization") for request in portkey_provider.requests}
    assert sent == {"Bearer mine"}


def test_checks_of_the_gateway_which_see_no_files_are_not_left_out(
    job: Jobs, model: Models
) -> None:
    checked = Target(provider="openai", api_key="k", output_guardrails=["pg-1"])
    routed = model(api_key=None, portkey_api_key="pk", profile="hosted", config=checked)
    with pytest.raises(ConfigurationError, match="output_guardrails"):
        job(agent(routed))


@pytest.mark.parametrize(("outer", "inner"), [(["pg-1"], []), ([], ["pg-1"])])
def test_checks_of_the_target_count_in_place_of_the_route_s(
    outer: list[Any], inner: list[Any], job: Jobs, model: Models
) -> None:
    checked = Target(name="one", provider="openai", api_key="k", input_guardrails=inner)
    route = Fallback(targets=[checked], input_guardrails=outer)
    routed = model(api_key=None, portkey_api_key="pk", profile="hosted", config=route)
    if not inner:
        job(agent(routed), target="one")
        return
    with pytest.raises(ConfigurationError, match="input_guardrails"):
        job(agent(routed), target="one")


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 40), max_size=12),
    most=st.integers(1, 5),
    size=st.integers(200, 3000),
)
def test_each_input_is_in_one_file_and_no_file_over_its_limits(
    sizes: list[int], most: int, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    inputs = [f"{number}:" + "x" * 10 * length for number, length in enumerate(sizes)]
    with EmbeddedProvider() as provider:
        asked = PortkeyModel(base_url=provider.url, api_key="k", recovery=QUICK)
        path = tmp_path_factory.mktemp("job") / "journal"
        one = BatchJob(asked, inputs, journal=path, max_lines=most, max_bytes=size)
        status = one.submit()
        files = [content for _, content in provider.batches.files.values()]
        assert all(len(content) <= size for content in files)
        assert all(0 < content.count(b"\n") <= most for content in files)
        # Nor one that could have been spared.
        for content, following in pairwise(files):
            longer = len(content) + len(following.splitlines(keepends=True)[0])
            assert content.count(b"\n") == most or longer > size
        sent = [body["messages"][0]["content"] for body in bodies(provider)]
        assert len(sent) == len({*sent})
        assert len(sent) + status.refused == len(inputs)
        found = one.fetch()
        for place, text in enumerate(inputs):
            if text in sent:
                assert found.outputs[place].content == f"You said: {text}"
            else:
                assert "max_bytes" in str(found.errors[place])
