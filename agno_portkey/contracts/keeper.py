"""What is done with the answers to one call: held to a schema, asked for again, and told of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agno.run.cancel import raise_if_cancelled

from agno_portkey.calls import Call
from agno_portkey.contracts.answer import Answer
from agno_portkey.contracts.check import refusal, wanted
from agno_portkey.contracts.contract import Contract, contract_for, input_held, output_held
from agno_portkey.contracts.known import Known
from agno_portkey.contracts.repair import Ladder, Repair
from agno_portkey.contracts.rescue import Rescued
from agno_portkey.contracts.schemas import Problem, Schema, any_object
from agno_portkey.errors import (
    Blocked,
    ContractError,
    GatewayError,
    InputContractError,
    TruncatedStream,
)
from agno_portkey.latest import Latest
from agno_portkey.modes import Mode, mode_now
from agno_portkey.verdict import Event, Observer, Verdict, tell

__all__ = ["Keeper", "Keeping", "schema_asked", "tell_broken"]


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
    # The attempts at answers whose models have called tools since.
    begun: Latest[Ladder] = field(default_factory=Latest)

    def fills(self, response_format: object, noted: Schema | None) -> bool:
        """Whether partial objects are to be told of answers of this form."""
        if not any(contract.partials for contract in self.contracts):
            return False
        contract = contract_for(self.contracts, schema_asked(response_format, noted))
        enforced = mode_now("contracts", self.mode) == "enforce"
        return enforced and contract is not None and contract.partials


def schema_asked(response_format: object, noted: Schema | None) -> Schema | None:
    """The schema that is asked for; in JSON mode the one that was noted, if one was."""
    schema = wanted(response_format)
    return noted if schema is not None and schema.is_any and noted is not None else schema


class Keeper:
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
        self._is_told = False
        self._mode: Mode = mode
        self._known = known
        self._run = run
        self._role = getattr(run, "agent_name", None) or getattr(run, "team_name", None)
        self._who = {"role": self._role, "swarm": keeping.swarm, "run_id": call.run_id}

    def require_input(self) -> None:
        """Hold what the run was handed to its schema; where no hook has done so."""
        if self._run is None:
            return  # the call of an auxiliary model, which is handed nothing
        handed = getattr(getattr(self._run, "input", None), "input_content", None)
        try:
            input_held(self._keeping.contracts, self.schema, handed, role=self._role)
        except InputContractError as error:
            self._tell(error.verdict, {})
            if self._mode == "enforce":
                raise

    def ladder(self) -> Ladder:
        """The attempts at this answer; those before the model called tools are among them."""
        begun = self._keeping.begun.take(self._who["run_id"])
        if begun is not None and begun.schema == self.schema:
            return begun
        return Ladder(self.repair, self.schema)

    def goes_on(self, ladder: Ladder) -> None:
        """Keep the attempts for the call that comes after the tools."""
        if ladder.attempts and (run_id := self._who["run_id"]) is not None:
            self._keeping.begun.note(run_id, ladder)
            self._is_told = True

    def close(self, ladder: Ladder, answer: Answer) -> None:
        """Tell of attempts that nothing came of: a guard refused the next, or the caller left."""
        if ladder.attempts and not self._is_told:
            verdict = Verdict(False, f"contract {self.schema.name}", ("no other answer came",))
            figures = _figures(answer, ladder, attempts=len(ladder.attempts))
            self._tell(verdict, {"rung": None, **figures})

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
        if self._who["run_id"] is not None:
            raise_if_cancelled(self._who["run_id"])
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
        self._is_told = True
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
