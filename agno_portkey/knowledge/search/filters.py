"""Filters of Agno, as a dict or as expressions, read into conditions that a database can test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno.filters import MAX_FILTER_DEPTH, FilterExpr

from agno_portkey.errors import ConfigurationError

__all__ = ["All", "Condition", "Either", "Not", "Test", "canonical", "read_filters"]

_COMPARED = {"GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_TEXT = ("CONTAINS", "STARTSWITH")


@dataclass(frozen=True, slots=True)
class Test:
    """One field against one value: `=` a JSON value; `>`, `>=`, `<`, `<=` a number or a text;
    `contains` and `startswith` a text. A field that is not there fails it.

    Case does not matter to `contains`, as far as Postgres' locale knows the letters.
    """

    key: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class All:
    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    of: Condition


Condition = Test | All | Either | Not


def read_filters(filters: Any) -> Condition | None:
    """What `filters` say: a dict (every key equal), an expression, or a list of them (all of them).

    Values are compared as JSON: True is not 1, and 1 is 1.0. Raises ConfigurationError for what
    can't be meant, as leaving it out would show what was to be hidden.
    """
    if filters is None or (isinstance(filters, Mapping | list | tuple) and not filters):
        return None
    if isinstance(filters, Mapping) and "op" not in filters:
        return All(tuple(_test(key, "=", value) for key, value in filters.items()))
    if isinstance(filters, FilterExpr | Mapping):
        return _read(filters, 0)
    if isinstance(filters, Sequence) and not isinstance(filters, str):
        return All(tuple(_read(each, 0) for each in filters))
    raise ConfigurationError(f"filters: a dict, or expressions of agno.filters, not {filters!r}")


def canonical(value: Any) -> str:
    """A value as JSON in one spelling."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def _read(said: Any, depth: int) -> Condition:
    if depth > MAX_FILTER_DEPTH:
        raise ConfigurationError(f"filters: nested deeper than {MAX_FILTER_DEPTH}")
    told = said.to_dict() if isinstance(said, FilterExpr) else said
    if not isinstance(told, Mapping):
        raise ConfigurationError(f"filters: an expression of agno.filters, not {said!r}")
    op = told.get("op")
    try:
        if op == "NOT":
            return Not(_read(told["condition"], depth + 1))
        if op in ("AND", "OR"):
            within = tuple(_read(each, depth + 1) for each in told["conditions"])
            return All(within) if op == "AND" else Either(within)
        return _of_field(op, told)
    except (KeyError, TypeError):
        raise ConfigurationError(f"filters: {op} is not whole: {dict(told)!r}") from None


def _of_field(op: Any, told: Mapping[str, Any]) -> Condition:
    key = told["key"]
    if op == "IN":
        return Either(tuple(_test(key, "=", value) for value in told["values"]))
    value = told["value"]
    if op == "EQ":
        return _test(key, "=", value)
    if op == "NEQ":
        return Not(_test(key, "=", value))
    if op in _COMPARED:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ConfigurationError(f"filters: {op} compares numbers or texts, not {value!r}")
        return _test(key, _COMPARED[op], value)
    if op in _TEXT:
        if not isinstance(value, str):
            raise ConfigurationError(f"filters: {op} looks for a text, not {value!r}")
        return _test(key, op.lower(), value)
    raise ConfigurationError(f"filters: there is no {op!r}")


def _test(key: Any, op: str, value: Any) -> Test:
    if not isinstance(key, str):
        raise ConfigurationError(f"filters: a field is named by a text, not {key!r}")
    try:
        canonical([key, value]).encode()
    except (TypeError, ValueError):
        raise ConfigurationError(f"filters: {key} can't be compared with {value!r}") from None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = _as_float(key, value)
    return Test(key, op, value)


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigurationError(f"filters: {key}: the number is too large") from None
