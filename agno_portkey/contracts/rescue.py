"""The rungs that need no second call: JSON repair, then coercion towards the schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agno_portkey.contracts.coercion import coerced
from agno_portkey.contracts.fitting import Change
from agno_portkey.contracts.proof import Edit
from agno_portkey.contracts.reading import Reading, Unread, read
from agno_portkey.contracts.schemas import Misfit, Problem, Schema

__all__ = ["Rescued", "rescue"]

# What the host takes off as well: an answer that has no more than this is a first try.
_AS_GIVEN = frozenset({"fence", "thoughts"})


@dataclass(frozen=True, slots=True)
class Rescued:
    """An object of the schema, and what was done to its text: `given`, `repair` or `coercion`."""

    value: Any
    data: Any
    edits: tuple[Edit, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def rung(self) -> str:
        if self.changes:
            return "coercion"
        return "given" if {edit.kind for edit in self.edits} <= _AS_GIVEN else "repair"

    @property
    def text(self) -> str:
        """The object as JSON."""
        return json.dumps(self.data, ensure_ascii=False)


def rescue(text: str, schema: Schema) -> Rescued:
    """The object of `schema` that `text` holds; raises `Misfit` with every problem.

    A value is taken only where each of its keys, texts and numbers stands in `text`, in order, and
    nothing else was meant by it: a cut tail is closed where the schema says that nothing can be
    missing, and of several objects none is chosen.
    """
    try:
        reading = read(text, schema, lambda value: _fitted(value, schema) is not None)
    except Unread as error:
        raise Misfit((Problem((), str(error), text),)) from None
    return _of(reading, schema)


def _of(reading: Reading, schema: Schema) -> Rescued:
    found = _fitted(reading.value, schema)
    if found is None:
        # What coercion mends is no problem any more.
        data, changes = coerced(reading.value, schema)
        return Rescued(schema.fit(data), data, reading.edits, changes)
    data, value, changes = found
    return Rescued(value, data, reading.edits, changes)


def _fitted(value: Any, schema: Schema) -> tuple[Any, Any, tuple[Change, ...]] | None:
    """The data, the object and the changes; the value as it is where coercion does not help."""
    made, changes = coerced(value, schema)
    tries = [(made, changes)] if changes else []
    for data, why in [*tries, (value, ())]:
        try:
            return data, schema.fit(data), why
        except Misfit:
            continue
    return None
