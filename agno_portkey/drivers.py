"""The two drivers of the layers: one steps them by hand, one awaits them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from agno.guardrails import BaseGuardrail
from agno.run.agent import RunInput

__all__ = ["AsyncIO", "SyncIO", "drive", "step"]

T = TypeVar("T")


class SyncIO:
    """Blocking io; nothing here suspends, so that the sync driver can step over it."""

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        return model.get_client().chat.completions.create(**params)

    async def iterate(self, stream: Any) -> AsyncIterator[Any]:
        for chunk in stream:
            yield chunk

    async def close(self, stream: Any) -> None:
        stream.close()

    async def check(self, guard: BaseGuardrail, run_input: RunInput) -> None:
        result: Any = guard.check(run_input)  # type: ignore[func-returns-value]
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(f"{type(guard).__name__}.check is async, and this call is not")


class AsyncIO:
    """io for calls on an event loop."""

    async def create(self, model: Any, params: dict[str, Any]) -> Any:
        return await model.get_async_client().chat.completions.create(**params)

    async def iterate(self, stream: Any) -> AsyncIterator[Any]:
        async for chunk in stream:
            yield chunk

    async def close(self, stream: Any) -> None:
        await stream.close()

    async def check(self, guard: BaseGuardrail, run_input: RunInput) -> None:
        result: Any = guard.async_check(run_input)
        if inspect.isawaitable(result):
            await result


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends; one that does is closed and reported."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a layer awaited real I/O in a sync call: it must wait through io")


def drive(deltas: AsyncIterator[T]) -> Iterator[T]:
    """Iterate an async generator of layers without an event loop, and close it at the end."""
    try:
        while True:
            try:
                yield step(_next(deltas))
            except StopAsyncIteration:
                return
    finally:
        if isinstance(deltas, AsyncGenerator):
            step(_close(deltas))


async def _next(deltas: AsyncIterator[T]) -> T:
    return await anext(deltas)


async def _close(deltas: AsyncGenerator[Any, None]) -> None:
    await deltas.aclose()
