"""Whether values fit parts of a schema, each pair of them looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from functools import cached_property, lru_cache
from typing import Any

from agno_portkey.contracts.schemas import Schema

__all__ = ["Checks"]


class Checks:
    """The checks of one value's parts; alternatives in alternatives take no exponential time."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        # With what an id stands for, which lives as long as the id is known.
        self._known: dict[tuple[int, int], tuple[Any, Any, bool]] = {}

    def fits(self, value: Any, node: Any) -> bool:
        """Whether `value` fits `node`, a part of the JSON schema."""
        from referencing.exceptions import Unresolvable

        now = _NOW.set(self)
        try:
            return self.known(self._validator, value, self._schema.resolved(node))
        except (Unresolvable, RecursionError):
            return False
        finally:
            _NOW.reset(now)

    @cached_property
    def _validator(self) -> Any:
        # Late, as where the schema is checked.
        from referencing import Registry

        whole = self._schema.checker
        kind: Any = type(whole)
        return _remembering(kind)(whole.schema, registry=Registry())

    def known(self, validator: Any, value: Any, node: Any) -> bool:
        """Whether `value` fits `node`, where `validator` is now."""
        key = (id(value), id(node))
        if key not in self._known:
            fits = next(validator.descend(value, node), None) is None
            self._known[key] = (value, node, fits)
        return self._known[key][2]


# Whose checks these are: the keywords below are handed a validator alone.
_NOW: ContextVar[Checks] = ContextVar("checks")


@lru_cache
def _remembering(kind: Any) -> Any:
    """The validator `kind`, with alternatives looked at once."""
    from jsonschema.validators import extend

    keywords = {"anyOf": _any_of, "oneOf": _one_of}
    there = {name: made for name, made in keywords.items() if name in kind.VALIDATORS}
    return extend(kind, there)  # type: ignore[no-untyped-call]


def _any_of(validator: Any, nodes: Any, value: Any, _: Any) -> Iterator[Any]:
    if not any(_NOW.get().known(validator, value, node) for node in nodes):
        yield _misfit()


def _one_of(validator: Any, nodes: Any, value: Any, _: Any) -> Iterator[Any]:
    if sum(_NOW.get().known(validator, value, node) for node in nodes) != 1:
        yield _misfit()


def _misfit() -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError("fits no alternative, or several")
