"""The two drivers: what they refuse, what they close, and in which order layers compose."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.models.message import Message
from agno.models.response import ModelResponse
from four_forms import STREAMED
from hypothesis import given
from hypothesis import strategies as st

import agno_portkey
from agno_portkey.calls import IO, Call, Deltas, Layer, Next, Opens
from agno_portkey.drivers import AsyncIO, Owned, SyncIO, drive, step
from agno_portkey.model import PortkeyModel
from agno_portkey.pipeline import compose, merge
from agno_portkey.testing import EmbeddedProvider, Fault, Reply, Request
from agno_portkey.workers import Job

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CALL = Call([Message(role="user", content="Hi")], Message(role="assistant"))


# step


async def _returns(value: int) -> int:
    return value


def test_a_coroutine_that_never_waits_is_stepped_to_its_end() -> None:
    assert step(_returns(7)) == 7


def test_a_coroutine_that_waits_is_refused_and_closed() -> None:
    closed: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="must wait through io"):
        step(waits())
    assert closed == [True]


def test_a_coroutine_that_holds_on_to_its_wait_is_refused_all_the_same() -> None:
    async def waits() -> int:
        while True:
            with contextlib.suppress(RuntimeError):
                await asyncio.sleep(0)
                return 1

    async def forgives() -> int:
        with contextlib.suppress(RuntimeError):
            await asyncio.sleep(0)
        return 1

    for stubborn in (waits(), forgives()):
        with pytest.raises(RuntimeError, match="must wait through io"):
            step(stubborn)


def test_what_a_coroutine_raises_comes_through() -> None:
    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        step(fails())


# drive


class Source:
    """A generator of numbers that remembers whether it was closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.closed = 0

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                yield number
        finally:
            self.closed += 1


@given(count=st.integers(0, 8), taken=st.integers(0, 8))
def test_a_generator_is_closed_once_however_far_it_was_read(count: int, taken: int) -> None:
    source = Source(count)
    held = source()  # or the garbage collector would close it
    driven = drive(held)
    seen = [number for _, number in zip(range(taken), driven, strict=False)]
    driven.close()  # type: ignore[attr-defined]
    assert seen == list(range(min(count, taken)))
    # One that was never begun has nothing to close.
    assert source.closed == (1 if taken else 0)


def test_a_generator_that_is_abandoned_is_closed() -> None:
    source = Source(3)
    driven = drive(source())
    assert next(driven) == 0
    del driven
    gc.collect()
    assert source.closed == 1


def test_a_layer_that_really_waits_is_refused_in_a_sync_call() -> None:
    async def waits() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    driven = drive(waits())
    assert next(driven) == 1
    with pytest.raises(RuntimeError, match="must wait through io"):
        next(driven)


# compose


def _layer(name: str, log: list[str]) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        log.append(f"{name} in")
        try:
            async with inner(call) as out:
                async for delta in out:
                    delta.content = f"{name}({delta.content})"
                    yield delta
        finally:
            log.append(f"{name} out")

    return layer


def _source(count: int, log: list[str]) -> Opens:
    async def source(call: Call) -> Deltas:
        try:
            for number in range(count):
                yield ModelResponse(content=str(number))
        finally:
            log.append("source out")

    return source


NAMES = st.lists(st.sampled_from("abcdef"), max_size=6)


def _expected(names: list[str], number: int) -> str:
    text = str(number)
    for name in reversed(names):
        text = f"{name}({text})"
    return text


@given(names=NAMES, count=st.integers(0, 4))
def test_layers_compose_from_outer_to_inner_in_both_drivers(names: list[str], count: int) -> None:
    texts: list[Any] = []
    for io in (SyncIO(), AsyncIO()):
        log: list[str] = []
        composed = compose([_layer(name, log) for name in names], io, _source(count, log))
        texts = [delta.content for delta in _read(composed, io)]
        assert texts == [_expected(names, number) for number in range(count)]
        entered = [entry.split()[0] for entry in log if entry.endswith(" in")]
        left = [entry.split()[0] for entry in log if entry.endswith(" out")]
        assert entered == names
        assert left == ["source", *reversed(names)]


def _read(composed: Next, io: IO) -> list[ModelResponse]:
    async def read() -> list[ModelResponse]:
        return [delta async for delta in composed(CALL)]

    return list(drive(composed(CALL))) if isinstance(io, SyncIO) else asyncio.run(read())


@given(names=NAMES.filter(bool))
def test_every_layer_is_left_when_a_sync_reader_stops_early(names: list[str]) -> None:
    log: list[str] = []
    composed = compose([_layer(name, log) for name in names], SyncIO(), _source(3, log))
    driven: Any = drive(composed(CALL))
    next(driven)
    driven.close()
    _all_left(names, log)


@given(names=NAMES.filter(bool))
def test_every_layer_is_left_when_an_async_reader_stops_early(names: list[str]) -> None:
    log: list[str] = []
    composed = compose([_layer(name, log) for name in names], AsyncIO(), _source(3, log))

    async def stop_early() -> None:
        deltas: Any = composed(CALL)
        await anext(deltas)
        await deltas.aclose()
        _all_left(names, log)  # by now, and not when the loop ends

    asyncio.run(stop_early())


@given(names=NAMES)
def test_a_loop_that_ends_closes_what_was_abandoned_and_each_layer_once(names: list[str]) -> None:
    log: list[str] = []
    errors: list[Any] = []
    held: list[Any] = []

    async def slow_to_close(call: Call) -> Deltas:
        try:
            yield ModelResponse(content="0")
        finally:
            await asyncio.sleep(0)
            log.append("source out")

    async def abandon() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: errors.append(what))
        layers = [_layer(name, log) for name in names]
        held.append(_read_on(compose(layers, AsyncIO(), slow_to_close)(CALL)))
        await anext(held[0])

    asyncio.run(abandon())
    assert errors == []
    _all_left(names, log)


async def _read_on(owned: Owned[ModelResponse]) -> AsyncIterator[ModelResponse]:
    """What a model's stream does: the one generator that the loop knows of."""
    async with owned as out:
        async for delta in out:
            yield delta


def _all_left(names: list[str], log: list[str]) -> None:
    entered, left = [f"{name} in" for name in names], [f"{name} out" for name in names]
    assert sorted(log) == sorted([*entered, *left, "source out"])


@given(names=NAMES, at=st.integers(0, 6))
def test_a_layer_that_raises_is_seen_by_all_outside_of_it(names: list[str], at: int) -> None:
    seen: list[str] = []

    def watches(name: str) -> Layer:
        async def layer(call: Call, io: IO, inner: Next) -> Deltas:
            try:
                async with inner(call) as out:
                    async for delta in out:
                        yield delta
            except LookupError:
                seen.append(name)
                raise

        return layer

    async def raises(call: Call, io: IO, inner: Next) -> Deltas:
        async with inner(call) as out:
            async for delta in out:
                if delta.content:
                    raise LookupError("no")
                yield delta

    layers = [watches(name) for name in names]
    layers.insert(min(at, len(names)), raises)
    composed = compose(layers, SyncIO(), _source(1, []))
    with pytest.raises(LookupError):
        list(drive(composed(CALL)))
    assert seen == list(reversed(names[:at]))


def test_every_layer_closes_what_it_opens() -> None:
    """By `async with inner(call)`, or by handing it on as it is."""
    found = {}
    for file in Path(agno_portkey.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        layers = [node for node in ast.walk(tree) if _is_layer(node)]
        opened = [call for layer in layers for call in ast.walk(layer) if _opens(call)]
        owned = {
            id(item.context_expr)
            for node in ast.walk(tree)
            if isinstance(node, ast.AsyncWith)
            for item in node.items
        }
        handed_on = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Return)}
        lost = [call.lineno for call in opened if id(call) not in owned | handed_on]
        assert not lost, f"{file}: {lost}"
        if opened:
            found[file.stem] = len(opened)
    assert found.keys() == {"brake", "interlock", "jury", "layer", "limits", "spans"}


def _is_layer(node: ast.AST) -> bool:
    named = [a.arg for a in node.args.args] if isinstance(node, _FUNCTIONS) else []
    return "inner" in named and "call" in named


def _opens(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "inner"


# merge


@given(parts=st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=6))
def test_merging_joins_the_texts(parts: list[str | None]) -> None:
    merged = merge(ModelResponse(content=part) for part in parts)
    said = [part for part in parts if part is not None]
    assert (merged.content or "") == "".join(said)
    assert (merged.content is None) == (not said)


# io


def test_jobs_are_run_in_the_form_that_fits_the_call() -> None:
    called: list[str] = []

    async def waits() -> None:
        await asyncio.sleep(0)
        called.append("async")

    job = Job(lambda: called.append("sync"), 5.0, waits)
    step(SyncIO().race([job], lambda place, outcome: False))
    asyncio.run(AsyncIO().race([job], lambda place, outcome: False))
    assert called == ["sync", "async"]


# A reader that stops early, up to the wire. The provider is asked directly: the gateway would
# go on reading for a client that has left.


@pytest.mark.parametrize("form", STREAMED)
def test_a_reader_that_stops_ends_the_request_upstream(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply("one two three"))
    portkey_provider.fault(Fault.stall())
    model = PortkeyModel(base_url=portkey_provider.url)
    messages = [Message(role="user", content="Hi")]

    async def read() -> None:
        stream: Any = model.ainvoke_stream(messages, _assistant())
        await anext(stream)
        await stream.aclose()
        await _gone()

    async def _gone() -> None:
        ended = await asyncio.to_thread(portkey_provider.requests[0].wait)
        assert ended == "client_gone"

    if form == "astream":
        asyncio.run(read())
        return
    stream: Any = model.invoke_stream(messages, _assistant())
    next(stream)
    stream.close()
    assert portkey_provider.requests[0].wait() == "client_gone"


@pytest.mark.parametrize("form", STREAMED)
def test_an_agent_that_is_left_early_ends_the_request_upstream(
    form: str, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(Reply("one two three"))
    portkey_provider.fault(Fault.stall())
    agent = Agent(model=PortkeyModel(base_url=portkey_provider.url))

    async def read() -> None:
        stream: Any = agent.arun("Hi", stream=True)
        await anext(stream)
        await stream.aclose()
        del stream
        gc.collect()
        ended = await asyncio.to_thread(portkey_provider.requests[0].wait)
        assert ended == "client_gone"

    if form == "astream":
        asyncio.run(read())
        return
    stream: Any = agent.run("Hi", stream=True)
    next(stream)
    stream.close()
    del stream
    gc.collect()
    assert portkey_provider.requests[0].wait() == "client_gone"


def test_a_call_that_is_cancelled_ends_the_request_upstream(
    portkey_provider: EmbeddedProvider,
) -> None:
    asked = threading.Event()

    def never(request: Request) -> Reply:
        asked.set()
        return Reply("too late", delay=60)

    portkey_provider.reply(never)
    agent = Agent(model=PortkeyModel(base_url=portkey_provider.url))

    async def cancel() -> None:
        call = asyncio.ensure_future(agent.arun("Hi"))
        await asyncio.to_thread(asked.wait)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        ended = await asyncio.to_thread(portkey_provider.requests[0].wait)
        assert ended == "client_gone"

    asyncio.run(cancel())


def _assistant() -> Message:
    from agno.metrics import MessageMetrics

    return Message(role="assistant", metrics=MessageMetrics())
