"""Inputs on their way into batches: guarded, split by limits, and none sent twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import (
    Blocked,
    BudgetExceeded,
    CircuitOpen,
    ConfigurationError,
    GatewayError,
    GatewayUnauthorized,
    ModelNotAllowed,
    Stopped,
)
from agno_portkey.knowledge.batch.journal import JobJournal, JobState, Part
from agno_portkey.knowledge.batch.lines import Line, Lines
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.knowledge.many import RunFailed
from agno_portkey.knowledge.spread import Work, aspread, spread

__all__ = ["FOR_ALL", "Limits", "Submitting", "spread_over"]

# These are a word on all lines, and not on one of them.
FOR_ALL = (GatewayUnauthorized, CircuitOpen, Stopped)
# And these, before anything is sent: tomorrow they may say otherwise.
_NOT_NOW = (*FOR_ALL, BudgetExceeded, ModelNotAllowed)
# Inputs that are made ready before those that fill a file are sent.
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """How many lines, and bytes, a provider takes in one file."""

    lines: int
    size: int


class Submitting:
    """One pass over the inputs of a job, from where the journal says that the last one ended."""

    def __init__(
        self,
        lines: Lines,
        inputs: Sequence[Any],
        journal: JobJournal,
        state: JobState,
        provider: Provider,
        *,
        limits: Limits,
        workers: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._lines, self._inputs = lines, inputs
        self._journal, self._state, self._provider = journal, state, provider
        self._limits, self._workers, self._progress = limits, workers, progress
        # What is written of each line, and its digest: bodies would take several times as much.
        self._held: dict[int, tuple[bytes, str]] = {}
        self._size = 0
        self._steady = bool(state.parts)
        # What kept a guard, or a run, from saying whether an input may leave, by place.
        self._undecided: dict[int, Exception] = {}
        self._done: set[int] = set()

    async def run(self, io: IO) -> None:
        """Have every input in a batch, or refused; raises what keeps all from that.

        An input on which a guard or its run fails keeps no other: it is raised when those are sent.
        """
        state = self._state
        for part in state.parts:
            await self._send(part, {}, io)
        known = {place for part in state.parts for place in part.lines} | state.refused
        left = [place for place in range(len(self._inputs)) if place not in known]
        self._tell(known)
        for start in range(0, len(left), _AT_ONCE):
            chunk = left[start : start + _AT_ONCE]
            found = await self._captured(chunk, io)
            await self._require_steady(found, io)
            kept = found.keys() | self._undecided.keys()
            await self._refuse([place for place in chunk if place not in kept], io)
            for place in sorted(found):
                await self._add(place, found[place], io)
        await self._close(io)
        if self._undecided:
            if state.undecided != self._undecided.keys():
                await self._note({"undecided": sorted(self._undecided)}, io)
            raise self._undecided[min(self._undecided)]
        if not state.whole:
            await self._note({"whole": True}, io)

    async def _captured(self, places: Sequence[int], io: IO) -> dict[int, Line]:
        """The lines of those inputs that may leave."""
        found: dict[int, Line] = {}

        async def one(place: int, io: IO) -> None:
            try:
                found[place] = await self._lines.captured(self._inputs[place], io)
            except _NOT_NOW:
                raise
            except (Blocked, RunFailed, GatewayError) as error:
                # Why it is refused is said when it is fetched.
                if not isinstance(error, Blocked) or error.verdict.evidence.get("failed"):
                    self._undecided[place] = error
            self._tell([place])

        await spread_over(places, one, io, workers=self._workers)
        return found

    async def _require_steady(self, found: dict[int, Line], io: IO) -> None:
        """Refuse an agent that asks something else each time: no answer could be held to it."""
        if self._steady or not found:
            return
        place = min(found)
        try:
            again = await self._lines.captured(self._inputs[place], io, quiet=True)
        except _NOT_NOW:
            raise
        except (Blocked, RunFailed, GatewayError):
            return
        if found[place].digest != again.digest:
            raise ConfigurationError(
                "agent: the same input makes another request the next time (it may name the time, "
                "or a number drawn by chance): what is fetched could not be told from what is not"
            )
        self._steady = True

    async def _refuse(self, places: Sequence[int], io: IO) -> None:
        if places:
            await self._note({"refused": [*places]}, io)

    async def _add(self, place: int, line: Line, io: IO) -> None:
        written = line.written(self._state.id_of(place))
        size = len(written)
        if size > self._limits.size:
            await self._refuse([place], io)
            return
        if len(self._held) >= self._limits.lines or self._size + size > self._limits.size:
            await self._close(io)
        self._held[place] = written, line.digest
        self._size += size

    async def _close(self, io: IO) -> None:
        """Make a part of what is held, and send it."""
        if not self._held:
            return
        held, self._held, self._size = self._held, {}, 0
        number = len(self._state.parts)
        digests = {str(place): digest for place, (_, digest) in held.items()}
        await self._note({"part": number, "lines": digests}, io)
        texts = {place: written for place, (written, _) in held.items()}
        await self._send(self._state.parts[number], texts, io)

    async def _send(self, part: Part, texts: dict[int, bytes], io: IO) -> None:
        """Have `part` at the provider; what is there of it stays as it is."""
        number, job = part.number, self._state.job
        if part.file is None:
            if not texts:
                texts = await self._again(part, io)
            content = b"".join(texts.values())
            file = await self._provider.upload(f"{job}-{number}.jsonl", content, io)
            await self._note({"uploaded": number, "file": file}, io)
        if part.batch is None and part.file is not None:
            # A submit before this one may have had it made, and not have heard so.
            batch = await self._provider.found(part.file, io) if part.creating else None
            if batch is None:
                await self._note({"creating": number}, io)
                batch = await self._provider.create(part.file, job, number, io)
            await self._note({"created": number, "batch": batch}, io)

    async def _again(self, part: Part, io: IO) -> dict[int, bytes]:
        """The lines of a part that was begun before; ConfigurationError if they are others now."""
        found = await self._captured([*part.lines], io)
        if failed := part.lines.keys() & self._undecided.keys():
            raise self._undecided[min(failed)]
        for place, digest in part.lines.items():
            if place not in found or found[place].digest != digest:
                raise ConfigurationError(
                    f"inputs[{place}]: it, or the agent, is not what the job in "
                    f"{self._journal.path} was begun with; give another journal"
                )
        return {place: found[place].written(self._state.id_of(place)) for place in part.lines}

    async def _note(self, record: dict[str, Any], io: IO) -> None:
        await io.run(lambda: self._journal.note(self._state, record))

    def _tell(self, places: Iterable[int]) -> None:
        """Say that `places` are made ready, or known to be."""
        self._done.update(places)
        if self._progress is not None:
            self._progress(len(self._done), len(self._inputs))


async def spread_over(pieces: Sequence[int], work: Work[int], io: IO, *, workers: int) -> None:
    """Do `work` of every piece, at most `workers` at once, on threads or the running loop."""
    if isinstance(io, AsyncIO):
        await aspread(pieces, work, workers=workers)
    else:
        spread(pieces, work, workers=workers)
