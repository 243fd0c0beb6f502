"""Whether a tool is called as a step of a plan says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agno_portkey.contracts import Step
from agno_portkey.contracts.strict import STRICT, same

__all__ = ["same_value", "step_matches"]


def step_matches(step: Step, bound: Mapping[str, Any]) -> str | None:
    """How a call's arguments differ from those the step names; `None` if they do not."""
    for given in step.inputs:
        if given.name not in bound:
            return f"the input {given.name}, which the call leaves out"
        if not same_value(given.value, bound[given.name]):
            return f"{given.name}={given.value!r}, and the call {given.name}={bound[given.name]!r}"
    return None


def same_value(planned: Any, actual: Any) -> bool:
    """Whether a planned scalar is the actual value; structures are compared as JSON."""
    if isinstance(planned, bool) or isinstance(actual, bool):
        return isinstance(planned, bool) and isinstance(actual, bool) and planned is actual
    if isinstance(planned, int | float) and isinstance(actual, int | float):
        return planned == actual
    if isinstance(planned, str) and not isinstance(actual, str):
        return _same_structure(planned, actual)
    return type(planned) is type(actual) and planned == actual


def _same_structure(planned: str, actual: Any) -> bool:
    try:
        plain = _told_in_full(actual) if isinstance(actual, BaseModel) else actual
        if not isinstance(plain, dict | list | tuple):
            return False
        # As strictly as contracts read: of a key that stands twice a person may have read the
        # other value. Written first, since what is called may have keys of a number's type.
        written = json.dumps(plain, allow_nan=False)
        return same(STRICT.decode(planned), STRICT.decode(written))
    except (TypeError, ValueError, RecursionError):
        return False


def _told_in_full(actual: BaseModel) -> Any:
    """The model as JSON types, None where they leave out or hide some of it."""
    again = type(actual).model_validate(actual.model_dump(mode="json", by_alias=True))
    return actual.model_dump(mode="json") if again == actual else None
