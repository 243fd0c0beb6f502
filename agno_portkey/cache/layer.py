"""The layers that answer a call from a cache, and that keep an answer once it is accepted."""

from __future__ import annotations

import inspect
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agno.models.response import ModelResponse

from agno_portkey.cache.answers import Cache, Near
from agno_portkey.cache.asked import Asked, NotAsked
from agno_portkey.cache.entry import Entry
from agno_portkey.cache.flights import Flight, wait_for
from agno_portkey.cache.payload import Collected, NotKept, replayed
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.cache.screening import Finds, found_in, texts_in
from agno_portkey.cache.verifying import Comparison, same_answers
from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.drivers import Owned
from agno_portkey.modes import Mode
from agno_portkey.workers import Failed, Job

__all__ = ["Caching", "cache_layer", "keep_layer"]

# Seconds that somebody else's call for the same is waited for, and a verifier.
_PATIENCE = 60.0
_VERIFYING = 30.0
# What comes of reading an answer that was never packed here.
_NO_ANSWER = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

Tells = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Caching:
    """How one call is cached: where, by which policy, and who hears of it."""

    cache: Cache
    policy: CachePolicy
    mode: Mode
    ask: Callable[[Call, str], Asked]
    tell: Tells
    finders: Sequence[tuple[str, Finds]] = ()
    # What lets go of what the call holds for others, once it is over.
    leaves: list[Callable[[], None]] = field(default_factory=list)
    # Why the store could not be used for the call.
    troubles: list[str] = field(default_factory=list)

    def hears(self, why: str) -> None:
        self.troubles.append(why)


@dataclass(slots=True)
class Pending:
    """What came of one request, to be kept if all layers round it take it.

    `at` is when it was made, by the cache's clock.
    """

    asked: Asked
    at: float
    near: Near | None = None
    packed: str = ""
    texts: list[str] = field(default_factory=list)
    why_not: str = ""
    text: str = ""
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    served: bool = False


def cache_layer(caching: Caching) -> Layer:
    """The layer that serves what is kept, and has everything else asked once."""

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        try:
            asked = await io.run(partial(_asked, caching, call))
        except NotAsked as why:
            caching.tell({"outcome": "bypass", "reason": str(why)})
            async with inner(call) as out:
                async for delta in out:
                    yield delta
            return
        looking = _Looking(caching, call, io, asked)
        served = await looking.up()
        if served is not None:
            for delta in served:
                yield delta
            return
        async with Owned(looking.asking(inner)) as out:
            async for delta in out:
                yield delta

    return layer


def keep_layer(caching: Caching) -> Layer:
    """The layer outside of guards and contracts: what has come through them is kept."""

    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        try:
            async with inner(call) as out:
                async for delta in out:
                    yield delta
            if call.pending:
                await _keep(caching, call.pending, io)
        finally:
            for leave in caching.leaves:
                leave()
            if caching.troubles:
                caching.tell({"outcome": "unusable", "reason": caching.troubles[0]})

    return layer


def _asked(caching: Caching, call: Call) -> Asked:
    return caching.ask(call, caching.cache.embedder.id if caching.policy.semantic else "")


class _Looking:
    """One call: looked up, and asked where nothing is found."""

    def __init__(self, caching: Caching, call: Call, io: IO, asked: Asked) -> None:
        self._caching, self._call, self._io, self._asked = caching, call, io, asked
        self._cache, self._policy = caching.cache, caching.policy
        self._hears = caching.hears
        self._near: Near | None = None

    @property
    def _serves(self) -> bool:
        return self._caching.mode == "enforce"

    # Looking

    async def up(self) -> Iterable[ModelResponse] | None:
        """The answer that is kept; None where it has to be asked for."""
        entry = await self._io.run(partial(self._cache.find, self._asked.key, self._hears))
        if entry is not None and (served := self._given(entry.answer, "hit", entry)) is not None:
            return served
        if entry is None and self._asked.question:
            return await self._alike()
        return None

    async def _alike(self) -> Iterable[ModelResponse] | None:
        near = await self._io.run(partial(self._cache.near, self._asked, self._policy, self._hears))
        if near is None:
            return None
        self._near = near
        if await self._io.run(partial(self._cache.serves, near, self._policy, self._hears)):
            return self._given(near.entry.answer, "near", near.entry, near.likeness)
        if not self._serves:
            return None
        same = await _verified(self._caching, _compared(self._asked, near, None), self._io)
        if same is None:
            return None
        self._near = None
        await self._io.run(partial(self._cache.learn, near, same, self._policy, self._hears))
        return self._given(near.entry.answer, "near", near.entry, near.likeness) if same else None

    def _given(
        self, packed: str, outcome: str, entry: Entry | None, likeness: float = 1.0
    ) -> Iterable[ModelResponse] | None:
        """The deltas of a kept answer, told; None where it is only observed, or is none.

        Another policy may have kept it: for longer, or with tool calls.
        """
        age = 0.0 if entry is None else self._cache.clock() - entry.created_at
        if age > self._policy.lifetime:
            return None
        told: dict[str, Any] = {"cache": outcome}
        if outcome == "near":
            told["likeness"] = round(likeness, 4)
        try:
            deltas = [*replayed(packed, stream=self._call.stream, told=told)]
        except _NO_ANSWER:
            return None
        if not self._policy.tool_calls and any(delta.tool_calls for delta in deltas):
            return None
        data: dict[str, Any] = {"outcome": outcome, "likeness": likeness}
        if entry is not None:
            saved = {"tokens": entry.tokens, "cost": entry.cost, "seconds": entry.seconds}
            data |= {"saved": saved, "age": age}
        if not self._serves:
            self._caching.tell({**data, "outcome": f"would {outcome}"})
            return None
        timer: Any = self._call.assistant_message.metrics
        timer.start_timer()
        timer.stop_timer()
        self._call.pending.append(Pending(self._asked, self._cache.clock(), served=True))
        self._caching.tell(data)
        return deltas

    # Asking

    async def asking(self, inner: Next) -> Deltas:
        """The answer to a call that nobody else is asking, or that somebody else has asked."""
        flight, leads = self._joined() if self._serves else (None, False)
        if flight is not None:
            given = await (self._led(flight) if leads else self._waited(flight))
            if given is not None:
                for delta in given:
                    yield delta
                return
        lands = flight if leads else None
        try:
            async with Owned(self._fresh(inner, lands)) as out:
                async for delta in out:
                    yield delta
        finally:
            if lands is not None:
                # Nobody waits for what the layers round this one make of it.
                lands.land()

    def _joined(self) -> tuple[Flight, bool]:
        """The flight for what is asked; who leads it leaves it once the answer is kept, or is not.

        Until then whoever comes finds the flight, and from then on the answer.
        """
        key, flights = self._asked.key, self._cache.flights
        flight, leads = flights.join(key)
        if leads:
            self._caching.leaves.append(partial(flights.leave, key, flight))
        return flight, leads

    async def _waited(self, flight: Flight) -> Iterable[ModelResponse] | None:
        answer = await wait_for(flight, self._io, _PATIENCE)
        if isinstance(answer, Entry):
            return self._given(answer.answer, "shared", answer)
        return self._given(answer, "shared", None) if answer else None

    async def _led(self, flight: Flight) -> Iterable[ModelResponse] | None:
        """What was kept while this call came here, or another process has asked for meanwhile."""
        key, owner = self._asked.key, f"{os.getpid()}-{uuid.uuid4().hex}"
        # It may be cancelled then, and must not wait.
        release = partial(self._cache.release, key, owner)
        self._caching.leaves.append(partial(self._io.later, release))
        ends, pause, leads = time.monotonic() + _PATIENCE, 0.01, False
        while not leads and time.monotonic() < ends:
            leads = await self._io.run(
                partial(self._cache.lease, key, owner, _PATIENCE, self._hears),
                undo=lambda _: self._io.later(release),
            )
            found: Entry | None = await self._io.run(partial(self._cache.find, key, self._hears))
            given = self._given(found.answer, "shared", found) if found is not None else None
            if given is not None:
                # As it was kept: by the policy of who waits it may be too old.
                flight.land(found)
                return given
            if not leads:
                await self._io.sleep(pause)
                pause = min(pause * 1.5, 0.25)
        return None

    async def _fresh(self, inner: Next, flight: Flight | None) -> Deltas:
        """The answer of the layers beneath; those on `flight` have it too, if others may."""
        collected, began = Collected(), time.monotonic()
        pending = Pending(self._asked, self._cache.clock(), self._near, why_not="left")
        try:
            async with inner(self._call) as out:
                async for delta in out:
                    collected.take(delta)
                    if flight is not None:
                        flight.heard = time.monotonic()
                    yield delta
            pending.seconds = time.monotonic() - began
            await self._io.run(partial(self._packed, collected, pending))
            if flight is not None and not pending.why_not:
                flight.land(pending.packed)
            self._call.pending.append(pending)
        except Exception as error:
            pending.why_not = type(error).__name__
            raise
        finally:
            self._caching.tell({"outcome": "miss", "reason": pending.why_not})

    def _packed(self, collected: Collected, pending: Pending) -> None:
        pending.text = collected.text
        pending.tokens, pending.cost = collected.tokens, collected.cost
        try:
            pending.packed = collected.packed(tool_calls=self._policy.tool_calls)
        except NotKept as why:
            pending.why_not = str(why)
            return
        said = texts_in([(m.content, m.tool_calls) for m in self._call.messages])
        texts = [*said, *collected.texts, *self._asked.sources]
        pending.why_not = found_in(texts, self._caching.finders) or ""


# Keeping


async def _keep(caching: Caching, pendings: Sequence[Pending], io: IO) -> None:
    """Keep what the call ended with as the answer to what it began with.

    Where an answer did not fit and was asked for again, the one that did is the answer.
    """
    first, last = pendings[0], pendings[-1]
    if last.why_not or last.served:
        return
    asked, now = first.asked, caching.cache.clock()
    entry = _entry(caching.policy, pendings, now)
    keep = partial(caching.cache.keep, entry, asked, since=first.at, hears=caching.hears)
    if await io.run(keep):
        caching.tell({"outcome": "kept"})
    if first.near is not None and (compared := _compared(asked, first.near, last.text)):
        same = same_answers(compared)
        if same is None:
            same = await _verified(caching, compared, io)
        if same is not None:
            learn = partial(caching.cache.learn, first.near, same, caching.policy, caching.hears)
            await io.run(learn)
        caching.tell({"outcome": "compared", "same": same, "likeness": first.near.likeness})


def _entry(policy: CachePolicy, pendings: Sequence[Pending], now: float) -> Entry:
    asked, cost = pendings[0].asked, sum(each.cost for each in pendings)
    return Entry(
        key=asked.key,
        bucket=asked.bucket,
        scope=asked.scope,
        question=asked.question,
        answer=pendings[-1].packed,
        model=asked.model,
        role=asked.role,
        swarm=asked.swarm,
        prompt=asked.prompt,
        knowledge=asked.knowledge,
        sources=asked.sources,
        tags=tuple(policy.tags),
        created_at=now,
        expires_at=now + policy.lifetime,
        tokens=sum(each.tokens for each in pendings),
        # A gateway can say what it likes.
        cost=cost if math.isfinite(cost) else 0.0,
        seconds=sum(each.seconds for each in pendings),
    )


def _compared(asked: Asked, near: Near, answer: str | None) -> Comparison | None:
    """The two to be compared; None where what is kept is no answer."""
    try:
        deltas = [*replayed(near.entry.answer, stream=False, told={})]
    except _NO_ANSWER:
        return None
    kept = "".join(each.content or "" for each in deltas)
    return Comparison(asked.question, answer, near.entry.question, kept)


async def _verified(caching: Caching, comparison: Comparison | None, io: IO) -> bool | None:
    """What the verifier says; None where there is none, it fails, hangs or says neither."""
    verifier: Any = caching.policy.verifier
    if verifier is None or comparison is None:
        return None
    asks = partial(verifier, comparison)
    called = type(verifier).__call__ if not inspect.isroutine(verifier) else verifier
    waits = inspect.iscoroutinefunction(called)
    job = Job(None, _VERIFYING, asks) if waits else Job(asks, _VERIFYING)
    [said] = await io.race([job], lambda place, outcome: False)
    if isinstance(said, Failed):
        caching.tell({"outcome": "verifier failed", "reason": type(said.error).__name__})
        return None
    return said if isinstance(said, bool) else None
