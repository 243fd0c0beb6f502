"""The two drivers of the layers: one steps them by hand, one awaits them."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Sequence,
)
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Self, TypeVar, cast

from agno.exceptions import RunCancelledException
from agno.run.cancel import ais_cancelled

from agno_portkey.workers import Job, arace, race

__all__ = ["AsyncIO", "Owned", "Stoppable", "SyncIO", "beside_loop", "drive", "step"]

T = TypeVar("T")

_END: Any = object()
# Seconds between two looks whether a run was cancelled.
_LOOKS = 0.25


class SyncIO:
    """Blocking io; nothing here suspends, so that the sync driver can step over it."""

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        return model.get_client().chat.completions.create(**params)

    async def embed(self, model: Any, params: dict[str, Any]) -> Any:
        return model.get_client().embeddings.with_raw_response.create(**params).content

    async def iterate(self, model: Any, stream: Any, patience: Any) -> AsyncIterator[Any]:
        chunks = iter(stream)
        with model.watchdog.over(stream.response, patience):
            while True:
                with patience:
                    chunk = next(chunks, _END)
                if chunk is _END:
                    return
                yield chunk

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what a sync call does

    async def read(self, stream: Any) -> bytes:
        body: bytes = stream.response.read()
        return body

    async def run(
        self, function: Callable[[], Any], *, undo: Callable[[Any], Any] | None = None
    ) -> Any:
        return function()

    def later(self, function: Callable[..., Any], /, *args: Any) -> None:
        function(*args)

    async def close(self, stream: Any) -> None:
        stream.close()

    async def race(self, jobs: Sequence[Job], ends: Callable[[int, Any], bool]) -> list[Any]:
        return race(jobs, ends)


class AsyncIO:
    """io for calls on an event loop."""

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        return await model.get_async_client().chat.completions.create(**params)

    async def embed(self, model: Any, params: dict[str, Any]) -> Any:
        # An object for each vector would take longer than all else.
        given = await model.get_async_client().embeddings.with_raw_response.create(**params)
        return given.content

    async def iterate(self, model: Any, stream: Any, patience: Any) -> AsyncIterator[Any]:
        chunks = aiter(stream)
        with model.watchdog.over(stream.response, patience):
            while True:
                with patience:
                    chunk = await anext(chunks, _END)
                if chunk is _END:
                    return
                yield chunk

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def read(self, stream: Any) -> bytes:
        body: bytes = await stream.response.aread()
        return body

    async def run(
        self, function: Callable[[], Any], *, undo: Callable[[Any], Any] | None = None
    ) -> Any:
        # Whoever is told of there, a trace among them, knows whose call it is.
        within = contextvars.copy_context()
        asked = asyncio.get_running_loop().run_in_executor(None, within.run, function)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            if undo is not None:
                asked.add_done_callback(lambda done: done.exception() or undo(done.result()))
            raise

    def later(self, function: Callable[..., Any], /, *args: Any) -> None:
        # Also where the loop is ending: what is taken back must not be forgotten.
        beside_loop(partial(contextvars.copy_context().run, function, *args))

    async def close(self, stream: Any) -> None:
        await stream.close()

    async def race(self, jobs: Sequence[Job], ends: Callable[[int, Any], bool]) -> list[Any]:
        return await arace(jobs, ends)


def beside_loop(function: Callable[[], object]) -> None:
    """Call what blocks: here, or beside the event loop that runs here.

    It raises nothing; a loop that ends waits for it.
    """
    try:
        asyncio.get_running_loop().run_in_executor(None, function)
    except RuntimeError:
        # There is no loop, or it takes nothing more.
        function()


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends; one that does is ended there and reported."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    refused = RuntimeError("a layer awaited real I/O in a sync call: it must wait through io")
    # Thrown in rather than closed: an async generator below would be left as running.
    with suppress(StopIteration):
        coroutine.throw(refused)
    coroutine.close()
    raise refused


class Owned(Generic[T]):
    """An async generator that its maker closes, in `async with` or by `aclose`, and nobody else.

    An event loop that ends closes all the generators it knows of at once, and one that is closed
    from two sides fails: so the loop is not told of this one.
    """

    def __init__(self, generator: AsyncIterator[T]) -> None:
        self._generator = cast("AsyncGenerator[T, None]", generator)
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        if self._begun:
            return self._generator.__anext__()
        self._begun = True
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._generator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def aclose(self) -> None:
        if self._begun:
            await self._generator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class Stoppable:
    """Ends what is awaited in its `with` blocks once the run of that id is cancelled.

    The host looks for that between what it is given to show, and that may be nothing for long: of
    an answer that is held, or asked for whole. What is awaited is cancelled, and
    RunCancelledException raised in its place.
    """

    def __init__(self, run_id: str | None) -> None:
        self._run_id = run_id
        self._loop = asyncio.get_running_loop()
        self._looked = self._loop.time()
        self._later: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopped = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if self._run_id is None or task is None:
            return
        self._task, self._before = task, task.cancelling()
        # Most pieces of a stream come before that: a task for each would cost more than they do.
        self._later = self._loop.call_at(self._looked + _LOOKS, self._look)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if not self._stopped or self._task.uncancel() > self._before:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            raise RunCancelledException(f"Run {self._run_id} was cancelled")

    def _look(self) -> None:
        self._looking = self._loop.create_task(self._watch(str(self._run_id)))

    async def _watch(self, run_id: str) -> None:
        while True:
            self._looked = self._loop.time()
            # Whoever keeps it may be out of reach: the run goes on, as the host has it.
            with suppress(Exception):
                if await ais_cancelled(run_id):
                    self._stopped = True
                    self._task.cancel()
                    return
            await asyncio.sleep(_LOOKS)


def drive(deltas: AsyncIterator[T]) -> Iterator[T]:
    """Iterate an async generator of layers without an event loop, and close it at the end."""
    owned = deltas if isinstance(deltas, Owned) else Owned(deltas)
    try:
        while True:
            try:
                yield step(_next(owned))
            except StopAsyncIteration:
                return
    finally:
        step(owned.aclose())


async def _next(deltas: Owned[T]) -> T:
    return await anext(deltas)
