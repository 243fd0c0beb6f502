"""Coercion of a JSON value towards its schema, only where nothing is lost and nothing invented."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from agno_portkey.contracts.checks import Checks
from agno_portkey.contracts.fitting import Change, Fitter, Ignored, Shared, TooMuch
from agno_portkey.contracts.schemas import Misfit, Problem, Schema

__all__ = ["coerced"]


def coerced(value: Any, schema: Schema) -> tuple[Any, tuple[Change, ...]]:
    """`value` with what the schema makes plain: "7" for 7, a lone object for a list of it, the
    case of a choice, the slip in a key that is required, JSON in a text, an object in a wrapper.

    Where more than one reading would fit, or it takes too much work to tell, the value stays as it
    is. Raises `Misfit` where a model would take what was not said: a number beyond all that it can
    hold, or an object without a key that may be one of its own, misspelt.
    """
    fitter = Fitter(Shared(schema, Checks(schema)))
    try:
        made = fitter.fit(value, schema.json, ())
    except TooMuch:
        return value, ()
    unclear = [one for one in fitter.unclear if not _is_read(one, made, schema)]
    if unclear:
        raise Misfit(tuple(unclear))
    return made, tuple(fitter.changes)


def _is_read(problem: Problem, value: Any, schema: Schema) -> bool:
    """Whether a key that the schema does not have is read all the same, as an alias is."""
    if not isinstance(problem, Ignored):
        return False
    without = deepcopy(value)
    *path, key = problem.path
    try:
        held = without
        for part in path:
            held = held[part]
        del held[key]
        return bool(schema.fit(value) != schema.fit(without))
    except (Misfit, LookupError, TypeError):
        # It lacks something without the key, or is wrong for another reason, which is told.
        return True
