"""Which branch of a conditional the gateway takes, by its own rules.

The gateway decides; this tells whom it must have asked where it could not say so itself, because
nobody answered. Source: services/conditionalRouter.ts of the gateway, 1.15.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from agno_portkey.routing.config.routes import Conditional

__all__ = ["branch_of"]

_NUMBER = re.compile(r"\s*([+-]?(?:Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))")
_PATH = "/v1/chat/completions"


def branch_of(
    route: Conditional, *, metadata: Mapping[str, Any], params: Mapping[str, Any]
) -> int | None:
    """The index of the branch for a request, none if there is none or it can't be told."""
    context = {"metadata": metadata, "params": params, "url": {"pathname": _PATH}}
    name = route.default
    try:
        for condition in route.conditions:
            if _holds(condition.query.as_json(), context):
                name = condition.then
                break
    except re.error:
        # An expression of JavaScript that Python can't read.
        return None
    names = [target.name for target in route.targets]
    return names.index(name) if name in names else None


def _holds(query: Mapping[str, Any], context: Mapping[str, Mapping[str, Any]]) -> bool:
    for key, wanted in query.items():
        if key == "$or" and isinstance(wanted, list):
            return any(_holds(each, context) for each in wanted)
        if key == "$and" and isinstance(wanted, list):
            return all(_holds(each, context) for each in wanted)
        place, _, name = key.partition(".")
        value = context.get(place, {}).get(name.partition(".")[0])
        if isinstance(wanted, Mapping):
            if not _satisfies(value, wanted):
                return False
        elif not _same(value, wanted):
            return False
    return True


def _satisfies(value: Any, operators: Mapping[str, Any]) -> bool:
    for operator, wanted in operators.items():
        if operator == "$regex":
            return re.search(str(wanted), _text(value)) is not None
        if not _compares(operator, value, wanted):
            return False
    return True


def _compares(operator: str, value: Any, wanted: Any) -> bool:
    match operator:
        case "$eq":
            return _same(value, wanted)
        case "$ne":
            return not _same(value, wanted)
        case "$in":
            return isinstance(wanted, list) and any(_same(value, each) for each in wanted)
        case "$nin":
            return isinstance(wanted, list) and not any(_same(value, each) for each in wanted)
    one, other = _number(value), _number(wanted)
    match operator:
        case "$gt":
            return one > other
        case "$gte":
            return one >= other
        case "$lt":
            return one < other
        case _:
            return one <= other


def _same(one: Any, other: Any) -> bool:
    """Equality without conversion: 1 is 1.0 and not true; a list or mapping equals nothing."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | dict) or isinstance(other, list | dict):
        return False
    return bool(one == other)


def _number(value: Any) -> float:
    found = _NUMBER.match(_text(value))
    return float(found[1].replace("Infinity", "inf")) if found else math.nan


def _text(value: Any) -> str:
    if value is None:
        return "undefined"
    return str(value).lower() if isinstance(value, bool) else str(value)
