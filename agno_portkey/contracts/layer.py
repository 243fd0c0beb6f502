"""The layer that holds the answers of a model to the schema that was asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agno.models.response import ModelResponse

from agno_portkey.calls import IO, Call, Deltas, Layer, Next
from agno_portkey.contracts.answer import Answer
from agno_portkey.contracts.check import refusal, wanted
from agno_portkey.contracts.contract import Contract, contract_for, input_held, output_held
from agno_portkey.contracts.known import Known
from agno_portkey.contracts.partial import Filling
from agno_portkey.contracts.repair import Ladder, Repair
from agno_portkey.contracts.rescue import Rescued
from agno_portkey.contracts.schemas import Problem, Schema, any_object
from agno_portkey.drivers import Owned
from agno_portkey.errors import (
    Blocked,
    ContractError,
    GatewayError,
    InputContractError,
    TruncatedStream,
)
from agno_portkey.modes import Mode, mode_now
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["Keeping", "contract_layer", "tell_broken"]


@dataclass(frozen=True, slots=True)
class Keeping:
    """How the outputs of one model are held: `contracts`, and what is done about a broken one.

    `mode`, unless AGNO_PORTKEY_CONTRACTS_MODE says another: `enforce` keeps the answer back until
    it is whole and valid, and passes it on in one piece; `observe` passes it on as it comes, and
    afterwards tells of a broken one; `off` does not look.
    """

    mode: Mode = "enforce"
    contracts: tuple[Contract, ...] = ()
    repair: Repair = field(default_factory=Repair)
    observers: tuple[Observer, ...] = ()
    swarm: str | None = None

    def fills(self, response_format: object, noted: Schema | None) -> bool:
        """Whether partial objects are to be told of answers of this form."""
        if not any(contract.partials for contract in self.contracts):
            return False
        contract = contract_for(self.contracts, _schema(response_format, noted))
        enforced = mode_now("contracts", self.mode) == "enforce"
        return enforced and contract is not None and contract.partials


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
    schema = _schema(call.response_format, noted)
    keeper = _Keeper(schema or noted, call, keeping, mode, known)
    if not held and any(contract.handed for contract in keeping.contracts):
        keeper.require_input()
    if schema is None:
        return None
    return _held(keeper) if mode == "enforce" else _observed(keeper)


def _schema(response_format: object, noted: Schema | None) -> Schema | None:
    """The schema that is asked for; in JSON mode the one that was noted, if one was."""
    schema = wanted(response_format)
    return noted if schema is not None and schema.is_any and noted is not None else schema


class _Keeper:
    """Holds the answers to one call to a schema, and lets observers hear of each."""

    def __init__(
        self,
        schema: Schema | None,
        call: Call,
        keeping: Keeping,
        mode: Mode,
        known: Callable[[], Known],
    ) -> None:
        run = call.run_response
        self.contract = contract_for(keeping.contracts, schema)
        self.repair = (self.contract and self.contract.repair) or keeping.repair
        self.schema = schema or any_object()
        self.fills = self.contract is not None and self.contract.partials
        self._keeping = keeping
        self._mode: Mode = mode
        self._known = known
        self._run = run
        self._role = getattr(run, "agent_name", None) or getattr(run, "team_name", None)
        self._who = {"role": self._role, "swarm": keeping.swarm, "run_id": call.run_id}

    def require_input(self) -> None:
        """Hold what the run was handed to its schema; where no hook has done so."""
        handed = getattr(getattr(self._run, "input", None), "input_content", None)
        if handed is None:
            return
        try:
            input_held(self._keeping.contracts, self.schema, handed, role=self._role)
        except InputContractError as error:
            self._tell(error.verdict, {})
            if self._mode == "enforce":
                raise

    def hold(self, answer: Answer) -> Rescued:
        """The object that an answer holds; raises ContractError."""
        known, role = self._known(), self._role
        if answer.refused:
            # Asked again, it would refuse again.
            raise refusal(self.schema, [Problem((), "the model refuses to answer")], role)
        text, contract = answer.text, self.contract
        return output_held(self.schema, text, contract=contract, known=known, role=role)

    def again(
        self,
        ladder: Ladder,
        call: Call,
        answer: Answer,
        error: ContractError | GatewayError | TruncatedStream,
    ) -> Call | None:
        """The call that asks for the answer again, if it is to be asked for."""
        if isinstance(error, GatewayError) and not ladder.attempts:
            # Nothing was answered, and all that can be done about that is done.
            return None
        return ladder.again(call, answer.failed(error), error)

    def ended(self, ladder: Ladder, answer: Answer, error: Exception) -> Exception:
        """The error that the call ends with, of which observers hear."""
        ended = ladder.ended(error)
        if isinstance(ended, ContractError):
            self.broken(ended, answer, ladder)
        return ended

    def kept(self, found: Rescued, answer: Answer, ladder: Ladder) -> None:
        """An object is passed on."""
        data = {
            "rung": ladder.rung if ladder.attempts else found.rung,
            "edits": [edit.kind for edit in found.edits],
            "changes": [f"{'.'.join(map(str, one.path))}: {one.kind}" for one in found.changes],
        }
        verdict = Verdict(True, f"contract {self.schema.name}")
        figures = _figures(answer, ladder, attempts=len(ladder.attempts) + 1)
        self._tell(verdict, {**data, **figures})

    def broken(self, error: ContractError, answer: Answer, ladder: Ladder) -> None:
        """No object came of it."""
        if self._mode == "observe":
            log_broken(error)
        figures = _figures(answer, ladder, attempts=len(ladder.attempts))
        self._tell(error.verdict, {"rung": None, **figures})

    def _tell(self, verdict: Verdict, data: dict[str, Any]) -> None:
        data = {"stage": "model", "mode": self._mode, **data}
        tell(self._keeping.observers, Event("contract", verdict=verdict, data=data, **self._who))


def _figures(answer: Answer, ladder: Ladder, *, attempts: int) -> dict[str, Any]:
    """What the answers took, and whose they were: the first one's, who may have been rescued."""
    failed = ladder.usage
    who = ladder.attempts[0].who if ladder.attempts else answer.who
    return {
        **who,
        **({"rescued_by": answer.who} if answer.who != who else {}),
        "attempts": attempts,
        "tokens": answer.usage.total_tokens,
        "failed_tokens": failed.total_tokens,
        "failed_cost": failed.cost,
    }


def _held(keeper: _Keeper) -> Layer:
    async def layer(call: Call, io: IO, inner: Next) -> Deltas:
        ladder = Ladder(keeper.repair, keeper.schema)
        asked = call = replace(call, partials=call.stream and keeper.fills)
        told: ModelResponse | None = None
        while True:
            filling = Filling() if call.partials else None
            answer = Answer(keeper.schema, filling, attempt=len(ladder.attempts) + 1)
            try:
                async with Owned(_taken(answer, asked, inner)) as out:
                    async for delta in out:
                        yield delta
                if answer.calls_tools:
                    # Words beside a tool call would be glued to the object by the host.
                    return
                # The repair of a long text takes its time, off the event loop where there is one.
                found = await io.run(partial(keeper.hold, answer))
            except (ContractError, GatewayError, TruncatedStream) as error:
                told = answer.retracted() or told
                again = keeper.again(ladder, call, answer, error)
                if again is None:
                    if told is not None:
                        yield told
                    if (ended := keeper.ended(ladder, answer, error)) is error:
                        raise
                    raise ended from (error.__cause__ or error)
                asked = again
            else:
                keeper.kept(found, answer, ladder)
                yield answer.whole(found)
                return

    return layer


async def _taken(answer: Answer, asked: Call, inner: Next) -> Deltas:
    """What goes on of an answer while it comes in."""
    async with inner(asked) as out:
        async for delta in out:
            filled = answer.take(delta)
            yield delta
            if filled is not None:
                yield filled


def _observed(keeper: _Keeper) -> Layer:
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


def tell_broken(
    observers: Iterable[Observer], error: Blocked, *, mode: Mode, stage: str, **who: Any
) -> None:
    """Let observers hear that an output does not fit; where it goes through, it is logged too."""
    if mode == "observe":
        log_broken(error)
    data = {"stage": stage, "mode": mode}
    tell(observers, Event("contract", verdict=error.verdict, data=data, **who))


def log_broken(error: Blocked) -> None:
    """Say of a broken output that it goes through."""
    logging.getLogger("agno_portkey").warning("observed, not refused: %s", error)
