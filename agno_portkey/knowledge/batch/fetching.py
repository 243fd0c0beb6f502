"""Answers on their way out of batches: each held to its request, and guarded as any answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from agno_portkey.calls import IO
from agno_portkey.errors import ConfigurationError, ContractError, GatewayError
from agno_portkey.knowledge.batch.ending import Doubles
from agno_portkey.knowledge.batch.journal import JobState, Part
from agno_portkey.knowledge.batch.lines import Lines
from agno_portkey.knowledge.batch.provider import Provider
from agno_portkey.knowledge.batch.results import OVER, Found, found_in, is_to_be_asked_again
from agno_portkey.knowledge.batch.retried import Retried
from agno_portkey.knowledge.batch.submitting import FOR_ALL, spread_over
from agno_portkey.knowledge.batch.told import BatchResult
from agno_portkey.routing.answered import named

__all__ = ["Fetching"]

# The ways in which a batch is over before all of its lines are answered.
_ENDED = ("failed", "expired", "cancelled")


class Fetching:
    """One pass over the parts of a job that are over."""

    def __init__(
        self,
        lines: Lines,
        inputs: Sequence[Any],
        state: JobState,
        provider: Provider,
        doubles: Doubles,
        kept: Retried,
        *,
        workers: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._lines, self._inputs, self._state = lines, inputs, state
        self._provider, self._doubles, self._kept = provider, doubles, kept
        self._workers, self._progress = workers, progress
        self._outputs: dict[int, Any] = {}
        self._errors: dict[int, Exception] = {}
        self._pending: list[int] = []
        self._retried: list[int] = []
        self._digest = {place: said for part in state.parts for place, said in part.lines.items()}
        # Of these there may be answers, which are paid for.
        self._unread: set[int] = set()
        # Whether what fails may be asked again, so that it is not done yet.
        self._again = False
        self._done: set[int] = set()
        self._models: set[str] = set()
        self._foreign = self._tokens = 0

    async def run(self, io: IO, *, retry: bool) -> None:
        """Fetch what there is; raises what is a word on all lines."""
        self._again = retry
        await self._parts(io)
        refused = sorted(self._state.refused | self._state.undecided)
        await self._replay(dict.fromkeys(refused), dict.fromkeys(refused), io)
        if not retry:
            await self._replay_kept(io)
        elif self._failing():
            with self._kept.asking():
                asked = await self._replay_kept(io)
                self._retried = [
                    place
                    for place in self._failing()
                    # What a call of its own brought, and no repair mended, would be paid for anew.
                    if not (place in asked and isinstance(self._errors[place], ContractError))
                ]
                self._again = False
                for place in self._errors.keys() - {*self._retried}:
                    self._tell(place)
                await spread_over(self._retried, self._ask, io, workers=self._workers)

    def _failing(self) -> list[int]:
        """Those that a call of their own may bring."""
        return [
            place
            for place, error in sorted(self._errors.items())
            if place not in self._unread and is_to_be_asked_again(error)
        ]

    async def _parts(self, io: IO) -> None:
        unread = None
        for part in self._state.parts:
            try:
                await self._part(part, io)
            except FOR_ALL:
                raise
            except GatewayError as error:
                unread = error
                self._unread.update(part.lines)
                for place in part.lines:
                    self._failed(place, error)
        if unread is not None and len(self._unread) == sum(len(p.lines) for p in self._state.parts):
            raise unread

    async def _replay_kept(self, io: IO) -> Set[int]:
        """Have what an earlier pass has asked again, and say which lines that are."""
        failing = self._failing()
        kept = await io.run(self._kept.read) if failing else {}
        answers = {place: kept[place] for place in failing if place in kept}
        await self._replay(answers, self._digest, io)
        return answers.keys()

    async def _part(self, part: Part, io: IO) -> None:
        if part.batch is None:
            raise ConfigurationError("job: it was not submitted to its end; submit it again")
        batch = await self._provider.batch(part.batch, part.file, io)
        if batch.status not in _ENDED:
            # Another one may bring what this one will not.
            await self._doubles.end(part, io)
        if batch.status not in OVER:
            self._pending += part.lines
            return
        places = {self._state.id_of(place): place for place in part.lines}
        found = await self._found(batch, part, places, io)
        self._foreign += found.foreign
        for name, error in found.errors.items():
            self._failed(places[name], error)
        answers = {places[name]: body for name, body in found.answers.items()}
        for body in answers.values():
            self._count(body)
        await self._replay(answers, part.lines, io)

    async def _found(self, batch: Any, part: Part, places: Mapping[str, int], io: IO) -> Found:
        """What the batch of `part` says, and others of the same lines where it says nothing."""
        model_id = str(self._lines.model.id)
        found = await found_in(batch, places, self._provider, io, model_id=model_id)
        left = None
        if found.errors:
            left = await self._doubles.complete(part, places, found, io, model_id=model_id)
        if left == "pending":
            self._pending += [places[name] for name in found.errors]
            found.errors.clear()
        elif left == "unread":
            self._unread.update(places[name] for name in found.errors)
        return found

    def _count(self, body: Any) -> None:
        usage = body.get("usage")
        taken = usage.get("total_tokens") if isinstance(usage, dict) else None
        self._tokens += taken if isinstance(taken, int) and taken > 0 else 0
        if (name := named(body.get("model"))) is not None:
            self._models.add(name)

    async def _replay(
        self, answers: dict[int, Any], digests: Mapping[int, str | None], io: IO
    ) -> None:
        async def one(place: int, io: IO) -> None:
            try:
                output = await self._lines.replayed(
                    self._inputs[place],
                    digests[place],
                    answers[place],
                    io,
                    job=self._state.job,
                )
            except FOR_ALL:
                raise
            except Exception as error:
                self._failed(place, error)
            else:
                self._have(place, output)

        await spread_over([*answers], one, io, workers=self._workers)

    async def _ask(self, place: int, io: IO) -> None:
        """Ask for one line by itself, as any call."""
        heard: list[Any] = []
        try:
            output = await self._lines.asked(self._inputs[place], self._digest[place], io, heard)
        except FOR_ALL:
            raise
        except Exception as error:
            if isinstance(error, ContractError) or not is_to_be_asked_again(error):
                await self._keep(place, heard, io)
            self._failed(place, error)
        else:
            await self._keep(place, heard, io)
            self._have(place, output)

    async def _keep(self, place: int, heard: list[Any], io: IO) -> None:
        if heard:
            # What was asked for again, and mended, is the last one.
            await io.run(self._kept.noting(place, heard[-1].to_dict()))

    def _have(self, place: int, output: Any) -> None:
        self._errors.pop(place, None)
        self._outputs[place] = output
        self._tell(place)

    def _failed(self, place: int, error: Exception) -> None:
        self._errors[place] = error
        if not self._again or place in self._unread or not is_to_be_asked_again(error):
            self._tell(place)

    def _tell(self, place: int) -> None:
        self._done.add(place)
        if self._progress is not None:
            self._progress(len(self._done), len(self._inputs))

    def result(self) -> BatchResult:
        return BatchResult(
            outputs=[self._outputs.get(place) for place in range(len(self._inputs))],
            errors=dict(sorted(self._errors.items())),
            pending=tuple(sorted(self._pending)),
            retried=tuple(self._retried),
            foreign=self._foreign,
            models=tuple(sorted(self._models)),
            tokens=self._tokens,
            doubles=self._doubles.names,
        )
