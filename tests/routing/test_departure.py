"""A client that leaves the local gateway: the provider hears of it, and nobody else is disturbed.

Without it the provider answers to the end, and the answer is paid for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from agno.agent import Agent

from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider, Fault, Reply
from agno_portkey.testing.requests import Request

ASKED: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
SECONDS = 10.0
# Longer than any test waits for the departure: only that can end the exchange in time.
ENDLESS = Reply("word " * 400, token_delay=0.05)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "gateway.log"


@pytest.fixture(scope="module")
def gateway(log: Path) -> Iterator[LocalGateway]:
    with LocalGateway(log_path=log) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(gateway: LocalGateway, log: Path) -> Iterator[None]:
    """Whatever a test did, the gateway is alive and has said nothing."""
    # The first answer may come before the gateway's own greeting is out.
    _until(lambda: b"Ready for connections" in log.read_bytes())
    before = log.stat().st_size
    yield
    assert gateway.alive
    assert httpx.get(gateway.url.removesuffix("/v1")).status_code == 200
    assert log.read_bytes()[before:] == b""


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _target(provider: EmbeddedProvider, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "api_key": "k", "custom_host": provider.url, **more}


def _headers(config: dict[str, Any]) -> dict[str, str]:
    return {"x-portkey-config": json.dumps(config)}


def _asked(provider: EmbeddedProvider, count: int = 1) -> Request:
    """The last of `count` requests, once they have reached the provider."""
    _until(lambda: len(provider.requests) >= count)
    return provider.requests[-1]


async def _leave(
    gateway: LocalGateway,
    provider: EmbeddedProvider,
    config: Any,
    *,
    path: str = "/chat/completions",
    **more: Any,
) -> Request:
    """Ask for an answer that does not come whole, and leave while waiting for it."""
    body = {**ASKED, **more}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=SECONDS) as client:
        call = asyncio.create_task(client.post(path, json=body, headers=_headers(config)))
        request = await asyncio.to_thread(_asked, provider)
        # What the gateway has of a body can't be seen from here; it has most likely begun by now.
        await asyncio.sleep(0.1)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
    return request


@pytest.mark.parametrize("fault", [Fault.silence(), Fault.stall()], ids=["before", "amid"])
async def test_leaving_a_plain_call_ends_it_at_the_provider(
    fault: Fault, gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault)
    request = await _leave(gateway, portkey_provider, _target(portkey_provider))
    assert request.wait(SECONDS) == "client_gone"


async def test_leaving_a_body_that_the_gateway_only_passes_on_ends_it_too(
    gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.stall())
    config = _target(portkey_provider)
    request = await _leave(gateway, portkey_provider, config, path="/moderations")
    assert request.path == "/v1/moderations"
    assert request.wait(SECONDS) == "client_gone"


@pytest.mark.parametrize(
    "fault", [Fault.silence(), Fault.slow_first_token(120)], ids=["silent", "headers"]
)
async def test_leaving_a_stream_before_its_first_token_ends_it_at_the_provider(
    fault: Fault, gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(fault)
    request = await _leave(gateway, portkey_provider, _target(portkey_provider), stream=True)
    assert request.stream
    assert request.wait(SECONDS) == "client_gone"


@pytest.mark.parametrize("silent", [False, True], ids=["flowing", "stalled"])
def test_leaving_amid_a_stream_ends_it_at_the_provider(
    silent: bool, gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    if silent:
        portkey_provider.fault(Fault.stall())
    portkey_provider.reply(Reply("one two three") if silent else ENDLESS)
    headers = _headers(_target(portkey_provider))
    url = f"{gateway.url}/chat/completions"
    with (
        httpx.Client(timeout=SECONDS) as client,
        client.stream("POST", url, json={**ASKED, "stream": True}, headers=headers) as answer,
    ):
        assert next(answer.iter_lines()).startswith("data: ")
    assert _asked(portkey_provider).wait(SECONDS) == "client_gone"


@pytest.mark.parametrize(
    "more",
    [
        {"request_timeout": 60_000},
        {"retry": {"attempts": 1, "on_status_codes": [408, 500]}},
        {"retry": {"attempts": 1}, "request_timeout": 60_000},
    ],
    ids=["timeout", "retry", "both"],
)
async def test_a_call_that_was_left_is_not_tried_again(
    more: dict[str, Any], gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), times=None)
    targets = [_target(portkey_provider, **more), _target(portkey_provider)]
    config = {"strategy": {"mode": "fallback"}, "targets": targets}
    request = await _leave(gateway, portkey_provider, config)
    assert request.wait(SECONDS) == "client_gone"
    # A second try would follow a second after the first.
    await asyncio.sleep(1.5 if "retry" in more else 0.2)
    assert len(portkey_provider.calls) == 1


async def test_other_calls_on_the_gateway_go_on(
    gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence(), model="left")
    late, slow = Reply("still here", delay=1.0), Reply("one two three four", token_delay=0.25)
    portkey_provider.when(lambda request: request.model == "stays", late)
    portkey_provider.when(lambda request: request.model == "streams", slow)
    headers = _headers(_target(portkey_provider))

    async with httpx.AsyncClient(timeout=SECONDS) as client:

        def asking(model: str, **more: Any) -> asyncio.Task[httpx.Response]:
            body = {**ASKED, "model": model, **more}
            url = f"{gateway.url}/chat/completions"
            return asyncio.create_task(client.post(url, json=body, headers=headers))

        stays, streams = asking("stays"), asking("streams", stream=True)
        left = asking("left")
        await asyncio.to_thread(_asked, portkey_provider, 3)
        left.cancel()
        answered, streamed = await asyncio.gather(stays, streams)

    assert answered.json()["choices"][0]["message"]["content"] == "still here"
    assert streamed.text.endswith("data: [DONE]\n\n")
    ended = {request.model: request.wait(SECONDS) for request in portkey_provider.calls}
    assert ended == {"left": "client_gone", "stays": "complete", "streams": "complete"}


def test_one_connection_serves_many_calls_and_the_last_may_leave(
    gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    headers = _headers(_target(portkey_provider))
    url = f"{gateway.url}/chat/completions"
    opened: list[Any] = []
    with httpx.Client(timeout=SECONDS, limits=httpx.Limits(max_connections=1)) as client:
        for stream in (False, True, False, True):
            answer = client.post(url, json={**ASKED, "stream": stream}, headers=headers)
            assert answer.status_code == 200
            opened.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
        portkey_provider.reply(ENDLESS)
        with client.stream("POST", url, json={**ASKED, "stream": True}, headers=headers) as left:
            opened.append(left.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(opened)) == 1
    assert _asked(portkey_provider, 5).wait(SECONDS) == "client_gone"
    assert [request.wait(SECONDS) for request in portkey_provider.calls[:4]] == ["complete"] * 4


def test_the_gateways_own_timeout_still_answers_408(
    gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    config = _target(portkey_provider, request_timeout=50)
    url = f"{gateway.url}/chat/completions"
    answer = httpx.post(url, json=ASKED, headers=_headers(config), timeout=SECONDS)
    assert answer.status_code == 408
    assert answer.json()["error"]["type"] == "timeout_error"
    assert _asked(portkey_provider).wait(SECONDS) == "client_gone"


@pytest.fixture
def agent(gateway: LocalGateway, portkey_provider: EmbeddedProvider) -> Agent:
    return Agent(model=PortkeyModel(base_url=gateway.url, config=_target(portkey_provider)))


async def test_a_cancelled_run_ends_at_the_provider(
    agent: Agent, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.silence())
    run = asyncio.create_task(agent.arun("Hi"))
    request = await asyncio.to_thread(_asked, portkey_provider)
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    assert await asyncio.to_thread(request.wait, SECONDS) == "client_gone"


async def test_a_cancelled_stream_ends_at_the_provider(
    agent: Agent, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(ENDLESS)
    shown = asyncio.Event()

    async def consume(events: AsyncIterator[Any]) -> None:
        async for event in events:
            if getattr(event, "content", None):
                shown.set()

    run = asyncio.create_task(consume(agent.arun("Hi", stream=True)))
    await asyncio.wait_for(shown.wait(), SECONDS)
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    assert await asyncio.to_thread(_asked(portkey_provider).wait, SECONDS) == "client_gone"


def test_a_stream_that_is_closed_ends_at_the_provider(
    agent: Agent, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(ENDLESS)
    events = agent.run("Hi", stream=True)
    next(event for event in events if getattr(event, "content", None))
    events.close()  # type: ignore[attr-defined]  # a generator, declared as an iterator
    assert _asked(portkey_provider).wait(SECONDS) == "client_gone"
