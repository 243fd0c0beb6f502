"""What a call says of its tools and of the form of its answer: it is sent with every call.

Descriptions are words, and may be rewritten. Names, keys and values are what a program goes by:
a tool that is offered under another name is not found.
"""

from __future__ import annotations

import marshal
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from agno_portkey.calls import Call
from agno_portkey.contracts.check import schema_of
from agno_portkey.errors import InputBlocked
from agno_portkey.guardrails.known import Known
from agno_portkey.guardrails.looking import looked_at
from agno_portkey.guardrails.passages import MAX_DEPTH, Source, Take, Unreadable, in_leaves
from agno_portkey.guardrails.stage import Stage
from agno_portkey.guardrails.telling import KEYWORDS
from agno_portkey.verdict import Event, Verdict

if TYPE_CHECKING:
    from agno_portkey.guardrails.base import Guard

__all__ = ["as_defined", "defines"]

_WORDS = ("description", "title", "$comment", "examples", "example")
_VALUES = ("default", "const", "enum")
# What maps names to schemas: a key in it is no keyword.
_NAMES = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_KINDS = "function json_schema json_object text object array string number integer boolean null"
_TYPES = frozenset(_KINDS.split())


class _Fixed(ValueError):
    """A guard would rewrite what must stay as it is; holds its place."""


def defines(call: Call) -> bool:
    """Whether anything is defined in `call`."""
    return bool(call.tools or call.response_format) or isinstance(call.tool_choice, dict)


async def as_defined(
    call: Call, guards: Sequence[Guard], stage: Stage, known: Known | None
) -> Call:
    """`call` with its definitions as the guards of `stage` leave them; the very call if all stay.

    What they had nothing to say of, they are not asked about again for a while.
    """
    key = None if known is None else _key(call, stage)
    if known is not None and key is not None and known.holds(key, guards):
        return call
    heard: list[Event] = []
    # Nothing of a definition is in what the host keeps of a run.
    stage = replace(stage, observers=(*stage.observers, heard.append), keep=None)
    try:
        found: Call = await looked_at(stage, call, "tool_definition", read=_in_call)
    except _Fixed as error:
        names = ", ".join(guard.name for guard in guards if guard.rewrites)
        reason = (
            f"{names} would rewrite {error}: only descriptions can be rewritten, no name, key or "
            "value; take it out of the definition, or let the guard pass what comes from there"
        )
        raise InputBlocked(Verdict(False, names, (reason,))) from None
    if known is not None and key is not None and all(map(_says_nothing, heard)):
        known.note(key, guards)
    return found


def _key(call: Call, stage: Stage) -> Hashable:
    """Equal for what a guard can't tell apart, None where that can't be known."""
    schema = schema_of(call.response_format)
    plain = (call.tools, call.tool_choice, None if schema else call.response_format)
    try:
        # The second version writes equal data alike.
        told = marshal.dumps(plain, 2)
    except ValueError:
        return None
    scene = stage.scene
    return told, schema, scene.user_id, scene.role, scene.swarm


def _says_nothing(event: Event) -> bool:
    verdict = event.verdict
    return verdict is not None and verdict.passed and not verdict.evidence.get("found")


def _in_call(call: Call, take: Take, source: Source) -> Call:
    changed: dict[str, Any] = {}
    for name in ("tools", "tool_choice"):
        if (held := getattr(call, name)) and not isinstance(held, str):
            found = _Walk(take, "tool_definition").schema(held, name)
            if found is not held:
                changed[name] = found
    if held := call.response_format:
        found = _in_format(held, take)
        if found is not held:
            changed["response_format"] = found
    return replace(call, **changed) if changed else call


def _in_format(held: Any, take: Take) -> Any:
    walk = _Walk(take, "schema")
    if (asked := schema_of(held)) is None:
        return walk.schema(held, "response_format")
    walk.fixed(asked.__name__, "schema", "response_format.name")
    try:
        plain = asked.model_json_schema()
    except Exception as error:
        kind = type(error).__name__
        raise Unreadable(f"the schema of {asked.__name__} can't be read ({kind})") from error
    found = walk.schema(plain, "response_format")
    return held if found is plain else _reworded(asked, found)


def _reworded(asked: type[BaseModel], told: dict[str, Any]) -> type[BaseModel]:
    """`asked` with the schema that it is to tell the host."""

    def model_json_schema(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return told

    space = {"__module__": asked.__module__, "model_json_schema": staticmethod(model_json_schema)}
    kind: Any = type(asked)
    try:
        return kind(asked.__name__, (asked,), space)  # type: ignore[no-any-return]
    except Exception as error:
        kind_of = type(error).__name__
        raise Unreadable(f"{asked.__name__} can't be rewritten ({kind_of})") from error


class _Walk:
    """One walk through a definition; words go through `take`, all else must come back as it is."""

    def __init__(self, take: Take, source: Source) -> None:
        self._take = take
        self._source: Source = source

    def fixed(self, text: str, source: Source, path: str) -> str:
        if self._take(text, source, path) != text:
            raise _Fixed(path)
        return text

    def schema(self, held: Any, path: str, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise Unreadable(f"a definition that is nested more than {MAX_DEPTH} deep")
        if isinstance(held, dict):
            found = {key: self._under(key, item, path, depth) for key, item in held.items()}
            return held if all(found[key] is item for key, item in held.items()) else found
        if isinstance(held, list | tuple):
            items = [
                self.schema(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(held)
            ]
            return held if all(a is b for a, b in zip(items, held, strict=True)) else items
        return in_leaves(held, self.fixed, self._source, path)

    def _under(self, key: Any, held: Any, path: str, depth: int) -> Any:
        if key not in KEYWORDS:
            self.fixed(str(key), self._source, path)
        here = f"{path}.{key}"
        if key in _WORDS:
            return in_leaves(held, self._take, self._source, here)
        if key in _VALUES:
            return in_leaves(held, self.fixed, self._source, here)
        if key in _NAMES and isinstance(held, dict):
            return self._named(held, here, depth + 1)
        if key == "type" and _is_type(held):
            return held
        return self.schema(held, here, depth + 1)

    def _named(self, held: dict[Any, Any], path: str, depth: int) -> Any:
        found = {}
        for name, item in held.items():
            self.fixed(str(name), self._source, path)
            found[name] = self.schema(item, f"{path}.{name}", depth)
        return held if all(found[name] is item for name, item in held.items()) else found


def _is_type(held: Any) -> bool:
    several = held if isinstance(held, list) else [held]
    return all(isinstance(each, str) and each in _TYPES for each in several)
