"""The layer that holds the answers of a model to the schema that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts.answer import Answer
from agno_portkey.contracts.keeper import Keeper, Keeping, schema_asked
from agno_portkey.contracts.known import Known
from agno_portkey.contracts.partial import Filling
from agno_portkey.contracts.repair import Ladder, Repair
from agno_portkey.contracts.schemas import Schema
from agno_portkey.drivers import Owned
from agno_portkey.errors import ContractError, GatewayError, TruncatedStream
from agno_portkey.modes import mode_now

__all__ = ["contract_layer"]


def contract_layer(
    call: Call,
    keeping: Keeping,
    *,
    noted: Schema | None = None,
    held: bool = False,
    known: Callable[[], Known] = Known,
) -> Layer | None:
    """The layer that holds the answer to `call` to its schema, and its run's input, if need be.

    In JSON mode the host does not say which schema is meant: it is the one that was `noted` of the
    run, else any JSON object is valid. `held` says that a hook has held the run's input; `known`
    gives what the rules may look at.
    """
    mode = mode_now("contracts", keeping.mode)
    if mode == "off":
        return None
    schema = schema_asked(call.response_format, noted)
    keeper = Keeper(schema or noted, call, keeping, mode, known)
    if not held and any(contract.handed for contract in keeping.contracts):
        keeper.require_input()
    if schema is None:
        return None
    return _held(keeper) if mode == "enforce" else _observed(keeper)


def _held(keeper: Keeper) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        call = replace(call, verbatim=True, partials=call.stream and keeper.fills)
        climb = _Climb(keeper, call)
        try:
            while not climb.done:
                async with Owned(climb.attempt(io, inner)) as out:
                    async for delta in out:
                        yield delta
        finally:
            climb.close()

    return layer


class _Climb:
    """The attempts at one answer."""

    def __init__(self, keeper: Keeper, call: Call) -> None:
        self._keeper = keeper
        self._call = self._asked = call
        self._ladder = keeper.ladder()
        self._answer = Answer(keeper.schema)
        # What takes partial objects back that were told.
        self._retraction: ModelResponse | None = None
        self.done = False

    async def attempt(self, io: IO, inner: Next) -> Deltas:
        """What is told of one attempt, and all of it if it is the answer."""
        keeper, number = self._keeper, len(self._ladder.attempts) + 1
        filling = Filling() if self._call.partials else None
        answer = self._answer = Answer(keeper.schema, filling, attempt=number)
        try:
            async with Owned(_taken(answer, self._asked, inner)) as out:
                async for delta in out:
                    yield delta
            # The repair of a long text takes its time, off the event loop where there is one.
            found = None if answer.calls_tools else await io.run(partial(keeper.hold, answer))
        except (ContractError, GatewayError, TruncatedStream) as error:
            for delta in answer.cost():
                yield delta
            ended = await io.run(partial(self._failed, error))
            if ended is None:
                return
            if self._retraction is not None:
                yield self._retraction
            if ended is error:
                raise
            raise ended from (error.__cause__ or error)
        for delta in answer.rest():
            yield delta
        self.done = True
        if found is None:
            # Words beside a tool call would be glued to the object by the host.
            keeper.goes_on(self._ladder)
        else:
            keeper.kept(found, answer, self._ladder)
            yield answer.whole(found)

    def close(self) -> None:
        self._keeper.close(self._ladder, self._answer)

    def _failed(self, error: ContractError | GatewayError | TruncatedStream) -> Exception | None:
        """The error that ends the call; none where it is asked again."""
        self._retraction = self._answer.retracted() or self._retraction
        again = self._keeper.again(self._ladder, self._call, self._answer, error)
        if again is None:
            return self._keeper.ended(self._ladder, self._answer, error)
        self._asked = again
        return None


async def _taken(answer: Answer, asked: Call, inner: Next) -> Deltas:
    """What is told of an answer while it comes in."""
    async with inner(asked) as out:
        async for delta in out:
            if (filled := answer.take(delta)) is not None:
                yield filled


def _observed(keeper: Keeper) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        answer, ladder = Answer(keeper.schema), Ladder(Repair(reasks=0), keeper.schema)
        async with inner(call) as out:
            async for delta in out:
                answer.note(delta)
                yield delta
        if answer.calls_tools:
            return
        try:
            found = await io.run(partial(keeper.hold, answer))
        except ContractError as error:
            ladder.again(call, answer.failed(error), error)
            keeper.broken(error, answer, ladder)
        else:
            keeper.kept(found, answer, ladder)

    return layer
