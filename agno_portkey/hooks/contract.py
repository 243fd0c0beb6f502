"""`ContractHook`: an agent with an `output_schema` ends with an object, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from agno_portkey.contracts import tell_broken, validate
from agno_portkey.errors import ContractError
from agno_portkey.hooks.base import Hook, Moment
from agno_portkey.modes import Mode, check_mode, mode_now
from agno_portkey.verdict import Observer, check_observers

__all__ = ["ContractHook"]


class ContractHook(Hook):
    """A post-hook that refuses an output which is not of the agent's or team's `output_schema`.

    The host ends a run whose JSON does not fit as COMPLETED, with a string. `observe` leaves it at
    that, and lets `observers` hear of it; `off` does not look. AGNO_PORTKEY_CONTRACTS_MODE
    overrides `mode`.
    """

    def __init__(self, *, mode: Mode = "enforce", observers: Sequence[Observer] = ()) -> None:
        self.mode: Mode = check_mode(mode, name="contracts.mode")
        self.observers = check_observers(observers)

    def after(self, moment: Moment) -> None:
        schema: Any = moment.run_context.output_schema or moment.owner.output_schema
        mode = mode_now("contracts", self.mode)
        if mode == "off" or not (isinstance(schema, type) and issubclass(schema, BaseModel)):
            return
        output = moment.run_output
        try:
            valid = validate(schema, output.content, role=moment.name)
        except ContractError as error:
            swarm = moment.name if moment.is_team else None
            who = {"role": moment.name, "swarm": swarm, "run_id": moment.run_id}
            tell_broken(self.observers, error, mode=mode, stage="post", **who)
            if mode == "enforce":
                raise
            return
        if mode == "enforce":
            output.content = valid
