"""Finds every piece of text in what is sent and what comes back, and puts it back rewritten.

Each function here takes `take`, which is handed a text, where it comes from and its place, and
returns what stands there instead. One pass collects, a second one replaces: so a guard sees all
of a stage at once, and nothing is copied where nothing changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from agno_portkey.guardrails.media import MEDIA, in_media, is_media
from agno_portkey.verdict import OwnWords

__all__ = [
    "MAX_DEPTH",
    "Passage",
    "Scene",
    "Side",
    "Source",
    "Take",
    "Unreadable",
    "dumped",
    "in_json",
    "in_leaves",
]

Side = Literal["input", "output"]
Source = Literal[
    "system",
    "user",
    "assistant",
    "tool",
    "tool_call",
    "reasoning",
    "citation",
    "transcript",
    "data",
    "tool_definition",
    "schema",
    "error",
]
Take: TypeAlias = Callable[[str, Source, str], str]

# Deeper than this nobody nests what a person or a model wrote.
MAX_DEPTH = 100
# Escapes in JSON that are letters, and how else they are written.
_LETTERS = re.compile(r"\\.")
_NUMBERS = {f"\\{c}": f"\\u{ord(v):04x}" for c, v in zip("bfnrt", "\b\f\n\r\t", strict=True)}


class Unreadable(OwnWords, ValueError):
    """Something that no guard can look into; it is refused where guards are."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a guard is asked: at which stage, and in whose run.

    A call of a model has one for itself: what guards put into `own` goes with the call.
    """

    stage: Literal["pre", "post", "tool", "model"] = "model"
    run_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    role: str | None = None
    swarm: str | None = None
    own: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of text that a guard is asked about.

    `source` says where it comes from: `system`, `user`, `assistant` or `tool` by the role of a
    message (a file in it counts as its words), `tool_call` the name and arguments of a call,
    `tool_definition` what is said of a tool that is offered, `schema` the form that an answer is
    to have, `reasoning` a model's thoughts, `citation` what it refers to, `transcript` what is
    heard, `data` what a provider says beside an answer, `error` what is said of a call that
    failed. Of a definition or schema only descriptions can be rewritten: a `Rewrite` of a name,
    key or value blocks.

    `direction` says whether it goes to the model (or into a tool) or comes from it. `path` is its
    place in structured data (`to.address`), `before` what stands before it in an answer that is
    looked at piece by piece (at most some hundred characters).
    """

    text: str
    source: Source = "user"
    direction: Side = "input"
    path: str = ""
    before: str = ""
    scene: Scene = field(default_factory=Scene)


def in_json(text: str, take: Take, source: Source) -> str:
    """The leaves of a text that is JSON, or the text as a whole if it is none.

    Where escapes stand in it, the text as it is written as well: `\\b` before `luebird` is one
    thing to who reads JSON, and another to who reads the text.
    """
    hidden: list[Any] = []
    try:
        parsed = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, hidden))
    except RecursionError:
        raise Unreadable("JSON that is nested too deep to be read") from None
    except ValueError:
        return take(text, source, "")
    found, seen = in_leaves(parsed, take, source), in_leaves(hidden, take, source, "(twice)")
    if "\\" in text and take(text, source, "(as written)") != text:
        return _LETTERS.sub(_as_number, dumped(found))
    return text if found is parsed and seen is hidden else dumped(found)


def _as_number(escape: re.Match[str]) -> str:
    """An escape that stands alone: no letter of it can be read as part of a word."""
    said = escape.group(0)
    return _NUMBERS.get(said, said)


def _unique(pairs: list[tuple[str, Any]], hidden: list[Any]) -> dict[str, Any]:
    """The mapping; of a key that stands there twice, what is hidden is looked at as well."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        hidden.extend(held for key, held in pairs if held is not mapping[key])
    return mapping


def dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # Half a surrogate pair can be said as an escape, and not be sent as it is.
    return text if text.isascii() or _is_sendable(text) else json.dumps(value)


def _is_sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_leaves(value: Any, take: Take, source: Source, path: str = "", depth: int = 0) -> Any:
    """The keys, texts and numbers of plain data; the very value if none changes."""
    if depth > MAX_DEPTH:
        raise Unreadable(f"data that is nested more than {MAX_DEPTH} deep can't be read")
    if isinstance(value, str):
        found = take(value, source, path) if value else value
        return value if found == value else found
    if isinstance(value, dict):
        return _in_mapping(value, take, source, path, depth)
    if isinstance(value, list | tuple):
        items = [
            in_leaves(item, take, source, f"{path}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, MEDIA):
        return in_media(value, take, source, path)
    if isinstance(value, BaseModel):
        return _in_model(value, take, source, path, depth)
    try:
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    except Exception as error:
        raise Unreadable(
            f"a {type(value).__name__} that can't be read ({type(error).__name__})"
        ) from error
    found = take(text, source, path) if text else text
    return value if found == text else found


def _in_model(value: BaseModel, take: Take, source: Source, path: str, depth: int) -> Any:
    held = {name: item for name, item in value if is_media(item)}
    under = f"{path}." if path else ""
    media = {name: in_leaves(item, take, source, under + name) for name, item in held.items()}
    try:
        plain = value.model_dump(mode="json", exclude=set(held))
    except ValueError as error:
        raise Unreadable(
            f"a {type(value).__name__} that can't be read ({type(error).__name__})"
        ) from error
    found = in_leaves(plain, take, source, path, depth)
    if found is plain and all(media[name] is item for name, item in held.items()):
        return value
    try:
        return type(value).model_validate({**found, **media}, by_name=True)
    except ValueError as error:
        kind = f"no {type(value).__name__} any more ({type(error).__name__})"
        raise Unreadable(f"rewritten, it is {kind}") from None


def _in_mapping(value: dict[Any, Any], take: Take, source: Source, path: str, depth: int) -> Any:
    found: dict[Any, Any] = {}
    same = True
    for key, item in value.items():
        name = _in_key(key, take, source, path)
        held = in_leaves(item, take, source, f"{path}.{key}" if path else str(key), depth + 1)
        same = same and held is item and name == key
        found[name] = held
    return value if same else found


def _in_key(key: Any, take: Take, source: Source, path: str) -> Any:
    if key is None or key == "" or isinstance(key, bool):
        return key
    found = take(text := str(key), source, path)
    return key if found == text else found
