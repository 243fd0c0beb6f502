"""One call and the guards that are asked about it: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from agno.models.message import Message
from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call
from agno_portkey.contracts.check import asks_for_json
from agno_portkey.drivers import Owned
from agno_portkey.errors import Blocked, InputBlocked, OutputBlocked, TruncatedStream
from agno_portkey.guardrails.answer import Held, harmless
from agno_portkey.guardrails.at_rest import Kept, clean, earlier_of, keep_as_sent, keeps_out
from agno_portkey.guardrails.base import Guard, most_patient
from agno_portkey.guardrails.definitions import as_defined, defines
from agno_portkey.guardrails.failures import Failure, as_may_be_told
from agno_portkey.guardrails.fields import as_filled_in
from agno_portkey.guardrails.looking import putting
from agno_portkey.guardrails.media import opened, require_readable
from agno_portkey.guardrails.messages import in_message, in_value
from agno_portkey.guardrails.passages import Passage, Side, Source, Take, Unreadable
from agno_portkey.guardrails.pieces import Pieces
from agno_portkey.guardrails.segments import Ranges, Release
from agno_portkey.guardrails.stage import Stage, placeholder
from agno_portkey.guardrails.surroundings import beside_of, scene_of
from agno_portkey.modes import Mode, override_of
from agno_portkey.verdict import Observer, Verdict
from agno_portkey.workers import Failed, Job

__all__ = ["Asking"]

T = TypeVar("T")


class Asking:
    """One call and the guards that are asked about it."""

    def __init__(
        self,
        guards: Sequence[Guard],
        call: Call,
        io: IO,
        observers: Sequence[Observer],
        role: str | None,
        swarm: str | None,
        kept: Kept,
        fields: Callable[[Call], Mapping[str, Any]],
    ) -> None:
        # Read once: one call has one mode.
        self._override: Mode | None = override_of("guards")
        said = self._override
        self._guards = [g for g in guards if (said or g.mode) != "off"]
        self.observes = said == "observe" or all(g.mode == "observe" for g in self._guards)
        self._call, self._fields = call, fields
        self._io = io
        self._observers = observers
        self._known, self._showing = kept.known, kept.showing
        self._scene = scene_of(call, role, swarm)
        self._side: Side = "input"
        self.kept: dict[str, str] = {}
        self._shown: list[str] = []

    def of(self, side: Side) -> list[Guard]:
        return [guard for guard in self._guards if guard.looks_at(side)]

    def _stage(self, guards: Sequence[Guard]) -> Stage:
        keep, earlier = self.kept.__setitem__, earlier_of(self._call.run_response)
        scene, side, heard = self._scene, self._side, self._observers
        return Stage(guards, self._io, scene, side, heard, keep, earlier, False, self._override)

    def clean(self, messages: Any) -> None:
        """Take what was blocked or rewritten out of what the host keeps."""
        clean(messages, self.kept)
        clean(self._call.run_response, self.kept)

    def forget_unreadable(self) -> None:
        """Keep none of the messages that nobody can look into."""
        instead = placeholder(", ".join(guard.name for guard in self.of(self._side)))
        for message in self._call.messages:
            try:
                in_message(message, lambda text, source, path: text)
            except Unreadable:
                if isinstance(message.content, str):
                    self.kept[message.content] = instead
                message.content, message.tool_calls = instead, None
        self.clean(self._call.messages)

    def unreadable(self, error: Unreadable) -> Blocked:
        names = ", ".join(guard.name for guard in self.of(self._side))
        kind = InputBlocked if self._side == "input" else OutputBlocked
        return kind(Verdict(False, names, (f"{names} can't tell: {error}",)))

    def _forget_unasked(self) -> None:
        """Keep nothing that came beside a refused result: no guard is asked about it any more."""
        guards = [guard for guard in self.of("input") if keeps_out(guard)]
        instead = placeholder(", ".join(guard.name for guard in guards))

        def take(text: str, source: Source, path: str) -> str:
            self.kept[text] = instead
            return text

        for message in reversed(self._call.messages) if guards else ():
            # The host times its models; a tool that gives an assistant's message does not.
            if message.role == "assistant" and message.metrics.timer is not None:
                break
            if message.role != "tool":
                with suppress(Unreadable):
                    in_message(message, take)

    # What is sent

    async def input(self) -> Call:
        """The call as it may be sent; raises what a result in it was refused with when it came."""
        if refusal := self._showing.refusal(self._call.messages):
            self._forget_unasked()
            raise refusal
        guards = self.of("input")
        if not guards:
            return self._call
        call, held = self._call, self._call.messages
        messages = held
        if any([message.files for message in held]):  # noqa: C419 - a generator takes longer
            messages = await opened(held, self._io)
        beside = beside_of(call.run_response, held)

        def read(take: Take) -> list[Message]:
            sent = [in_message(message, take) for message in messages]
            for source, value in beside:
                in_value(value, take, source)
            return sent

        stage = self._stage(guards)
        try:
            if any([guard.unreadable == "refuse" for guard in guards]):  # noqa: C419
                require_readable(messages)
            if defines(call):
                call = await as_defined(call, guards, stage, self._known)
            call = await as_filled_in(call, self._fields(call), stage)
            sent = await self._ask(stage, read)
        except Unreadable:
            if self.observes:
                return call
            raise
        return self._onward(call, sent, guards)

    def _onward(self, call: Call, sent: list[Message], guards: Sequence[Guard]) -> Call:
        """`call` with what is sent of its messages, which the host keeps as well."""
        held = call.messages
        if all(onward is message for onward, message in zip(sent, held, strict=True)):
            self.clean(None)
            return call
        if any(guard.rewrites and not guard.keep_raw for guard in guards):
            for message, onward in zip(held, sent, strict=True):
                keep_as_sent(message, onward)
        self.clean(held)
        return call.with_messages(sent)

    # What comes back

    async def output(
        self, deltas: AsyncIterator[ModelResponse], guards: Sequence[Guard]
    ) -> AsyncIterator[ModelResponse]:
        """The deltas of an answer, none of them before its verdict."""
        self._side = "output"
        as_json = asks_for_json(self._call.response_format)
        held = Held(as_json=as_json)
        if not self._call.stream:
            yield await self._as_one(deltas, held, guards)
            return
        release = "whole" if as_json else most_patient(guards)
        pieces = None if release == "whole" else self._pieces(guards, release)
        async for delta in deltas:
            held.take(delta)
            if (now := harmless(delta)) is not None:
                yield now
            if pieces is not None:
                async with Owned(pieces.released(held)) as out:
                    async for piece in out:
                        yield piece
        if pieces is not None:
            async with Owned(pieces.rest()) as out:
                async for piece in out:
                    yield piece
        for delta in await self._let_go(held, guards):
            yield delta

    def _pieces(self, guards: Sequence[Guard], release: Release) -> Pieces:
        ask = partial(self.piece, self._stage(guards))
        asked = [
            guard for guard in guards if type(guard).keeps_together is not Guard.keeps_together
        ]
        if not asked:
            return Pieces(ask, release)

        async def together(before: str, text: str) -> Ranges:
            jobs = [Job(partial(_ranges, guard, before, text), guard.timeout) for guard in asked]
            told = await self._io.race(jobs, lambda place, outcome: False)
            # Who fails here fails again when asked about the piece, and blocks it.
            whole = [(0, len(text))]
            return [
                span
                for ranges in told
                for span in (whole if isinstance(ranges, Failed) else ranges)
            ]

        return Pieces(ask, release, together)

    async def overhear(
        self, deltas: AsyncIterator[ModelResponse], guards: Sequence[Guard]
    ) -> AsyncIterator[ModelResponse]:
        """The deltas as they come: guards that only observe hold nothing up."""
        self._side = "output"
        held = Held()
        async for delta in deltas:
            with suppress(Unreadable):
                held.take(copy(delta))
            yield delta
        with suppress(Unreadable):
            await self._let_go(held, guards)

    async def _as_one(
        self, deltas: AsyncIterator[ModelResponse], held: Held, guards: Sequence[Guard]
    ) -> ModelResponse:
        """The one delta of a plain call, as the guards leave it."""
        answer: ModelResponse | None = None
        async for delta in deltas:
            answer = answer or delta
            held.take(delta)
        answer = answer or ModelResponse()
        await self._ask(self._stage(guards), partial(held.whole, answer))
        return answer

    async def _let_go(self, held: Held, guards: Sequence[Guard]) -> list[ModelResponse]:
        """All that is held, as the guards leave it."""
        (reasoning, content), beside = await self._ask(
            self._stage(guards), lambda take: (held.words(take), held.beside(take))
        )
        said = [ModelResponse(reasoning_content=reasoning)] if reasoning else []
        if content:
            said.append(ModelResponse(content=content))
        return [*said, *beside]

    async def _ask(self, stage: Stage, read: Callable[[Take], T]) -> T:
        """What `read` makes of its texts as `stage` leaves them; raises what blocks them."""
        passages: list[Passage] = []
        side, scene = self._side, self._scene

        def collect(text: str, source: Source, path: str) -> str:
            passages.append(Passage(text, source, side, path, "", scene))
            return text

        found = read(collect)
        texts = await stage.inspect(passages) if passages else None
        if texts is None:
            return found
        return read(putting(texts))

    async def piece(self, stage: Stage, text: str, source: Source, before: str) -> str:
        """One piece of a streamed answer as it may be shown."""
        passage = Passage(text, source, "output", "", before, self._scene)
        texts = await stage.inspect([passage])
        let_go = text if texts is None else texts[0]
        if source == "assistant":
            self._shown.append(let_go)
        return let_go

    async def failure(self, error: Failure) -> Failure:
        """What may be told of a call that failed; the very error if that is all of it."""
        self._side = "output"
        if not (guards := self.of("output")):
            return error
        if isinstance(error, TruncatedStream) and not self.observes:
            error = self._as_shown(error)
        told = await as_may_be_told(error, self._stage(guards))
        self.clean(self._call.messages)
        return told

    def _as_shown(self, error: TruncatedStream) -> TruncatedStream:
        """The error with no more of the answer in it than was shown."""
        if (shown := "".join(self._shown)) == error.partial:
            return error
        evidence = {**error.verdict.evidence, "partial": shown}
        return TruncatedStream(replace(error.verdict, evidence=evidence), error.message)


def _ranges(guard: Guard, before: str, text: str) -> list[tuple[int, int]]:
    return [*guard.keeps_together(before, text)]
