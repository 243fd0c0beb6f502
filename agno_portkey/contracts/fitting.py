"""Coercion of a JSON value towards its schema, only where nothing is lost and nothing invented."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agno_portkey.contracts.schemas import Schema

__all__ = ["Change", "coerced"]

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,30})")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,30})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
# A text with one of these may be several items.
_SEPARATORS = re.compile(r"[,;|/\n\t]|\s(?:and|or|und|et|y)\s")
_JOINTS = re.compile(r"[\s_\-]+")
_MAX_DEPTH = 100
# Below this, one edit makes another word of a word.
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One coercion: what stood at `path`, and what it was taken for."""

    kind: str
    path: Path
    before: Any
    after: Any


def coerced(value: Any, schema: Schema) -> tuple[Any, tuple[Change, ...]]:
    """`value` with what the schema makes plain: "7" for 7, a lone object for a list of it,
    the case of a choice, a key within one edit, JSON in a text, an object in a wrapper.

    Where more than one reading would fit, the value stays as it is.
    """
    fitter = _Fitter(schema)
    made = fitter.fit(value, schema.json, ())
    return made, tuple(fitter.changes)


class _Fitter:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.changes: list[Change] = []

    def fits(self, value: Any, node: Any) -> bool:
        return self._schema.fits_node(value, node)

    def fit(self, value: Any, node: Any, path: Path) -> Any:
        node = self._schema.resolved(node)
        if len(path) > _MAX_DEPTH:
            return value
        alternatives = node.get("anyOf") or node.get("oneOf")
        if alternatives:
            return self._among(value, alternatives, path)
        if "enum" in node or "const" in node:
            return self._choice(value, node.get("enum", [node.get("const")]), path)
        kind = node.get("type")
        if isinstance(kind, list):
            return self._among(value, [{**node, "type": one} for one in kind], path)
        return self._typed(value, kind, node, path)

    def _typed(self, value: Any, kind: Any, node: Mapping[str, Any], path: Path) -> Any:
        match kind:
            case "object":
                return self._object(value, node, path)
            case "array":
                return self._array(value, node, path)
            case "integer" | "number" | "boolean" | "string" | "null":
                return self._scalar(value, kind, path)
            case _:
                return self._object(value, node, path) if "properties" in node else value

    def _changed(self, kind: str, path: Path, before: Any, after: Any) -> Any:
        self.changes.append(Change(kind, path, before, after))
        return after

    # One of several schemas

    def _among(self, value: Any, alternatives: list[Any], path: Path) -> Any:
        """The one reading that fits an alternative; unchanged ones first."""
        if any(self.fits(value, one) for one in alternatives):
            return self._kept_in_step(value, alternatives, path)
        found: list[tuple[Any, list[Change]]] = []
        for one in alternatives:
            trial = _Fitter(self._schema)
            made = trial.fit(value, one, path)
            if trial.changes and self.fits(made, one):
                found.append((made, trial.changes))
        if not found or any(not _same(made, found[0][0]) for made, _ in found):
            return value
        self.changes += found[0][1]
        return found[0][0]

    def _kept_in_step(self, value: Any, alternatives: list[Any], path: Path) -> Any:
        """A value that fits as it is; only misspelt keys that would be dropped are mended."""
        fitting = [one for one in alternatives if self.fits(value, one)]
        if len(fitting) == 1 and isinstance(value, dict | list):
            return self.fit(value, fitting[0], path)
        return value

    # Scalars

    def _scalar(self, value: Any, kind: str, path: Path) -> Any:
        if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict | list):
            inner = self._scalar(value[0], kind, path)
            if _is(inner, kind):
                return self._changed("list of one", path, value, inner)
        if _is(value, kind):
            return value
        if kind == "string":
            if isinstance(value, int) and not isinstance(value, bool):
                return self._changed("number as text", path, value, str(value))
            return value
        if not isinstance(value, str):
            return value
        made = _parsed(value.strip(), kind)
        return value if made is None else self._changed("type", path, value, made[0])

    def _choice(self, value: Any, choices: list[Any], path: Path) -> Any:
        if any(_same(value, one) for one in choices):
            return value
        if isinstance(value, list) and len(value) == 1:
            value_in, before = value[0], value
            if any(_same(value_in, one) for one in choices):
                return self._changed("list of one", path, before, value_in)
        if not isinstance(value, str):
            text = [one for one in choices if isinstance(one, str) and one == _as_text(value)]
            return self._changed("type", path, value, text[0]) if len(text) == 1 else value
        texts = [one for one in choices if isinstance(one, str)]
        # No slip is mended here: within one edit of a choice may lie its contrary.
        alike = [one for one in texts if _plain(one) == _plain(value)]
        if len(alike) == 1:
            return self._changed("choice", path, value, alike[0])
        others = [one for one in choices if not isinstance(one, str) and _as_text(one) == value]
        return self._changed("type", path, value, others[0]) if len(others) == 1 else value

    # Lists

    def _array(self, value: Any, node: Mapping[str, Any], path: Path) -> Any:
        if isinstance(value, str):
            value = self._unpacked(value, list, node, path)
        if value is not None and not isinstance(value, list):
            value = self._wrapped(value, node, path)
        if not isinstance(value, list):
            return value
        prefix = node.get("prefixItems") or []
        items = node.get("items", True)
        return [
            self.fit(item, prefix[place] if place < len(prefix) else items, (*path, place))
            for place, item in enumerate(value)
        ]

    def _wrapped(self, value: Any, node: Mapping[str, Any], path: Path) -> Any:
        if isinstance(value, str) and (not value.strip() or _SEPARATORS.search(value)):
            return value
        trial = _Fitter(self._schema)
        made = [trial.fit(value, node.get("items", True), (*path, 0))]
        if "items" not in node or not self.fits(made, node):
            return value
        return self._changed("one for a list", path, value, [value])

    def _unpacked(self, text: str, kind: type, node: Mapping[str, Any], path: Path) -> Any:
        """The list or object whose JSON a text is."""
        try:
            made = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if not isinstance(made, kind):
            return text
        return self._changed("JSON in a text", path, text, made)

    # Objects

    def _object(self, value: Any, node: Mapping[str, Any], path: Path) -> Any:
        if isinstance(value, str):
            value = self._unpacked(value, dict, node, path)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = self._changed("list of one", path, value, value[0])
        if not isinstance(value, dict):
            return value
        value = self._unwrapped(value, node, path)
        names = self._names(value, node)
        known = node.get("properties") or {}
        rest = node.get("additionalProperties", True)
        made = {}
        for key, item in value.items():
            name = names[key]
            if name != key:
                self._changed("key", (*path, name), key, name)
            made[name] = self.fit(item, known.get(name, rest), (*path, name))
        return made

    def _unwrapped(self, value: dict[str, Any], node: Mapping[str, Any], path: Path) -> Any:
        """The object in a wrapper of one key, as in `{"plan": {...}}`, where only it can fit."""
        known = node.get("properties") or {}
        if len(value) != 1:
            return value
        ((key, inner),) = value.items()
        if key in known or not isinstance(inner, dict) or not set(known) & set(inner):
            return value
        if not set(node.get("required") or ()) <= set(inner):
            return value
        return self._changed("wrapper", path, key, inner)

    def _names(self, value: dict[str, Any], node: Mapping[str, Any]) -> dict[str, str]:
        """Each key's name: itself, or the declared one that it alone is like, and like no other."""
        known = node.get("properties") or {}
        absent = [key for key in known if key not in value]
        if node.get("additionalProperties") not in (None, False):
            absent = [key for key in absent if key in (node.get("required") or ())]
        pairs: dict[str, str] = {}
        for key in value:
            if key not in known and (found := _nearest(key, absent)) is not None:
                pairs[key] = found
        taken = [*pairs.values()]
        return {key: pairs[key] if taken.count(pairs.get(key, key)) == 1 else key for key in value}


def _is(value: Any, kind: str) -> bool:
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


def _parsed(text: str, kind: str) -> tuple[Any] | None:
    """The value whose plain spelling `text` is, in a tuple, if there is one."""
    match kind:
        case "integer" if _INTEGER.fullmatch(text):
            return (int(text),)
        case "number" if _INTEGER.fullmatch(text):
            return (int(text),)
        case "number" if _NUMBER.fullmatch(text):
            return (float(text),)
        case "boolean" if text.lower() in ("true", "false"):
            return (text.lower() == "true",)
        case "null" if text.lower() in ("null", "none"):
            return (None,)
        case _:
            return None


def _as_text(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one kind: `1` is not `true`."""
    return _as_text(one) == _as_text(other) and isinstance(one, str) == isinstance(other, str)


def _plain(name: str) -> str:
    return _JOINTS.sub("", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())).casefold()


def _nearest(name: str, choices: list[str]) -> str | None:
    """The only choice that is `name` but for case and joints, or else within one edit of it."""
    plain = _plain(name)
    alike = [one for one in choices if _plain(one) == plain]
    if not alike and len(plain) >= _SHORTEST:
        alike = [one for one in choices if _one_edit(plain, _plain(one))]
    return alike[0] if len(alike) == 1 else None


def _one_edit(one: str, other: str) -> bool:
    """Whether one letter more, less or other, or two swapped neighbours, make them equal."""
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < _SHORTEST - 1:
        return False
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    a, b = one[same:], other[same:]
    swapped = len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or swapped
