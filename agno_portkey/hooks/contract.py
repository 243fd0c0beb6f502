"""`ContractHook`: an agent with an `output_schema` ends with an object, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_portkey.contracts import Contract, Known
from agno_portkey.contracts.check import wanted
from agno_portkey.contracts.contract import (
    check_contracts,
    contract_for,
    input_held,
    output_held,
)
from agno_portkey.contracts.keeper import tell_broken
from agno_portkey.contracts.known import Noted
from agno_portkey.contracts.schemas import Schema
from agno_portkey.errors import ContractError, InputContractError
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.modes import Mode, check_mode, mode_now
from agno_portkey.runs import run_in
from agno_portkey.verdict import Observer, check_observers

__all__ = ["ContractHook"]


class ContractHook(Hook):
    """Holds the output of a run to its schema and contract, and what it is handed to its input's.

    After a run it refuses an output which is not of the agent's or team's `output_schema`: the host
    ends a run whose JSON does not fit as COMPLETED, with a string. Before one it refuses an input
    that does not fit `Contract.input`, and lets the model know which schema is meant in JSON mode.
    `contracts` are those of this hook, beside the model's own.

    `observe` leaves it at that, and lets `observers` hear of it; `off` does not look.
    AGNO_PORTKEY_CONTRACTS_MODE overrides `mode`.
    """

    def __init__(
        self,
        contracts: Sequence[Contract] = (),
        *,
        mode: Mode = "enforce",
        observers: Sequence[Observer] = (),
    ) -> None:
        self.contracts = check_contracts(contracts)
        self.mode: Mode = check_mode(mode, name="contracts.mode")
        self.observers = check_observers(observers)

    def is_needed_before(self, owner: Any) -> bool:
        """Whether it has anything to do before the runs of `owner`, an agent or team."""
        several = (*self.contracts, *getattr(getattr(owner, "model", None), "contracts", ()))
        return _in_json_mode(owner) or any(each.handed is not None for each in several)

    def before(self, moment: Moment) -> None:
        mode = mode_now("contracts", self.mode)
        if mode == "off":
            return
        schema = _schema(moment)
        held = moment.run_input.input_content
        try:
            held = input_held(self._contracts(moment), schema, held, role=moment.name)
        except InputContractError as error:
            tell_broken(self.observers, error, mode=mode, stage="pre", **_who(moment))
            if mode == "enforce":
                raise
        else:
            if mode == "enforce":
                moment.run_input.input_content = held
        if (outputs := getattr(_model(moment), "outputs", None)) is not None:
            outputs.note(moment.run_id, Noted(schema))

    def after(self, moment: Moment) -> None:
        schema = _schema(moment)
        mode = mode_now("contracts", self.mode)
        if mode == "off" or schema is None or (mode == "observe" and self._is_told(moment)):
            return
        output = moment.run_output
        contract = contract_for(self._contracts(moment), schema)
        run = run_in(getattr(moment.run_context, "dependencies", None))
        known = run.known() if run is not None else Known()
        try:
            found = output_held(
                schema, output.content, contract=contract, known=known, role=moment.name
            )
        except ContractError as error:
            tell_broken(self.observers, error, mode=mode, stage="post", **_who(moment))
            if mode == "enforce":
                raise
            return
        if mode == "enforce":
            output.content = found.value

    def _is_told(self, moment: Moment) -> bool:
        """Whether the model of the run has told of its output already, by the same contracts."""
        outputs, owner = getattr(_model(moment), "outputs", None), moment.owner
        if self.contracts or outputs is None or getattr(owner, "parser_model", None):
            return False
        return not _in_json_mode(owner) or outputs.of(moment.run_id) is not None

    def _contracts(self, moment: Moment) -> tuple[Contract, ...]:
        return (*self.contracts, *getattr(_model(moment), "contracts", ()))


def _schema(moment: Moment) -> Schema | None:
    """The schema of the run's output, a Pydantic model or a JSON schema."""
    return wanted(moment.run_context.output_schema or moment.owner.output_schema)


def _in_json_mode(owner: Any) -> bool:
    """Whether the host does not tell the model of `owner` which schema it asks for."""
    native = getattr(getattr(owner, "model", None), "supports_native_structured_outputs", False)
    return not native or bool(getattr(owner, "use_json_mode", False))


def _model(moment: Moment) -> Any:
    return getattr(moment.owner, "model", None)


def _who(moment: Moment) -> dict[str, Any]:
    swarm = moment.name if moment.is_team else None
    return {"role": moment.name, "swarm": swarm, "run_id": moment.run_id}
