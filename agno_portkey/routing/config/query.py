"""The conditions of a conditional route: `metadata("tier") == "gold"`, joined with `&` and `|`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from agno_portkey.errors import ConfigurationError

__all__ = ["Operand", "Query", "metadata", "param", "path"]

_LOGICAL = ("$and", "$or")
_EQUAL = ("$eq", "$ne")
_LISTS = ("$in", "$nin")
_ORDER = ("$gt", "$gte", "$lt", "$lte")
_PATH = "url.pathname"
# Python's alone: JavaScript takes them for something else or for no regular expression at all,
# and a broken one never matches.
_PYTHON_ONLY = re.compile(r"\(\?P|\(\?[aiLmsux]+\)|\(\?#|\\[AZ]")


def metadata(name: str) -> Operand:
    """A tag of the request; tags are text, so what it is compared with becomes text.

    Where the tag is absent, `!=` and `not_in` hold, and `matches` sees the text `undefined`.
    """
    return Operand(f"metadata.{name}")


def param(name: str) -> Operand:
    """A top-level field of the request's body, as `param("model")`."""
    return Operand(f"params.{name}")


def path() -> Operand:
    """The path of the request, as `/v1/chat/completions`."""
    return Operand(_PATH)


class Query:
    """A condition in the gateway's JSON; made by comparing an operand, or by `Query.parse`."""

    __slots__ = ("_json",)

    def __init__(self, json: Mapping[str, Any]) -> None:
        self._json = _normal(json)

    @classmethod
    def parse(cls, data: object) -> Query:
        """The query of the gateway's JSON; what the gateway would misread is refused."""
        if isinstance(data, Query):
            return data
        if not isinstance(data, Mapping):
            raise ConfigurationError("a query is a mapping, as {'metadata.tier': {'$eq': 'gold'}}")
        return cls(data)

    def as_json(self) -> dict[str, Any]:
        """The query as the gateway reads it."""
        return self._json

    def __and__(self, other: Query) -> Query:
        return Query({"$and": [*self._parts("$and"), *other._parts("$and")]})

    def __or__(self, other: Query) -> Query:
        return Query({"$or": [*self._parts("$or"), *other._parts("$or")]})

    def __bool__(self) -> NoReturn:
        raise TypeError("a query is neither true nor false here: join queries with & and |")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Query) and self._json == other._json

    def __hash__(self) -> int:
        return hash(repr(self._json))

    def __repr__(self) -> str:
        return f"Query({self._json!r})"

    def _parts(self, operator: str) -> list[dict[str, Any]]:
        return self._json.get(operator) or [self._json]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda q: q.as_json()),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "object", "minProperties": 1}


class Operand:
    """What a query compares: a tag, a field of the body, or the path."""

    __slots__ = ("key",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, key: str) -> None:
        _check_key(key)
        self.key = key

    def __repr__(self) -> str:
        return f"Operand({self.key!r})"

    def __eq__(self, value: object) -> Query:  # type: ignore[override]
        return self._compared("$eq", value)

    def __ne__(self, value: object) -> Query:  # type: ignore[override]
        return self._compared("$ne", value)

    def __lt__(self, value: object) -> Query:
        return self._compared("$lt", value)

    def __le__(self, value: object) -> Query:
        return self._compared("$lte", value)

    def __gt__(self, value: object) -> Query:
        return self._compared("$gt", value)

    def __ge__(self, value: object) -> Query:
        return self._compared("$gte", value)

    def in_(self, values: Iterable[object]) -> Query:
        """Whether it is one of `values`."""
        return self._compared("$in", _listed(values))

    def not_in(self, values: Iterable[object]) -> Query:
        """Whether it is none of `values`; holds where it is absent."""
        return self._compared("$nin", _listed(values))

    def matches(self, pattern: str) -> Query:
        """Whether the regular expression, a JavaScript one, is found in it."""
        return self._compared("$regex", pattern)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self.key} alone is no condition: compare it, as with ==")

    def _compared(self, operator: str, value: object) -> Query:
        return Query({self.key: {operator: value}})


def _listed(values: Iterable[object]) -> list[object]:
    if isinstance(values, str):
        raise ConfigurationError(f"a list of values, not the text {values!r}")
    return list(values)


def _normal(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with one operator an object: the gateway drops what stands beside some of them."""
    if len(data) > 1 and (logical := [key for key in data if key in _LOGICAL]):
        raise ConfigurationError(
            f"{logical[0]}: nothing may stand beside it, the gateway would ignore it; "
            "put it all into one $and"
        )
    parts = [part for key, value in data.items() for part in _entry(key, value)]
    if not parts:
        raise ConfigurationError("an empty query is always true: use `default` instead")
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _entry(key: object, value: object) -> list[dict[str, Any]]:
    if key in _LOGICAL:
        if not isinstance(value, list | tuple) or not value:
            raise ConfigurationError(f"{key}: a list of at least one query")
        return [{str(key): [Query.parse(each).as_json() for each in value]}]
    name = _check_key(key)
    operators = value if isinstance(value, Mapping) else {"$eq": value}
    if not operators:
        raise ConfigurationError(f"{name}: an operator is missing, as {{'$eq': 'gold'}}")
    if "$regex" in operators and len(operators) > 1:
        raise ConfigurationError(
            f"{name}: the gateway ignores what follows $regex in an object; use $and"
        )
    return [{name: {op: _operand(name, op, each)}} for op, each in operators.items()]


def _check_key(key: object) -> str:
    scope, _, name = str(key).partition(".")
    if key == _PATH or (scope in ("metadata", "params") and name and "." not in name):
        return str(key)
    if scope in ("metadata", "params") and "." in name:
        raise ConfigurationError(
            f"{key}: the gateway looks one level deep only; use a key without a dot"
        )
    raise ConfigurationError(
        f"{key}: a query is about metadata.NAME, params.NAME or {_PATH} (or $and, $or)"
    )


def _operand(key: str, operator: str, value: object) -> Any:
    if operator in _EQUAL:
        return _comparable(key, value)
    if operator in _LISTS:
        if not isinstance(value, list | tuple) or not value:
            raise ConfigurationError(f"{key}: {operator} takes a list of at least one value")
        return [_comparable(key, each) for each in value]
    if operator in _ORDER:
        return _number(key, operator, value)
    if operator == "$regex":
        return _pattern(key, value)
    if operator == "$exists":
        raise ConfigurationError(
            f"{key}: the gateway has no $exists; compare with the values it may have"
        )
    known = ", ".join((*_EQUAL, *_ORDER, *_LISTS, "$regex"))
    raise ConfigurationError(f"{key}: no operator {operator!r}; there are {known}")


def _comparable(key: str, value: object) -> object:
    if not isinstance(value, str | int | float) or _is_odd(value):
        raise ConfigurationError(
            f"{key}: compared with a text, number or flag, not {type(value).__name__}"
        )
    if isinstance(value, str) or not key.startswith("metadata."):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(key: str, operator: str, value: object) -> float:
    if key == _PATH:
        raise ConfigurationError(f"{key}: {operator} compares numbers; use $eq, $in or $regex")
    try:
        if isinstance(value, str):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and not _is_odd(value):
            return value
    except ValueError:
        pass
    raise ConfigurationError(f"{key}: {operator} takes a number, not {type(value).__name__}")


def _pattern(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{key}: $regex takes a regular expression as text")
    if found := _PYTHON_ONLY.search(value):
        raise ConfigurationError(
            f"{key}: $regex takes a JavaScript regular expression, which has no {found[0]!r}"
        )
    return value


def _is_odd(value: str | float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
