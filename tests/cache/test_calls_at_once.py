"""Those who ask the same at once make one call; nobody waits for what fails or is left."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agno.agent import Agent
from cache_entries import until
from cached_agents import Counting

from agno_portkey import govern
from agno_portkey.cache import CacheFigures
from agno_portkey.testing import EmbeddedProvider, Fault, Reply


def test_a_hundred_at_once_make_one_call_each_with_its_own_guards(
    model: Any, portkey_provider: EmbeddedProvider, figures: CacheFigures
) -> None:
    begun = threading.Event()

    def slow(request: Any) -> str:
        begun.wait(10)
        return "All is well"

    portkey_provider.when(lambda request: True, slow)
    guards = [Counting() for _ in range(100)]
    shared = model()

    async def asks(one: Counting) -> Any:
        twin = govern(Agent(model=shared), guards=[one])
        return await twin.arun("Hi", user_id="ann")

    async def every() -> list[Any]:
        asked = [asyncio.create_task(asks(one)) for one in guards]
        while not portkey_provider.calls:  # noqa: ASYNC110 - it is on another thread
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, begun.set)
        return await asyncio.gather(*asked)

    outputs = asyncio.run(every())
    assert {output.content for output in outputs} == {"All is well"}
    assert len(portkey_provider.calls) == 1
    assert all(one.seen == ["All is well"] for one in guards)


def test_threads_share_a_call_too(model: Any, portkey_provider: EmbeddedProvider) -> None:
    begun = threading.Event()
    portkey_provider.when(lambda request: True, lambda request: begun.wait(10) and "Well")
    agent = Agent(model=model())
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(20)]
        until(lambda: portkey_provider.calls)
        begun.set()
        assert {each.result().content for each in asked} == {"Well"}
    assert len(portkey_provider.calls) == 1


def test_what_must_not_be_kept_is_not_shared_either(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    begun = threading.Event()

    def answer(request: Any) -> str:
        begun.wait(10)
        return "write to ann.jones@example.com"

    portkey_provider.when(lambda request: True, answer)
    agent = Agent(model=model())
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(3)]
        until(lambda: portkey_provider.calls)
        begun.set()
        for each in asked:
            assert "ann.jones" in each.result().content
    assert len(portkey_provider.calls) == 3


def test_who_waits_for_a_call_that_fails_asks_by_itself(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    from agno_portkey.routing.recovery.settings import Recovery

    first = threading.Event()

    def answer(request: Any) -> Any:
        if len(portkey_provider.calls) == 1:
            first.wait(10)
            return Fault.status(400)
        return "Well"

    portkey_provider.when(lambda request: True, answer)
    agent = Agent(model=model(recovery=Recovery(attempts=1)))
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(agent.run, "Hi", user_id="ann") for _ in range(5)]
        until(lambda: portkey_provider.calls)
        first.set()
        contents = [each.result().content for each in asked]
    assert contents.count("Well") == 4


def test_who_asks_again_while_it_reads_its_stream_does_not_wait_for_itself(
    model: Any, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    agent = Agent(model=model())
    answers = []
    for event in agent.run("Hi", user_id="ann", stream=True, stream_events=True):
        if event.event == "RunContent" and not answers:
            answers.append(agent.run("Hi", user_id="ann").content)
    assert answers == ["All is well"]


def test_a_stream_that_is_left_is_not_kept(model: Any, portkey_provider: EmbeddedProvider) -> None:
    portkey_provider.when(lambda request: True, Reply("All is well", chunk_size=2))
    agent = Agent(model=model())
    stream = agent.run("Hi", user_id="ann", stream=True)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert agent.run("Hi", user_id="ann").content == "All is well"
    assert len(portkey_provider.calls) == 2
