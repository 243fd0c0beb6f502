"""`ContractHook`: an agent with an `output_schema` ends with an object, or not at all."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agno_portkey.contracts import validate
from agno_portkey.hooks.base import Hook, Moment

__all__ = ["ContractHook"]


class ContractHook(Hook):
    """A post-hook that refuses an output which is not of the agent's or team's `output_schema`.

    The host ends a run whose JSON does not fit as COMPLETED, with a string.
    """

    def after(self, moment: Moment) -> None:
        schema: Any = moment.run_context.output_schema or moment.owner.output_schema
        if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
            return
        output = moment.run_output
        output.content = validate(schema, output.content, role=moment.name)
