"""One face for the two kinds of schema: a Pydantic model, and a JSON schema as a mapping."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from agno_portkey.errors import ConfigurationError
from agno_portkey.verdict import failure_of

__all__ = ["Misfit", "Problem", "Schema", "any_object"]

Path = tuple[str | int, ...]

_MAX_REFERENCES = 32
# Alternatives within alternatives.
_MAX_NESTED = 6
# Characters of a schema that are told.
_MAX_SAID = 200
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not fit: where, why, and the value that stands there."""

    path: Path
    message: str
    value: Any = None

    def __str__(self) -> str:
        where = ".".join(map(str, self.path)) or "(whole)"
        return f"{where}: {self.message}"


class Misfit(Exception):
    """A value does not fit its schema."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Schema:
    """What an output has to be: `of` is a Pydantic model or a JSON schema."""

    of: type[BaseModel] | Mapping[str, Any]
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        given = self.of
        if isinstance(given, Mapping):
            _validator(json.dumps(given, sort_keys=True, default=str))
            name = given.get("title") or "JSON object"
        else:
            name = given.__name__
        object.__setattr__(self, "name", self.name or str(name))

    @property
    def json(self) -> Mapping[str, Any]:
        """The JSON schema."""
        return self.of if isinstance(self.of, Mapping) else _json_of(self.of)

    @property
    def is_any(self) -> bool:
        """Whether any object fits."""
        return self.of == _ANY_OBJECT

    def fit(self, value: Any) -> Any:
        """`value`, parsed JSON, as the schema's object; raises `Misfit`."""
        if isinstance(self.of, Mapping):
            problems = tuple(_misfits(self.checker, value))
            if problems:
                raise Misfit(problems)
            return value
        # As JSON: strict models take lists for tuples, and texts for enums, there only.
        return _built(self.of.model_validate_json, json.dumps(value), value)

    def of_data(self, value: Any) -> Any:
        """`value`, an object's data in Python, as the schema's object; raises `Misfit`."""
        if isinstance(self.of, Mapping):
            return self.fit(value)
        return _built(self.of.model_validate, value, value)

    @cached_property
    def checker(self) -> Any:
        """What tells whether data fits the JSON schema."""
        return _validator(json.dumps(self.json, sort_keys=True, default=str))

    def resolved(self, node: Any) -> Mapping[str, Any]:
        """`node` with its reference followed; an empty schema where it leads nowhere."""
        for _ in range(_MAX_REFERENCES):
            if not isinstance(node, Mapping):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = _at(self.json, reference)
        return {}

    def keys_at(self, path: Path) -> frozenset[str]:
        """The keys that are declared for the object at `path`."""
        return frozenset(key for node in self.nodes_at(path) for key in node.get("properties", {}))

    def nodes_at(self, path: Path) -> list[Mapping[str, Any]]:
        """The schemas, one for each alternative, that may stand at `path`."""
        nodes = [*self._branches(self.json)]
        for part in path:
            below = [b for node in nodes for s in _below(node, part) for b in self._branches(s)]
            # Alternatives that refer to themselves are the same again at each level.
            nodes = [*{id(node): node for node in below}.values()]
        return nodes

    def _branches(self, node: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        node = self.resolved(node)
        alternatives = [one for name in ("anyOf", "oneOf", "allOf") for one in node.get(name) or ()]
        if not alternatives or depth > _MAX_NESTED:
            yield node
            return
        if node.get("properties"):
            yield node
        for one in alternatives:
            yield from self._branches(one, depth + 1)


@lru_cache(maxsize=1)
def any_object() -> Schema:
    """The schema of JSON mode, where the host does not say which one is meant."""
    return Schema(_ANY_OBJECT, "JSON object")


def _built(build: Callable[[Any], BaseModel], given: Any, value: Any) -> BaseModel:
    try:
        return build(given)
    except ValidationError as error:
        problems = problems_of(error)
    except Exception as error:  # a validator of the user's may raise anything
        problems = (Problem((), failure_of("a validator", error), value),)
    raise Misfit(problems)


@lru_cache(maxsize=256)
def _json_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _below(node: Mapping[str, Any], part: str | int) -> Iterator[Any]:
    if isinstance(part, int):
        prefix = node.get("prefixItems") or ()
        found = prefix[part] if part < len(prefix) else node.get("items")
    else:
        found = (node.get("properties") or {}).get(part, node.get("additionalProperties"))
    if isinstance(found, Mapping):
        yield found


def _at(schema: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        return {}
    node = schema
    for part in reference.lstrip("#").strip("/").split("/"):
        if not part:
            continue
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or part not in node:
            return {}
        node = node[part]
    return node


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """What does not fit, without the values."""
    found = [
        Problem(tuple(item["loc"]), _said(item), item.get("input"))
        for item in error.errors(include_url=False)
    ]
    # A list whose items are wrong counts as empty, too.
    return tuple(
        one
        for one, item in zip(found, error.errors(include_url=False), strict=True)
        if item["type"] != "too_short" or not any(_is_below(other, one) for other in found)
    )


def _is_below(one: Problem, other: Problem) -> bool:
    return one.path[: len(other.path)] == other.path and one.path != other.path


def _said(item: Any) -> str:
    """What is wrong; of a user's own validator its words alone."""
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _misfits(validator: Any, value: Any) -> Iterator[Problem]:
    from referencing.exceptions import Unresolvable

    try:
        for error in validator.iter_errors(value):
            yield Problem(tuple(error.absolute_path), _told(error), error.instance)
    except (Unresolvable, RecursionError) as error:
        yield Problem((), f"the schema can't be applied: {type(error).__name__}: {error}", value)


def _told(error: Any) -> str:
    """What a value breaks; the library's own words quote the value, which may be somebody's."""
    rule, due = error.validator, error.validator_value
    match rule:
        case "type":
            return f"it should be of type {due if isinstance(due, str) else ' or '.join(due)}"
        case "required":
            return str(error.message)
        case "additionalProperties" | "unevaluatedProperties":
            known = ", ".join(map(str, error.schema.get("properties") or {}))
            return f"it has other keys than {known}" if known else "it has keys that are not known"
        case "enum":
            return f"it should be one of {_short(due)}"
        case _:
            return f"it does not keep to {rule} {_short(due)}"


def _short(due: Any) -> str:
    said = json.dumps(due, default=str)
    return said if len(said) <= _MAX_SAID else f"{said[:_MAX_SAID]}..."


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    # Late: most agents have Pydantic schemas, whose answers mostly fit at once.
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    parsed = json.loads(schema)
    kind = validator_for(parsed)
    try:
        kind.check_schema(parsed)
    except SchemaError as error:
        raise ConfigurationError(f"output_schema is no JSON schema: {error.message}") from error
    # An empty registry: nothing is fetched.
    return kind(parsed, registry=Registry())
