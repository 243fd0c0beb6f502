"""The stream of each run as AgentOS keeps it, overheard: which runs are in it, and on which loop.

What a hook is about to look at is taken out of it: no guard has said yet that it may be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from agno.os.event_streams import BaseEventStream
from agno.run.base import RunStatus

from agno_portkey.latest import Latest

__all__ = ["Overheard", "Place"]

# The run in whose stream another is told of, and the loop on which that is written.
Place = tuple[str, asyncio.AbstractEventLoop]


class Overheard(BaseEventStream):
    """`inner`, of which is known whose events come through.

    Every event says of which run it is: a member's run is known from its first event on. `before`
    holds, for a loop, what is awaited there before each event and before the end.
    """

    def __init__(self, inner: BaseEventStream) -> None:
        self.inner = inner
        self.before: dict[asyncio.AbstractEventLoop, Callable[[], Awaitable[None]]] = {}
        self._places: Latest[Place] = Latest()
        # The runs whose streams have not ended. Each is written by one at a time: numbers that are
        # taken in one order and written in another are passed over by who reads.
        self._open: Latest[asyncio.Lock] = Latest()

    def place_of(self, run_id: str | None) -> Place | None:
        """Where events of `run_id` are to be told; None for a run that no open stream knows."""
        place = self._places.of(run_id)
        return place if place is not None and self.is_open(place[0]) else None

    def is_open(self, run_id: str) -> bool:
        return self._open.of(run_id) is not None

    async def add_event(self, run_id: str, event: Any, generation: int | None = None) -> int:
        self._note(run_id, run_id)
        self._note(getattr(event, "run_id", None), run_id)
        if getattr(event, "run_input", None) is not None:
            # As the caller has said it: a hook may block or rewrite it.
            event.run_input = None
        await self._first()
        async with self._lock_of(run_id):
            return await self.inner.add_event(run_id, event, generation)

    async def add_beside(self, run_id: str, event: Any) -> None:
        """The same of an event that is not the run's own; dropped where its stream has ended."""
        async with self._lock_of(run_id):
            if self.is_open(run_id):
                await self.inner.add_event(run_id, event)

    async def complete_run(
        self, run_id: str, status: RunStatus, generation: int | None = None
    ) -> None:
        # What comes behind the end nobody reads.
        await self._first()
        async with self._lock_of(run_id):
            self._open.take(run_id)
            await self.inner.complete_run(run_id, status, generation)

    async def register_run(self, run_id: str, status: RunStatus = RunStatus.pending) -> None:
        self._note(run_id, run_id)
        await self.inner.register_run(run_id, status)

    async def reopen_run(
        self, run_id: str, include_error: bool = False, floor: int | None = None
    ) -> bool:
        self._note(run_id, run_id)
        return await self.inner.reopen_run(run_id, include_error, floor)

    async def cleanup_run(self, run_id: str) -> None:
        self._open.take(run_id)
        await self.inner.cleanup_run(run_id)

    async def set_run_status(
        self, run_id: str, status: RunStatus, generation: int | None = None
    ) -> None:
        await self.inner.set_run_status(run_id, status, generation)

    async def get_run_status(self, run_id: str) -> RunStatus | None:
        return await self.inner.get_run_status(run_id)

    async def reset_run_events(self, run_id: str, generation: int | None = None) -> None:
        await self.inner.reset_run_events(run_id, generation)

    async def begin_attempt(self, run_id: str, generation: int) -> None:
        await self.inner.begin_attempt(run_id, generation)

    async def replay(
        self, run_id: str, last_event_index: int | None = None
    ) -> list[tuple[int, Any]]:
        return await self.inner.replay(run_id, last_event_index)

    async def get_last_index(self, run_id: str) -> int:
        return await self.inner.get_last_index(run_id)

    async def get_event_count(self, run_id: str) -> int:
        return await self.inner.get_event_count(run_id)

    def tail(
        self, run_id: str, last_event_index: int | None = None
    ) -> AsyncIterator[tuple[int, str]]:
        return self.inner.tail(run_id, last_event_index)

    def _note(self, run_id: str | None, stream: str) -> None:
        if not run_id:
            return
        if self._places.of(run_id) is None:
            self._places.note(run_id, (stream, asyncio.get_running_loop()))
        if run_id == stream and self._open.of(run_id) is None:
            self._open.note(run_id, asyncio.Lock())

    def _lock_of(self, run_id: str) -> asyncio.Lock:
        return self._open.of(run_id) or asyncio.Lock()

    async def _first(self) -> None:
        before = self.before.get(asyncio.get_running_loop())
        if before is not None:
            await before()
