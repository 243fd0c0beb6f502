"""What observers hear, in the stream of the run: gates, plans, guards, calls, tools and the rest.

Observers are called on the thread of a run, whichever that is; the stream is written on the loop
that serves it. Between the two is a queue that nobody waits for.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from agno.run.team import CustomEvent

from agno_portkey.playground.streams import Overheard
from agno_portkey.verdict import Event, Verdict, failure_of, hear_everything

__all__ = ["SOURCE", "Live", "Told", "told"]

SOURCE = "agno_portkey"
# Events that wait for the loop; and of one of them: characters of a text, and parts of a list.
_WAITING, _TEXT, _PARTS = 2_048, 1_000, 50
# What is said of these is in the event already, or is anything that a user has set.
_LEFT_OUT = frozenset({"tags", "run"})
# Of a verdict's evidence: a plan that waits for a person, under which id, and what it needs.
_EVIDENCE = ("waiting", "clearance", "plan_digest", "min_score")


@dataclass
class Told(CustomEvent):
    """One event of ours as AgentOS streams it: its fields are those of the JSON.

    `run_id` is the run that was asked for, and `of_run` the one that it happened in.
    """

    source: str = SOURCE
    of_run: str | None = None
    at: str | None = None
    kind: str | None = None
    role: str | None = None
    swarm: str | None = None
    verdict: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    # So many before it were left out: there was no room for them.
    left_out: int | None = None


def told(event: Event, stream: str) -> Told:
    """`event` for the stream of the run `stream`: figures, names, and the reasons of verdicts."""
    data = {str(k): _plain(v) for k, v in event.data.items() if k not in _LEFT_OUT}
    if event.verdict is not None:
        data |= _facts(event.verdict.evidence)
    return Told(
        run_id=stream,
        of_run=event.run_id,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        kind=event.kind,
        role=event.role,
        swarm=event.swarm,
        verdict=None if event.verdict is None else _decided(event.verdict),
        data=data,
    )


def _facts(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """What of the evidence is a state, an id, a figure, or a kind of what was found."""
    facts = {name: _plain(evidence[name]) for name in _EVIDENCE if name in evidence}
    kinds = Counter[str]()
    with suppress(TypeError, ValueError, AttributeError, KeyError):  # a guard may say anything
        for each in evidence.get("found") or ():
            kinds.update({**(each.get("types") or {})})
            kinds.update(secret["kind"] for secret in each.get("secrets") or ())
    return {**facts, **({"types": _plain(kinds)} if kinds else {})}


def _decided(verdict: Verdict) -> dict[str, Any]:
    # Evidence may hold what was judged.
    return {
        "passed": verdict.passed,
        "source": verdict.source,
        "reasons": _plain(verdict.reasons),
        "score": _plain(verdict.score),
    }


def _plain(value: Any) -> Any:
    """`value` in JSON's own types, of which nothing is long; anything else is left out."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in [*value.items()][:_PARTS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in [*value][:_PARTS]]
    return None


class Live:
    """An observer of the whole process that writes into the streams of one loop, while it is on.

    An event of a run that no stream of that loop knows is dropped, and one for which there is no
    room is counted. Each is written before whatever the run itself says next.
    """

    def __init__(self, streams: Overheard, *, waiting: int = _WAITING) -> None:
        self._streams, self._room = streams, waiting
        self._waiting: deque[Told] = deque()
        self._lock = threading.Lock()
        self._left_out = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump: asyncio.Task[None] | None = None
        self._said = False

    def start(self) -> None:
        """Begin, on the loop that is running; another that writes on this loop already does."""
        loop = asyncio.get_running_loop()
        if loop in self._streams.before:
            return
        self._loop, self._writing, self._ring = loop, asyncio.Lock(), asyncio.Event()
        self._streams.before[loop] = self.drain
        self._pump = loop.create_task(self._pumped(), name="agno-portkey-live")
        hear_everything(self)

    async def stop(self) -> None:
        """Write what waits, and hear no more."""
        if self._loop is None or self._pump is None:
            return
        hear_everything(self, again=False)
        await self.drain()
        loop, self._loop = self._loop, None
        self._streams.before.pop(loop, None)
        self._pump.cancel()
        with suppress(asyncio.CancelledError):
            await self._pump

    def __call__(self, event: Event, /) -> None:
        loop, place = self._loop, self._streams.place_of(event.run_id)
        if loop is None or place is None or place[1] is not loop:
            return
        one = told(event, place[0])
        with self._lock:
            if len(self._waiting) >= self._room:
                self._left_out += 1
                return
            if self._left_out:
                one, self._left_out = replace(one, left_out=self._left_out), 0
            self._waiting.append(one)
        # A loop that is closed has nobody who would read it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._ring.set)

    async def drain(self) -> None:
        """Write all that waits, in the order in which it was heard."""
        async with self._writing:
            while True:
                with self._lock:
                    if not self._waiting:
                        return
                    one = self._waiting.popleft()
                await self._write(one)

    async def _write(self, one: Told) -> None:
        try:
            await self._streams.add_beside(str(one.run_id), one)
        except Exception as error:
            if not self._said:
                self._said = True
                why = failure_of("the stream of events", error)
                logging.getLogger("agno_portkey").warning("%s: the page shows less", why)

    async def _pumped(self) -> None:
        while True:
            await self._ring.wait()
            self._ring.clear()
            await self.drain()
