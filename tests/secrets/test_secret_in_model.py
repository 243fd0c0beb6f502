"""Keys of a model that are read late: each request has the newest, and nobody hears of a change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.run.base import RunStatus
from four_forms import FORMS, ask, play
from odd_sources import Hanging, Told, turned_until

from agno_portkey import PortkeyModel
from agno_portkey.errors import (
    ConfigurationError,
    GatewayUnauthorized,
    SecretMissing,
    SecretUnavailable,
    WrongEnvironment,
)
from agno_portkey.guardrails import ModerationGuardrail
from agno_portkey.knowledge import PortkeyEmbedder
from agno_portkey.routing import Recovery
from agno_portkey.secrets import EnvironmentSecrets, FileSecrets, Secret
from agno_portkey.testing import EmbeddedProvider, Fault
from agno_portkey.testing.requests import Request

OLD, NEW = "sk-old-4711-value-abc", "sk-new-0815-value-xyz"
HEADERS = {
    "api_key": "authorization",
    "portkey_api_key": "x-portkey-api-key",
    "virtual_key": "x-portkey-virtual-key",
}


def sent(request: Request, header: str) -> str:
    return request.headers[header].removeprefix("Bearer ")


def refuse(provider: EmbeddedProvider, header: str, good: str, status: int = 401) -> None:
    """Have the provider answer for `good` alone; what it refuses, it quotes."""

    def refused(request: Request) -> Any:
        return Fault.status(status, message=f"Incorrect key: {sent(request, header)}.")

    provider.when(lambda request: sent(request, header) != good, refused)


def model(provider: EmbeddedProvider, **options: Any) -> PortkeyModel:
    given = {"base_url": provider.url, "profile": "hosted", "recovery": Recovery(attempts=1)}
    return PortkeyModel(**{**given, **options})


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    source = Hanging()
    yield source
    source.let_go.set()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", HEADERS)
def test_a_key_is_read_when_a_request_is_sent(
    key: str, form: str, portkey_provider: EmbeddedProvider, tmp_path: Path
) -> None:
    source = FileSecrets(tmp_path / "keys")
    asked = model(portkey_provider, **{key: Secret("KEY", source, ttl=0)})
    agent = Agent(model=asked)
    for value in (OLD, NEW):
        source.write("KEY", value)
        assert play(agent, form).status == RunStatus.completed
    headers = [sent(request, HEADERS[key]) for request in portkey_provider.calls]
    assert headers == [OLD, NEW]
    if key != "api_key":
        assert all("authorization" not in request.headers for request in portkey_provider.calls)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", HEADERS)
def test_nobody_hears_of_a_key_that_was_changed(
    key: str, form: str, status: int, portkey_provider: EmbeddedProvider
) -> None:
    refuse(portkey_provider, HEADERS[key], NEW, status)
    source = Told(OLD, NEW, OSError())
    asked = model(portkey_provider, **{key: Secret("KEY", source)})
    assert play(Agent(model=asked), form).content == "You said: Hi"
    assert [sent(each, HEADERS[key]) for each in portkey_provider.calls] == [OLD, NEW]
    assert source.asked == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("then", [OLD, OSError("KEY"), SecretMissing("KEY: gone")])
def test_a_key_that_stays_wrong_is_asked_for_once(
    then: Any, form: str, portkey_provider: EmbeddedProvider
) -> None:
    refuse(portkey_provider, "authorization", NEW)
    source = Told(OLD, then)
    asked = model(portkey_provider, api_key=Secret("KEY", source))
    with pytest.raises(GatewayUnauthorized) as raised:
        ask(asked, form)
    assert OLD not in str(raised.value)
    assert "Incorrect key" in str(raised.value)
    assert (source.asked, len(portkey_provider.calls)) == (2, 1)


def test_a_key_that_is_wrong_again_ends_the_call(portkey_provider: EmbeddedProvider) -> None:
    refuse(portkey_provider, "authorization", "nobody's")
    source = Told("sk-value-1", "sk-value-2", "sk-value-3")
    with pytest.raises(GatewayUnauthorized):
        ask(model(portkey_provider, api_key=Secret("KEY", source)), "run")
    assert (source.asked, len(portkey_provider.calls)) == (2, 2)


def test_other_refusals_ask_for_no_key(portkey_provider: EmbeddedProvider) -> None:
    source = Told(OLD, NEW)
    asked = model(portkey_provider, api_key=Secret("KEY", source))
    for status in (400, 404, 429, 500):
        portkey_provider.fault(Fault.status(status))
        assert play(Agent(model=asked), "run").status == RunStatus.error
    assert (source.asked, len(portkey_provider.calls)) == (1, 4)


@pytest.mark.parametrize("form", ["run", "arun"])
def test_many_calls_with_one_stale_key_ask_once(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    """All are refused before any of them has asked again."""
    count = 12
    together = threading.Barrier(count)

    def refused(request: Request) -> Any:
        together.wait(20)
        return Fault.status(401)

    portkey_provider.when(lambda request: sent(request, "authorization") == OLD, refused)
    source = Told(OLD, NEW, OSError())
    asked = model(portkey_provider, api_key=Secret("KEY", source, timeout=30))
    if form == "run":
        with ThreadPoolExecutor(count) as threads:
            answers = [*threads.map(lambda _: ask(asked, "run")[0], range(count))]
    else:
        answers = asyncio.run(_at_once(asked, count))
    assert {answer.content for answer in answers} == {"You said: Hi"}
    assert (source.asked, len(portkey_provider.calls)) == (2, 2 * count)


async def _at_once(asked: PortkeyModel, count: int) -> list[Any]:
    said = [Message(role="user", content="Hi")]
    return await asyncio.gather(*(asked.aresponse(messages=[*said]) for _ in range(count)))


@pytest.mark.parametrize("form", FORMS)
def test_a_source_that_hangs_ends_the_call_in_time(
    form: str, portkey_provider: EmbeddedProvider, hanging: Hanging
) -> None:
    asked = model(portkey_provider, api_key=Secret("KEY", hanging, timeout=0.01))
    with pytest.raises(SecretUnavailable, match="no answer within"):
        ask(asked, form)
    ended = play(Agent(model=asked), form)
    assert ended.status == RunStatus.error
    assert "KEY: no answer within" in ended.content
    assert not portkey_provider.requests


async def test_a_source_that_hangs_does_not_hold_up_the_loop(
    portkey_provider: EmbeddedProvider, hanging: Hanging
) -> None:
    asked = model(portkey_provider, api_key=Secret("KEY", hanging, timeout=30))
    call = asyncio.create_task(asked.aresponse(messages=[Message(role="user", content="Hi")]))
    await turned_until(hanging.begun)
    assert not call.done()
    other = model(portkey_provider, api_key="sk-another")
    said = await other.aresponse(messages=[Message(role="user", content="Meanwhile")])
    assert said.content == "You said: Meanwhile"
    hanging.let_go.set()
    assert (await call).content == "You said: Hi"


def test_no_circuit_is_blamed_for_a_missing_key(portkey_provider: EmbeddedProvider) -> None:
    source = Told(SecretMissing("KEY: gone"))
    asked = model(portkey_provider, api_key=Secret("KEY", source))
    for _ in range(8):
        with pytest.raises(SecretMissing, match="KEY: gone"):
            ask(asked, "run")
    source.values = [NEW]
    assert ask(asked, "run")[0].content == "You said: Hi"


def test_a_call_under_way_is_not_disturbed_by_a_change(
    portkey_provider: EmbeddedProvider,
) -> None:
    begun, held = threading.Event(), threading.Event()

    def slow(request: Request) -> str:
        begun.set()
        held.wait(20)
        return "slow"

    portkey_provider.when(lambda request: request.last_user == "slow", slow)
    secret = Secret("KEY", Told(OLD, NEW))
    asked = model(portkey_provider, api_key=secret)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(ask, asked, "run", "slow")
        begun.wait(20)
        assert secret.refresh()
        assert ask(asked, "run", "fast")[0].content == "You said: fast"
        held.set()
        assert call.result()[0].content == "slow"
    assert [sent(each, "authorization") for each in portkey_provider.calls] == [OLD, NEW]


def test_connections_stay_open_when_a_key_changes(portkey_provider: EmbeddedProvider) -> None:
    secret = Secret("KEY", Told(OLD, NEW))
    asked = model(portkey_provider, api_key=secret)
    client = asked.get_client()
    ask(asked, "run")
    assert secret.refresh()
    ask(asked, "run")
    assert asked.get_client() is client
    assert OLD not in repr(vars(client)) + repr(client.default_headers)


def test_copies_of_a_client_are_keyed_as_well(portkey_provider: EmbeddedProvider) -> None:
    asked = model(portkey_provider, api_key=Secret("KEY", Told(NEW)))
    said: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    for client in (
        asked.get_client().with_options(timeout=9),
        asked.get_client().copy(max_retries=0),
    ):
        client.chat.completions.create(**said)

    async def awaited() -> None:
        await asked.get_async_client().with_options(timeout=9).chat.completions.create(**said)

    asyncio.run(awaited())
    assert {each.headers["authorization"] for each in portkey_provider.calls} == {f"Bearer {NEW}"}


@pytest.mark.parametrize("form", ["run", "arun"])
def test_embeddings_and_moderation_have_it_too(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    source = Told(OLD, NEW)
    options = {"base_url": portkey_provider.url, "api_key": Secret("KEY", source, ttl=0)}
    embedder = PortkeyEmbedder(**options, dimensions=384)
    model = PortkeyModel(**options, guards=[])
    model.guards = (ModerationGuardrail(model=PortkeyModel(**options)),)
    if form == "run":
        embedder.get_embedding("Hi")
    else:
        asyncio.run(embedder.async_get_embedding("Hi"))
    ask(model, form)
    asked = [(each.route, sent(each, "authorization")) for each in portkey_provider.requests]
    assert asked == [
        ("POST /embeddings", OLD),
        ("POST /moderations", NEW),
        ("POST /chat/completions", NEW),
        ("POST /moderations", NEW),
    ]


def test_hosted_portkey_takes_a_secret_for_a_key() -> None:
    assert PortkeyModel(portkey_api_key=Secret("KEY", Told(NEW))).get_client() is not None
    with pytest.raises(GatewayUnauthorized):
        PortkeyModel().get_client()


@pytest.mark.parametrize("key", HEADERS)
def test_a_plain_key_that_no_header_can_have_is_refused(key: str) -> None:
    for value in ("", " ", "a\nb", "ü", " sk-4711", "x" * 9000, 4711):
        with pytest.raises(ConfigurationError, match=key) as raised:
            PortkeyModel(profile="hosted", **{key: value})
        assert str(value).strip() == "" or str(value) not in str(raised.value)


@pytest.mark.parametrize("given", ["api_key", "portkey_api_key", "virtual_key", "secrets"])
def test_secrets_of_another_environment_are_refused(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_ENVIRONMENT", "dev")
    for environment in ("dev", None, "prod"):
        source = EnvironmentSecrets(environment=environment)
        options = {given: source if given == "secrets" else Secret("KEY", source)}
        if environment == "prod":
            with pytest.raises(WrongEnvironment, match="is of prod"):
                PortkeyModel(profile="hosted", **options)
        else:
            PortkeyModel(profile="hosted", **options)


def test_the_error_of_a_client_quotes_no_key(portkey_provider: EmbeddedProvider) -> None:
    refuse(portkey_provider, "authorization", NEW)
    asked = model(portkey_provider, api_key=Secret("KEY", Told(OLD)))
    client = asked.get_client()
    with pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert "Incorrect key: [key]." in str(raised.value)
    assert OLD not in f"{raised.value!r} {raised.value.args} {raised.value.body}"
