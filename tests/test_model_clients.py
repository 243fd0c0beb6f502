"""The clients of `PortkeyModel`: which calls share one, and when each is closed."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from agno.agent import Agent
from four_forms import FORMS, ask, play

from agno_portkey.errors import UpstreamFailed
from agno_portkey.model import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider, Fault, Request

# Clients


@pytest.mark.parametrize("form", FORMS)
def test_a_failing_call_is_made_as_often_as_recovery_says_and_no_layer_multiplies_it(
    form: str, portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503), times=None)
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url,
        recovery=Recovery(attempts=3, wait=0.01),
    )
    with pytest.raises(UpstreamFailed):
        ask(model, form)
    assert len(portkey_provider.calls) == 3
    play(Agent(model=model), form)
    # The circuit opens after five failures in a row.
    assert len(portkey_provider.calls) == 5


@pytest.mark.parametrize("name", ["retries", "max_retries"])
def test_the_retries_of_other_layers_are_taken_over(
    name: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.fault(Fault.status(503, retry_after=0), times=1)
    model = PortkeyModel(base_url=portkey_provider.url, **{name: 1})
    assert (model.recovery, model.retries, model.max_retries) == (Recovery(attempts=2), 0, None)
    ask(model, "run")
    assert len(portkey_provider.calls) == 2


def test_one_model_works_on_one_event_loop_after_the_other(
    portkey_provider: EmbeddedProvider, portkey_model: PortkeyModel
) -> None:
    agent = Agent(model=portkey_model)
    loops: list[weakref.ref[Any]] = []

    async def ask_twice() -> list[Any]:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        return [(await agent.arun("Hi")).content, (await agent.arun("Ho")).content]

    for _ in range(3):
        assert asyncio.run(ask_twice()) == ["You said: Hi", "You said: Ho"]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3, "a client keeps its dead loop alive"


def test_loops_that_run_at_the_same_time_have_clients_of_their_own(
    portkey_provider: EmbeddedProvider,
) -> None:
    import threading

    agent = Agent(model=PortkeyModel(base_url=portkey_provider.url))
    both = threading.Barrier(2)

    async def talk() -> list[Any]:
        said = [(await agent.arun("Hi")).content]
        await asyncio.to_thread(both.wait)
        said.append((await agent.arun("Ho")).content)
        await asyncio.to_thread(both.wait)
        return said

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: asyncio.run(talk()), range(2)))
    assert answers == [["You said: Hi", "You said: Ho"]] * 2


def test_nothing_is_left_open_at_the_end_of_a_process(portkey_provider: EmbeddedProvider) -> None:
    script = """
        import asyncio, os, sys
        os.environ["AGNO_TELEMETRY"] = "false"
        from agno.agent import Agent
        from agno.guardrails import PIIDetectionGuardrail
        from agno_portkey import PortkeyModel

        guards = [PIIDetectionGuardrail()]
        agent = Agent(model=PortkeyModel(base_url=sys.argv[1], guards=guards))

        async def stream():
            return [event async for event in agent.arun("Hi", stream=True)]

        async def leave():
            async for event in agent.arun("Hi", stream=True):
                break

        agent.run("Hi")
        list(agent.run("Hi", stream=True))
        for _ in range(5):
            asyncio.run(stream())
            asyncio.run(leave())
        print(asyncio.run(agent.arun("Hi")).content)
    """
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c",
         textwrap.dedent(script), portkey_provider.url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout.strip() == "You said: Hi"
    assert "ResourceWarning" not in ended.stderr
    assert "unclosed" not in ended.stderr
    assert "Traceback" not in ended.stderr


def _own_words(requests: list[Request]) -> list[tuple[str, str]]:
    """What each request's headers and its message say of who sent it."""
    return [
        (json.loads(request.headers["x-portkey-metadata"])["role"], request.last_user)
        for request in requests
    ]


def test_one_model_shared_by_many_agents_at_once_mixes_nothing_up(
    portkey_provider: EmbeddedProvider,
) -> None:
    model = PortkeyModel(base_url=portkey_provider.url)
    together = asyncio.Barrier(20)

    async def one(number: int) -> Any:
        agent = Agent(model=model, name=f"agent-{number}")
        await together.wait()
        run = await agent.arun(f"agent-{number}", session_id=f"session-{number}")
        return run.content, (run.model_provider_data or {})["portkey"], run.run_id

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    answers = asyncio.run(all_at_once())
    assert [content for content, _, _ in answers] == [f"You said: agent-{n}" for n in range(20)]
    assert sorted(_own_words(portkey_provider.calls)) == sorted(
        (f"agent-{n}", f"agent-{n}") for n in range(20)
    )
    for request in portkey_provider.calls:
        tags = json.loads(request.headers["x-portkey-metadata"])
        assert tags["session"] == tags["role"].replace("agent", "session")


def test_what_the_gateway_answered_reaches_the_run_that_asked(
    portkey_gateway: LocalGateway, portkey_provider: EmbeddedProvider
) -> None:
    model = PortkeyModel(
        base_url=portkey_gateway.url,
        portkey_provider="openai",
        api_key="k",
        custom_host=portkey_provider.url,
    )

    async def one(number: int) -> tuple[str, str]:
        run = await Agent(model=model).arun(f"{number}")
        trace = (run.model_provider_data or {})["portkey"]["trace_id"]
        return trace, str(run.run_id).replace("-", "")

    async def all_at_once() -> list[tuple[str, str]]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    for trace, run_id in asyncio.run(all_at_once()):
        assert trace == run_id


def test_one_model_shared_by_threads_mixes_nothing_up(portkey_provider: EmbeddedProvider) -> None:
    model = PortkeyModel(base_url=portkey_provider.url)

    def one(number: int) -> list[str]:
        agent = Agent(model=model, name=f"agent-{number}")
        return [str(agent.run(f"agent-{number}").content) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert answers == [[f"You said: agent-{n}"] * 5 for n in range(8)]
    assert all(role == said for role, said in _own_words(portkey_provider.calls))
    assert len(portkey_provider.calls) == 40


def test_threads_that_begin_together_share_one_client(portkey_provider: EmbeddedProvider) -> None:
    import threading

    model = PortkeyModel(base_url=portkey_provider.url)
    start = threading.Barrier(8)

    def one(_: int) -> int:
        start.wait()
        return id(model.get_client())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(8)))) == 1


def test_a_copy_with_other_settings_has_a_client_of_its_own(
    portkey_provider: EmbeddedProvider,
) -> None:
    from copy import copy

    model = PortkeyModel(base_url=portkey_provider.url)
    ask(model, "run")
    other = copy(model)
    other.default_headers = {"x-team": "other"}
    ask(other, "run")
    ask(model, "run")
    teams = [request.headers.get("x-team") for request in portkey_provider.calls]
    assert teams == [None, "other", None]


@pytest.mark.parametrize("form", ["run", "stream"])
def test_a_http_client_of_ones_own_is_used_and_never_closed(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    with httpx.Client(headers={"x-own-client": "yes"}) as own:
        model = PortkeyModel(base_url=portkey_provider.url, http_client=own)
        ask(model, form)
        assert portkey_provider.calls[-1].headers["x-own-client"] == "yes"
        del model
        gc.collect()
        assert not own.is_closed


def test_an_async_http_client_of_ones_own_is_used_and_never_closed(
    portkey_provider: EmbeddedProvider,
) -> None:
    async def run() -> bool:
        async with httpx.AsyncClient(headers={"x-own-client": "yes"}) as own:
            model = PortkeyModel(base_url=portkey_provider.url, http_client=own)
            await Agent(model=model).arun("Hi")
            del model
            await asyncio.get_running_loop().shutdown_asyncgens()
            return own.is_closed

    assert asyncio.run(run()) is False
    assert portkey_provider.calls[-1].headers["x-own-client"] == "yes"


# Agno's own cleanup is not ours to break


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the clients that are closed; what other tests left behind is among them."""
    before = openai.OpenAI.close
    closed: list[int] = []

    def close(self: openai.OpenAI) -> None:
        closed.append(id(self))
        before(self)

    monkeypatch.setattr(openai.OpenAI, "close", close)
    return closed


def test_clients_are_closed_with_the_last_copy_of_their_model(
    portkey_provider: EmbeddedProvider, closed: list[int]
) -> None:
    from copy import copy

    model = PortkeyModel(base_url=portkey_provider.url)
    twin = copy(model)
    ask(model, "run")
    client = id(model.get_client())
    gc.collect()
    closed.clear()
    del model
    gc.collect()
    assert client not in closed
    ask(twin, "run")
    del twin
    gc.collect()
    assert closed.count(client) == 1
