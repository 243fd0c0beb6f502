"""Filters of Agno, as a dict or as expressions, read into conditions that a database can test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from typing import Any

from agno.filters import MAX_FILTER_DEPTH, FilterExpr

from agno_portkey.errors import ConfigurationError

__all__ = [
    "All",
    "Condition",
    "Either",
    "Not",
    "Test",
    "canonical",
    "fits",
    "is_plain",
    "read_filters",
]

_COMPARED = {"GT": ">", "GTE": ">=", "LT": "<", "LTE": "<="}
_TEXT = ("CONTAINS", "STARTSWITH")
_BY_OP: dict[str, Any] = {"=": eq, ">": gt, ">=": ge, "<": lt, "<=": le}
# SQLite takes no more, one in the other.
_MOST = 500


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
    condition = _read_all(filters)
    if (tests := _count(condition)) > _MOST:
        raise ConfigurationError(f"filters: {tests} conditions; give at most {_MOST} at once")
    return condition


def fits(condition: Condition | None, meta: Any) -> bool:
    """Whether a row with these metadata is one of those that are looked for."""
    if condition is None:
        return True
    if not isinstance(meta, dict) or not is_plain(meta):
        return False
    if isinstance(condition, Not):
        return not fits(condition.of, meta)
    if isinstance(condition, Test):
        return condition.key in meta and _passes(condition, meta[condition.key])
    within = (fits(each, meta) for each in condition.of)
    return all(within) if isinstance(condition, All) else any(within)


def is_plain(value: Any) -> bool:
    """Whether `value` is one of JSON that every database can hold and compare as it is."""
    try:
        text = canonical(value)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return "\\u0000" not in text or not _has_nul(value)


def _has_nul(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_nul(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _passes(test: Test, value: Any) -> bool:
    wanted = test.value
    if test.op in ("contains", "startswith"):
        if not isinstance(value, str):
            return False
        if test.op == "startswith":
            return value.startswith(wanted)
        return wanted.casefold() in value.casefold()
    for kind in (bool, int | float, str, type(None)):
        if isinstance(wanted, kind):
            same = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
            return same and bool(_BY_OP[test.op](value, wanted))
    return canonical(value) == canonical(wanted)


def _count(condition: Condition) -> int:
    if isinstance(condition, Test):
        return 1
    within = (condition.of,) if isinstance(condition, Not) else condition.of
    return sum(map(_count, within))


def _read_all(filters: Any) -> Condition:
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
    if not is_plain([key, value]):
        raise ConfigurationError(f"filters: {key!r} can't be compared with {value!r}")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = _as_float(key, value)
    return Test(key, op, value)


def _as_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigurationError(f"filters: {key}: the number is too large") from None
