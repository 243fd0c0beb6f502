"""`Contract`: a schema, the rules beyond it, what a run is handed, and how far to mend."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from agno_portkey.contracts.check import held_to, refusal, wanted
from agno_portkey.contracts.known import Known
from agno_portkey.contracts.repair import Repair
from agno_portkey.contracts.rescue import Rescued
from agno_portkey.contracts.role_rules import rules_of
from agno_portkey.contracts.schemas import Misfit, Problem, Schema, problems_of
from agno_portkey.errors import ConfigurationError, ContractError, InputContractError
from agno_portkey.verdict import failure_of

__all__ = [
    "Contract",
    "Rule",
    "check_contracts",
    "contract_for",
    "input_held",
    "output_held",
]

AnySchema = type[BaseModel] | Mapping[str, Any]


# Takes the object, and what is `Known` if it takes two; gives what is wrong, or nothing.
Rule = Callable[..., object]


@dataclass(frozen=True)
class Contract:
    """What a structured output has to be, beyond its schema.

    `output` is the `output_schema` that the contract is for: a Pydantic model or a JSON schema.
    Each of `rules` is called with the valid object, and with a `Known` if it has to be given
    a second argument; it returns None or True where it holds, else a reason or several (a text, or
    a `Problem` with its path), or raises ValueError. What else it raises ends the run: nobody can
    tell then whether the output holds.

    `input` is the schema of what a run that is to give this output is handed. `repair` says how
    far a broken output is mended, in place of the model's own. With `partials` a stream tells what
    is there of the object while it fills, see `partial_of`.
    """

    output: AnySchema | None = None
    rules: Sequence[Rule] = ()
    input: AnySchema | None = None
    repair: Repair | None = None
    partials: bool = False
    # What the schemas are, once.
    of: Schema | None = field(init=False, compare=False, repr=False)
    handed: Schema | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", _schema(self.output, "output"))
        object.__setattr__(self, "handed", _schema(self.input, "input"))
        object.__setattr__(self, "rules", _rules(self.rules))
        if self.of is None and (self.rules or self.partials or self.repair):
            raise ConfigurationError("Contract.output: rules, repair and partials need a schema")
        if self.of is None and self.handed is None:
            raise ConfigurationError("Contract: give an output schema, an input schema or both")
        if self.repair is not None and not isinstance(self.repair, Repair):
            raise ConfigurationError(f"Contract.repair: a Repair, not {self.repair!r}")

    def is_for(self, schema: Schema | None) -> bool:
        """Whether this is a contract for outputs of `schema`."""
        return self.of is not None and schema is not None and self.of.of == schema.of

    def __deepcopy__(self, memo: dict[int, Any]) -> Contract:
        return self


def check_contracts(contracts: object) -> tuple[Contract, ...]:
    """`contracts` as a tuple; two for one schema are refused, as is what is none."""
    if isinstance(contracts, Contract | str) or not isinstance(contracts, Iterable):
        raise ConfigurationError(f"contracts: a list of Contract, not {contracts!r}")
    several = tuple(contracts)
    for number, one in enumerate(several):
        if not isinstance(one, Contract):
            raise ConfigurationError(f"contracts[{number}]: a Contract, not {one!r}")
        if any(earlier.is_for(one.of) for earlier in several[:number]):
            name = one.of.name if one.of else ""
            raise ConfigurationError(f"contracts[{number}]: there is one for {name} already")
    return several


def contract_for(contracts: Iterable[Contract], schema: Schema | None) -> Contract | None:
    """The contract for outputs of `schema`, if there is one."""
    return next((one for one in contracts if one.is_for(schema)), None)


def output_held(
    schema: Schema,
    content: object,
    *,
    contract: Contract | None = None,
    known: Known | None = None,
    role: str | None = None,
) -> Rescued:
    """The object of `schema` that `content` holds, which the rules of `contract` allow.

    Raises `ContractError`, whose cause is a `Misfit` where the author of `content` can mend it.
    """
    found = held_to(schema, content, role=role)
    rules = (*rules_of(schema.of), *(contract.rules if contract else ()))
    problems = [
        problem
        for rule in rules
        # A rule that changes what it looks at changes its own.
        for problem in _broken(rule, deepcopy(found.value), known or Known(), schema, role)
    ]
    if problems:
        raise refusal(schema, problems, role) from Misfit(tuple(problems))
    return found


def input_held(
    contracts: Iterable[Contract], schema: Schema | None, content: object, *, role: str | None
) -> object:
    """`content`, a run's input, where it is what the contracts say; `InputContractError` else.

    What was mended comes back as JSON text. A contract without an output is for every run.
    """
    for one in contracts:
        if one.handed is None or not (one.of is None or one.is_for(schema)):
            continue
        try:
            data = content.model_dump() if isinstance(content, BaseModel) else content
            found = held_to(one.handed, data, role=role)
        except ContractError as error:
            what = f"{role}'s input" if role else "the input"
            said = f"{what} is not a valid {one.handed.name}: {error.verdict.reason}"
            said = f"{said}; give {_form(one.handed)}"
            raise InputContractError(error.verdict, said) from error
        if found.rung != "given" or isinstance(content, Mapping):
            # The host takes texts and models for an input, and no mappings.
            content = found.text
    return content


def _form(schema: Schema) -> str:
    """The JSON that is due, in words: the leader of a team has not seen the schema."""
    form = schema.resolved(schema.json)
    required = form.get("required") or ()
    fields = [
        f"{name} ({_kind(schema, part)}{'' if name in required else ', may be left out'})"
        for name, part in (form.get("properties") or {}).items()
    ]
    return f"a JSON object with {', '.join(fields)}" if fields else f"JSON: {form.get('type')}"


def _kind(schema: Schema, part: Any) -> str:
    node = schema.resolved(part)
    return str(node.get("type") or ("one of several" if node.get("anyOf") else "any"))


def _broken(
    rule: Rule, value: Any, known: Known, schema: Schema, role: str | None
) -> list[Problem]:
    name = getattr(rule, "__name__", type(rule).__name__)
    try:
        said = rule(value, known) if _takes_known(rule) else rule(value)
        if said is None or said is True:
            return []
        if said is False:
            return [Problem((), f"it breaks the rule {name}")]
        several: list[object] = [said] if isinstance(said, str | Problem) else [*_iterated(said)]
        if not all(isinstance(one, str | Problem) for one in several):
            raise TypeError(f"a rule gives reasons, not {said!r}")
    except ValidationError as error:
        return [*problems_of(error)]
    except (ValueError, AssertionError) as error:
        return [Problem((), str(error) or f"it breaks the rule {name}")]
    except Exception as error:
        raise refusal(schema, [Problem((), failure_of(f"the rule {name}", error))], role) from error
    said = f"it breaks the rule {name}"
    return [one if isinstance(one, Problem) else Problem((), str(one) or said) for one in several]


def _iterated(said: object) -> Iterable[object]:
    if not isinstance(said, Iterable):
        raise TypeError(f"a rule gives reasons, not {said!r}")
    return said


def _takes_known(rule: Rule) -> bool:
    """Whether `rule` has to be given a second argument, or names it `known`."""
    try:
        parameters = [*inspect.signature(rule).parameters.values()]
    except (TypeError, ValueError):  # some functions that are not Python's own have none
        return False
    second = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:2]
    return any(p.default is p.empty or p.name == "known" for p in second)


def _schema(given: object, name: str) -> Schema | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return wanted(given)
    if isinstance(given, type) and issubclass(given, BaseModel):
        return Schema(given)
    raise ConfigurationError(f"Contract.{name}: a Pydantic model or a JSON schema, not {given!r}")


def _rules(given: object) -> tuple[Rule, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(f"Contract.rules: a list of functions, not {given!r}")
    rules = tuple(given)
    for number, rule in enumerate(rules):
        if not callable(rule):
            raise ConfigurationError(f"Contract.rules[{number}]: a function, not {rule!r}")
        bodies = (rule, getattr(rule, "__call__", None))  # noqa: B004
        if any(map(inspect.iscoroutinefunction, bodies)) or any(
            map(inspect.isasyncgenfunction, bodies)
        ):
            # It would be called and never awaited, and hold nothing.
            raise ConfigurationError(f"Contract.rules[{number}]: a plain def, not an async one")
    return rules
