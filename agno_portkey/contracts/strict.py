"""JSON taken at its word: no key twice with two values, no NaN, no number that no float is near."""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["LENIENT", "STRICT", "Unclear", "is_beyond", "number", "same"]

_NOT_ZERO = re.compile(r"[^eE]*[1-9]")


class Unclear(ValueError):
    """JSON by its grammar, and no value by it."""


def number(text: str) -> int | float:
    """The number that `text` spells; raises `Unclear` where it is not finite, or lost in zero."""
    near = float(text)
    if not math.isfinite(near) or (near == 0 and _NOT_ZERO.match(text)):
        raise Unclear("a number is too large or too small")
    return int(text) if text.lstrip("+-").isdigit() else near


def is_beyond(text: str) -> bool:
    """Whether `text` spells a number, and none that is finite and told from zero."""
    try:
        number(text.strip())
    except Unclear:
        return True
    except ValueError:
        return False
    return False


def same(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON: `1` is neither `true` nor `1.0`."""
    try:
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except RecursionError:
        return False


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made and not same(made[key], value):
            raise Unclear(f"the key {key!r} stands twice, with different values")
        made[key] = value
    return made


def _no_constant(name: str) -> Any:
    raise Unclear(f"{name} is no JSON number")


def _decoder(*, strict: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_pairs,
        parse_constant=_no_constant,
        parse_float=number,
        parse_int=number,
        strict=strict,
    )


STRICT = _decoder(strict=True)
# Takes line breaks in a text.
LENIENT = _decoder(strict=False)
