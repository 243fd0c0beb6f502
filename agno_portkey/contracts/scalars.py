"""Texts, numbers and choices as models spell them, each taken for one value or for none."""

from __future__ import annotations

import json
import re
from typing import Any

from agno_portkey.contracts.naming import is_choice
from agno_portkey.contracts.strict import number, same

__all__ = ["chosen", "is_of", "parsed"]

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,30})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,30})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")


def is_of(value: Any, kind: str) -> bool:
    """Whether `value` is of a JSON schema's `kind`, one without parts."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return value is None


def parsed(text: str, kind: str) -> tuple[Any] | None:
    """The value whose plain spelling `text` is, in a tuple, if there is one."""
    match kind:
        case "integer" if _INTEGER.fullmatch(text):
            return (int(text),)
        case "number" if _INTEGER.fullmatch(text) or _NUMBER.fullmatch(text):
            return (number(text),)
        case "boolean" if text.lower() in ("true", "false"):
            return (text.lower() == "true",)
        case "null" if text.lower() in ("null", "none"):
            return (None,)
        case _:
            return None


def chosen(value: Any, choices: list[Any]) -> tuple[str, Any] | None:
    """The one choice that `value` spells, and by which change; none if it is one as it stands."""
    if any(same(value, one) for one in choices):
        return None
    if isinstance(value, list) and len(value) == 1 and any(same(value[0], one) for one in choices):
        return "list of one", value[0]
    if not isinstance(value, str):
        return _one(
            "type", [one for one in choices if isinstance(one, str) and one == _text(value)]
        )
    # No slip is mended here: within one edit of a choice may lie its contrary.
    texts = [one for one in choices if isinstance(one, str) and is_choice(value, one)]
    if len(texts) == 1:
        return "choice", texts[0]
    return _one(
        "type", [one for one in choices if not isinstance(one, str) and _text(one) == value]
    )


def _one(kind: str, found: list[Any]) -> tuple[str, Any] | None:
    return (kind, found[0]) if len(found) == 1 else None


def _text(value: Any) -> str:
    return json.dumps(value)
