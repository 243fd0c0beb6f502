"""How a JSON value is brought to its schema, part by part."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.contracts.checks import Checks
from agno_portkey.contracts.naming import is_near, renamed
from agno_portkey.contracts.scalars import chosen, is_of, parsed
from agno_portkey.contracts.schemas import Problem, Schema
from agno_portkey.contracts.strict import STRICT, is_beyond, same

__all__ = ["Change", "Fitter", "Ignored", "Shared", "TooMuch"]

Path = tuple[str | int, ...]

# A text with one of these may be several items.
_SEPARATORS = re.compile(r"[,;|/\n\t]|\s(?:and|or|und|et|y)\s")
_MAX_DEPTH = 100
# Of keys that no schema knows with those that it misses, in one value; a tenth of a second.
_MAX_PAIRS = 20_000
# Parts looked at, some of them more than once; about a second.
_MAX_STEPS = 100_000
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Change:
    """One coercion: what stood at `path`, and what it was taken for."""

    kind: str
    path: Path
    before: Any
    after: Any


class Ignored(Problem):
    """A key that the schema does not have."""


class TooMuch(Exception):
    """The value takes more work than it is worth."""


@dataclass
class Shared:
    """What all attempts at one value have in common."""

    schema: Schema
    checks: Checks
    pairs: int = _MAX_PAIRS
    steps: int = _MAX_STEPS
    # By path, value and node, with the value: its id is its own only as long as it lives.
    known: dict[tuple[Path, int, int], tuple[Any, Any, Fitter]] = field(default_factory=dict)


class Fitter:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.changes: list[Change] = []
        self.unclear: list[Problem] = []

    def fits(self, value: Any, node: Any) -> bool:
        return self._shared.checks.fits(value, node)

    def _trial(self) -> Fitter:
        return Fitter(self._shared)

    def _adopt(self, other: Fitter) -> None:
        self.changes += other.changes
        self.unclear += other.unclear

    def fit(self, value: Any, node: Any, path: Path) -> Any:
        node = self._shared.schema.resolved(node)
        self._shared.steps -= 1
        if self._shared.steps < 0:
            raise TooMuch
        if len(path) > _MAX_DEPTH:
            return value
        alternatives = node.get("anyOf") or node.get("oneOf")
        if alternatives:
            return self._once(value, node, alternatives, path)
        if "enum" in node or "const" in node:
            return self._choice(value, node.get("enum", [node.get("const")]), path)
        kind = node.get("type")
        if isinstance(kind, list):
            return self._once(value, node, [{**node, "type": one} for one in kind], path)
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

    def _once(self, value: Any, node: Any, alternatives: list[Any], path: Path) -> Any:
        """The reading among alternatives, looked for once: each may lead to the same ones."""
        key = (path, id(value), id(node))
        if key not in self._shared.known:
            trial = self._trial()
            made = trial._among(value, alternatives, path)
            self._shared.known[key] = (value, made, trial)
        _, made, trial = self._shared.known[key]
        self._adopt(trial)
        return made

    def _among(self, value: Any, alternatives: list[Any], path: Path) -> Any:
        """The one reading that fits an alternative; unchanged ones first."""
        if any(self.fits(value, one) for one in alternatives):
            return self._kept_in_step(value, alternatives, path)
        found: list[tuple[Any, Fitter]] = []
        for one in alternatives:
            trial = self._trial()
            made = trial.fit(value, one, path)
            if trial.changes and self.fits(made, one):
                found.append((made, trial))
            elif isinstance(value, str):
                self.unclear += trial.unclear
        if not found or any(not same(made, found[0][0]) for made, _ in found):
            return value
        self.unclear.clear()
        self._adopt(found[0][1])
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
            if is_of(inner, kind):
                return self._changed("list of one", path, value, inner)
        if is_of(value, kind):
            return value
        if kind == "string":
            if isinstance(value, int) and not isinstance(value, bool):
                return self._changed("number as text", path, value, str(value))
            return value
        if not isinstance(value, str):
            return value
        if kind == "number" and is_beyond(value):
            self.unclear.append(Problem(path, "no number that can be held", value))
            return value
        made = parsed(value.strip(), kind)
        return value if made is None else self._changed("type", path, value, made[0])

    def _choice(self, value: Any, choices: list[Any], path: Path) -> Any:
        found = chosen(value, choices)
        return value if found is None else self._changed(found[0], path, value, found[1])

    # Lists

    def _array(self, value: Any, node: Mapping[str, Any], path: Path) -> Any:
        if isinstance(value, str):
            value = self._unpacked(value, list, path)
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
        trial = self._trial()
        made = [trial.fit(value, node.get("items", True), (*path, 0))]
        if "items" not in node or not self.fits(made, node):
            return value
        return self._changed("one for a list", path, value, [value])

    def _unpacked(self, text: str, kind: type, path: Path) -> Any:
        """The list or object whose JSON a text is."""
        try:
            made = STRICT.decode(text)
        except (ValueError, RecursionError):
            return text
        if not isinstance(made, kind):
            return text
        return self._changed("JSON in a text", path, text, made)

    # Objects

    def _object(self, value: Any, node: Mapping[str, Any], path: Path) -> Any:
        if isinstance(value, str):
            value = self._unpacked(value, dict, path)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = self._changed("list of one", path, value, value[0])
        if not isinstance(value, dict):
            return value
        value = self._unwrapped(value, node, path)
        known = node.get("properties") or {}
        rest = node.get("additionalProperties", True)
        names, slips = self._names(value, node)
        made: dict[str, Any] = {}
        for key, item in value.items():
            if key in slips and self._mended(key, slips[key], item, known, made, path):
                continue
            name = names.get(key, key)
            if name != key:
                self._changed("key", (*path, name), key, name)
            made[name] = self.fit(item, known.get(name, rest), (*path, name))
        if names is not _NONE:
            self._note_dropped(made, node, path)
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

    def _names(
        self, value: dict[str, Any], node: Mapping[str, Any]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The declared names of keys: but for case and joints, and of those that are due by a slip.

        Both are `_NONE` where there are no keys to compare, or too many of them.
        """
        known, required = node.get("properties") or {}, node.get("required") or ()
        unknown = [key for key in value if key not in known]
        absent = [name for name in known if name not in value]
        pairs = len(unknown) * len(absent)
        if not pairs or pairs > self._shared.pairs:
            return _NONE, _NONE
        self._shared.pairs -= pairs
        due = [name for name in absent if name in required]
        closed = node.get("additionalProperties") in (None, False)
        return renamed(unknown, absent if closed else due, due)

    def _mended(
        self,
        key: str,
        name: str,
        item: Any,
        known: Mapping[str, Any],
        made: dict[str, Any],
        path: Path,
    ) -> bool:
        """Whether `item` is put in `made` by the `name` that `key` is a slip of: where it fits."""
        trial = self._trial()
        fitted = trial.fit(item, known[name], (*path, name))
        # Of true and false, each fits the contrary as well.
        if isinstance(fitted, bool) or not self.fits(fitted, known[name]):
            return False
        self._changed("key", (*path, name), key, name)
        self._adopt(trial)
        made[name] = fitted
        return True

    def _note_dropped(self, value: dict[str, Any], node: Mapping[str, Any], path: Path) -> None:
        """Note the keys that a model ignores, and that may be one of its own, misspelt."""
        if isinstance(self._shared.schema.of, Mapping) or "additionalProperties" in node:
            return
        known = node.get("properties") or {}
        absent = [name for name in known if name not in value]
        for key in value:
            if key not in known and (near := [name for name in absent if is_near(key, name)]):
                said = f"it is not clear whether {near[0]!r} is meant"
                self.unclear.append(Ignored((*path, key), said, value[key]))
