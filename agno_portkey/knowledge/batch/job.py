"""`BatchJob`: many inputs of one agent through the provider's Batch API."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from os import PathLike
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.batch.ending import Doubles, end_all
from agno_portkey.knowledge.batch.fetching import Fetching
from agno_portkey.knowledge.batch.journal import JobJournal, JobState, Part
from agno_portkey.knowledge.batch.lines import Lines
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.knowledge.batch.results import OVER, UNDER_WAY
from agno_portkey.knowledge.batch.retried import Retried
from agno_portkey.knowledge.batch.submitting import Limits, Submitting
from agno_portkey.knowledge.batch.told import BatchResult, BatchStatus, PartStatus
from agno_portkey.verdict import Event, heard, tell

__all__ = ["BatchJob"]

Shows = Callable[[int, int], None]

# Looks, one after the other, at a status that nobody knows, and seconds between any two.
_PATIENCE, _LEAST = 3, 0.01


class BatchJob:
    """The answers of an agent to many inputs, by the provider's Batch API: slower, and cheaper.

    `agent` is an Agent with a PortkeyModel and without tools, or a PortkeyModel; each of `inputs`
    is one request. The provider has to have OpenAI's files and batches. Of a route with several
    targets, `target` names the one that the batches are at; a hosted config has to have one. The
    agent's hooks run for each input when it is submitted, and each time its answer is fetched;
    observers hear of the answer each time, too. What is asked has to be the same each time: of an
    agent that asks something else, this is seen before anything is sent for the first input that
    may leave, and for others when they are fetched.

    `journal` is a file that tells whoever is given it again, with the same agent and inputs, what
    was sent where; it holds digests and ids alone. What was asked again stands beside it, in a
    file of the same name and `.retried`, as the provider gave it: what guards masked is masked in
    it, all else is not. Remove the two together. A file has at most `max_lines` requests and
    `max_bytes`. `concurrency` inputs are made ready, and answers looked at, at once. `progress` is
    given how many are done, of how many: made ready, by `submit`; answered, while it waits; and
    looked at, by `fetch`; threads call it. Raises ConfigurationError for what can't be meant.
    """

    def __init__(
        self,
        agent: Any,
        inputs: Sequence[Any],
        *,
        journal: str | PathLike[str],
        target: str | None = None,
        max_lines: int = 50_000,
        max_bytes: int = 200_000_000,
        concurrency: int = 8,
        progress: Shows | None = None,
    ) -> None:
        if isinstance(inputs, str) or not isinstance(inputs, Sequence):
            raise ConfigurationError("inputs: a list, one input for each request")
        given = {"max_lines": max_lines, "max_bytes": max_bytes, "concurrency": concurrency}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name}: a whole number above 0, not {value!r}")
        self._lines = Lines(agent, target)
        self._inputs = inputs
        self._journal = JobJournal(journal)
        self._limits = Limits(max_lines, max_bytes)
        self._workers, self._progress = concurrency, progress
        at, who = self._lines.at, self._lines.who
        self._provider = Provider(self._lines.model, lambda: at.headers(who))

    # Sending

    def submit(self) -> BatchStatus:
        """Send what was not sent yet; after a kill, or an error, what is left of it.

        An input that a guard or contract refuses is left out, and told when it is fetched. One on
        which a guard, or its run, fails is not sent either: when all others are, what was raised
        for it is raised here, and the next submit asks about it again. Raises a GatewayError,
        Stopped, ModelNotAllowed or BudgetExceeded where the rest can't be sent now.

        Where nobody says whether a batch was made (no answer in time, a connection cut), it is
        looked for among the provider's, and none is made in its place: the error says to submit
        again later. That looks once more, and makes one if there is none, which is `doubtful` in
        the status then: if the provider brings the first one to light later still, there are two.
        `fetch` and `cancel` end the one too many, and what it has answered counts where the other
        has no answer.
        """
        return step(self._submit(SyncIO()))

    async def asubmit(self) -> BatchStatus:
        """The same on an event loop."""
        return await self._submit(AsyncIO())

    async def _submit(self, io: IO) -> BatchStatus:
        async with self._written(io) as state:
            done = state.whole
            submitting = Submitting(
                self._lines,
                self._inputs,
                self._journal,
                state,
                self._provider,
                limits=self._limits,
                workers=self._workers,
                progress=self._progress,
            )
            await submitting.run(io)
        if not done:
            self._tell("submitted", state, {"refused": len(state.refused)})
        return status_of(state, {})

    @asynccontextmanager
    async def _written(self, io: IO) -> AsyncIterator[JobState]:
        opened = self._journal.written(len(self._inputs))
        closes = opened.__exit__
        state = await io.run(opened.__enter__, undo=lambda state: closes(None, None, None))
        with ExitStack() as left:
            left.push(closes)
            yield state

    # Looking

    def status(self) -> BatchStatus:
        """How far the job is, as the provider says."""
        return step(self._status(SyncIO()))

    async def astatus(self) -> BatchStatus:
        """The same on an event loop."""
        return await self._status(AsyncIO())

    async def _status(self, io: IO) -> BatchStatus:
        state = await io.run(self._journal.read)
        found = {}
        for part in state.parts:
            if part.batch is not None:
                found[part.number] = await self._provider.batch(part.batch, part.file, io)
        return status_of(state, found)

    def wait(self, *, every: float = 60.0, seconds: float | None = None) -> BatchStatus:
        """Ask for the status `every` so many seconds until the job is over.

        After `seconds` the last one is given back all the same. Raises BadResponse where a batch
        stays in a status that is none of the Batch API's, of which nobody knows whether it ends.
        """
        return step(self._wait(SyncIO(), every, seconds))

    async def await_(self, *, every: float = 60.0, seconds: float | None = None) -> BatchStatus:
        """The same on an event loop."""
        return await self._wait(AsyncIO(), every, seconds)

    async def _wait(self, io: IO, every: float, seconds: float | None) -> BatchStatus:
        if not _is_seconds(every) or not 0 < every < math.inf:
            raise ConfigurationError(f"every: a finite number of seconds above 0, not {every!r}")
        if seconds is not None and (not _is_seconds(seconds) or math.isnan(seconds)):
            raise ConfigurationError(f"seconds: a number, or None, not {seconds!r}")
        every = max(_LEAST, every)
        began, strange = time.monotonic(), 0
        while True:
            status = await self._status(io)
            self._answered(status)
            unknown = _unknown(status)
            strange = strange + 1 if unknown else 0
            if strange >= _PATIENCE:
                raise self._provider.strange(*unknown[0])
            left = None if seconds is None else began + seconds - time.monotonic()
            if status.over or not status.submitted or (left is not None and left <= 0):
                return status
            await io.sleep(every if left is None else min(every, left))

    def cancel(self) -> BatchStatus:
        """Have nothing more answered; what is answered already can be fetched."""
        return step(self._cancel(SyncIO()))

    async def acancel(self) -> BatchStatus:
        """The same on an event loop."""
        return await self._cancel(AsyncIO())

    async def _cancel(self, io: IO) -> BatchStatus:
        state = await io.run(self._journal.read)
        if failed := await end_all(state.parts, self._provider, io):
            raise failed[0]
        return await self._status(io)

    # Fetching

    def fetch(self, *, retry: bool = False) -> BatchResult:
        """The outputs of all batches that are over; each answer goes through guards and contract.

        With `retry`, lines that failed are asked again by calls of their own, at the usual price;
        what these bring is kept, and not paid for again. So is an answer that breaks its contract
        all the same, or that a guard refuses: each line gets one such call (with all that the model
        does about errors and broken answers) until a provider answers it, and none after that;
        remove JOURNAL.retried to have all asked anew. The agent's fallback models are not asked. A
        line that a guard refused, or the provider called invalid, is not asked again, nor one whose
        batch can't be read now. Raises a GatewayError where none can, and GatewayUnauthorized,
        CircuitOpen or Stopped.
        """
        return step(self._fetch(SyncIO(), retry))

    async def afetch(self, *, retry: bool = False) -> BatchResult:
        """The same on an event loop."""
        return await self._fetch(AsyncIO(), retry)

    async def _fetch(self, io: IO, retry: bool) -> BatchResult:
        state = await io.run(self._journal.read)
        if state.inputs != len(self._inputs):
            raise ConfigurationError(
                f"inputs: {len(self._inputs)}, and the job in {self._journal.path} is of "
                f"{state.inputs}"
            )
        if not state.sent:
            raise ConfigurationError("job: it was not submitted to its end; submit it again")
        doubles = Doubles(self._provider)
        await doubles.look(state.parts, io)
        fetching = Fetching(
            self._lines,
            self._inputs,
            state,
            self._provider,
            doubles,
            Retried(self._journal.path, state.job),
            workers=self._workers,
            progress=self._progress,
        )
        await fetching.run(io, retry=retry)
        found = fetching.result()
        data = {
            "failed": len(found.errors),
            "pending": len(found.pending),
            "retried": len(found.retried),
            "foreign": found.foreign,
            "tokens": found.tokens,
        }
        self._tell("fetched", state, data)
        return found

    def _answered(self, status: BatchStatus) -> None:
        if self._progress is not None:
            # Of what was not sent nobody waits for an answer.
            done = status.refused + status.undecided
            done += sum(min(part.completed + part.failed, part.lines) for part in status.parts)
            self._progress(done, status.inputs)

    def _tell(self, what: str, state: JobState, data: dict[str, Any]) -> None:
        model = self._lines.model
        if heard(model.observers):
            tags = model.tags_of(self._lines.who)
            about = {"model": model.id, "job": state.job, "inputs": state.inputs, "what": what}
            event = Event(
                "batch", tags.get("role"), tags.get("swarm"), data={**about, **data, "tags": tags}
            )
            tell(model.observers, event)


def status_of(state: JobState, batches: dict[int, Any]) -> BatchStatus:
    """What the journal, and the provider of some of its batches, say of a job."""
    parts = tuple(_part(part, batches.get(part.number)) for part in state.parts)
    return BatchStatus(
        job=state.job,
        inputs=state.inputs,
        parts=parts,
        refused=len(state.refused),
        undecided=len(state.undecided),
        submitted=state.sent,
        over=state.sent and all(part.status in OVER for part in parts),
    )


def _part(part: Part, batch: Any) -> PartStatus:
    counts = getattr(batch, "request_counts", None)
    completed, failed = (getattr(counts, name, None) for name in ("completed", "failed"))
    return PartStatus(
        batch=part.batch,
        status=None if batch is None else batch.status,
        lines=len(part.lines),
        completed=completed if isinstance(completed, int) else 0,
        failed=failed if isinstance(failed, int) else 0,
        doubtful=part.doubtful,
    )


def _unknown(status: BatchStatus) -> list[tuple[str, str]]:
    """The batches, with their statuses, of which nobody knows whether they will end."""
    known = (None, *OVER, *UNDER_WAY)
    return [(str(p.batch), str(p.status)) for p in status.parts if p.status not in known]


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
