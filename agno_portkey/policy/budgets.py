"""The part of a policy that says how much may be spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from agno_portkey.errors import ConfigurationError
from agno_portkey.policy.parts import OneMode, PolicyPart, whole_reference
from agno_portkey.routing.config.parts import PartError, part_error
from agno_portkey.routing.config.references import is_reference, resolve
from agno_portkey.telemetry.ledger.budget import Budget

__all__ = ["AnyBudget", "BudgetUse", "budgets_of"]


def _text_of_dollars(value: object) -> object:
    # No YAML has a Decimal.
    return f"{value:f}" if isinstance(value, Decimal) else value


def _one_of(*choices: str) -> WithJsonSchema:
    return WithJsonSchema({"enum": [*choices]})


def _any_of(*kinds: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*kinds, {"type": "null"}]})


_REFERENCE = {"type": "string", "pattern": r"^\$\{\w+\}$"}


class BudgetUse(PolicyPart):
    """One budget; the fields are those of `Budget`, which says what is wrong with one.

    `limit_usd`, `limit_tokens` and `cost_center` may be a variable of the environment, `${NAME}`.
    """

    per: Annotated[Any, _one_of("run", "day", "total")]
    limit_usd: Annotated[
        Any, BeforeValidator(_text_of_dollars), _any_of({"type": "number"}, {"type": "string"})
    ] = None
    limit_tokens: Annotated[Any, _any_of({"type": "integer"}, _REFERENCE)] = None
    cost_center: Annotated[Any, _any_of({"type": "string"})] = None
    mode: OneMode = "enforce"
    unpriced: Annotated[Any, _one_of("refuse", "allow")] = "refuse"

    @model_validator(mode="after")
    def _is_a_budget(self) -> Self:
        given = dict(self)
        for name, value in given.items():
            if isinstance(value, str) and "${" in value:
                if name not in _STAND_INS:
                    raise part_error("policy", [((name,), f"the value itself, not {value!r}")])
                try:
                    whole_reference(value)
                except ValueError as error:
                    raise part_error("policy", [((name,), str(error))]) from None
                given[name] = _STAND_INS[name]
        _made(given)
        return self

    def make(self, at: Any, place: int) -> Budget:
        """The budget itself; `at` says where the keys of the part at `place` stand, for errors."""
        given = dict(self)
        for name in _STAND_INS:
            if isinstance(text := given[name], str) and is_reference(text):
                given[name] = _read(name, resolve(text, path=at("budgets", place, name)))
        try:
            return _made(given)
        except PartError as error:
            # Only what the environment says was not looked at before.
            [(path, why)] = error.problems
            raise ConfigurationError(f"{at('budgets', place, *path)}: {why}") from None


# What counts for a variable's value until that is read.
_STAND_INS: Mapping[str, Any] = {"limit_usd": 0, "limit_tokens": 0, "cost_center": "any"}


def _read(name: str, text: str) -> Any:
    """What a variable says of a field: texts, but for a count."""
    digits = name == "limit_tokens" and text.isascii() and text.isdigit()
    return int(text) if digits else text


def _made(given: Mapping[str, Any]) -> Budget:
    """The budget of these fields; what is wrong is said of the field that it is wrong with."""
    try:
        return Budget(**given)
    except ConfigurationError as error:
        place, _, why = str(error).partition(": ")
        name = place.partition(".")[2]
        raise part_error("policy", [((name,) if name else (), why)]) from None


def _use(value: Any) -> Any:
    if isinstance(value, Budget):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if not isinstance(value, Mapping | BudgetUse):
        known = ", ".join(each.name for each in fields(Budget))
        raise ValueError(f"a mapping of {known}, not {value!r}")
    return value


AnyBudget = Annotated[BudgetUse, BeforeValidator(_use, json_schema_input_type=BudgetUse)]


def budgets_of(uses: Sequence[BudgetUse], at: Any) -> tuple[Budget, ...]:
    """The budgets that a file names."""
    return tuple(use.make(at, place) for place, use in enumerate(uses))
