"""Scopes and conditions as SQL of SQLite, over the rows of the words file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agno_portkey.knowledge.search.chunks import Scope
from agno_portkey.knowledge.search.filters import (
    All,
    Condition,
    Not,
    Test,
    canonical,
    read_filters,
)

__all__ = ["condition_sql", "scope_sql"]

_FIELDS = ("id", "name", "content_id", "content_hash", "owner")


def scope_sql(scope: Scope) -> tuple[str, list[Any]]:
    """The condition that a row is in `scope`, and its values."""
    parts, values = ["1"], list[Any]()
    if scope.user_id is not None:
        parts.append("(owner = ? OR owner IS NULL)")
        values.append(scope.user_id)
    if scope.condition is not None:
        where, more = _of(scope.condition)
        # What can't be read fits nothing, nor its opposite.
        parts.append(f"meta IS NOT NULL AND ({where})")
        values += more
    return " AND ".join(parts), values


def condition_sql(fields: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The condition that a row has these fields; `meta` is a dict, all else a column's value."""
    parts, values = ["1"], list[Any]()
    for name, value in fields.items():
        if name == "meta":
            condition = read_filters(value)
            where, more = _of(condition) if condition is not None else ("1", [])
            parts.append(f"({where})")
            values += more
        elif name in _FIELDS:
            parts.append(f"{name} IS ?")
            values.append(value)
    return " AND ".join(parts), values


def _of(condition: Condition) -> tuple[str, list[Any]]:
    if isinstance(condition, Test):
        where, values = _tested(condition)
        each = "SELECT 1 FROM json_each(search_rows.meta) AS field WHERE field.key = ?"
        return f"EXISTS ({each} AND {where})", [condition.key, *values]
    if isinstance(condition, Not):
        where, values = _of(condition.of)
        return f"NOT ({where})", values
    within = [_of(each) for each in condition.of]
    word, nothing = (" AND ", "1") if isinstance(condition, All) else (" OR ", "0")
    joined = word.join(f"({where})" for where, _ in within) or nothing
    return joined, [value for _, values in within for value in values]


def _tested(test: Test) -> tuple[str, list[Any]]:
    value = test.value
    if test.op == "contains":
        return "field.type = 'text' AND instr(folded(field.value), ?)", [value.casefold()]
    if test.op == "startswith":
        return "field.type = 'text' AND substr(field.value, 1, ?) = ?", [len(value), value]
    if value is None:
        return "field.type = 'null'", []
    if isinstance(value, bool):
        return f"field.type = '{str(value).lower()}'", []
    if isinstance(value, int | float):
        return f"field.type IN ('integer', 'real') AND field.value {test.op} ?", [value]
    if isinstance(value, str):
        return f"field.type = 'text' AND field.value {test.op} ?", [value]
    return "field.type IN ('array', 'object') AND field.value = ?", [canonical(value)]
