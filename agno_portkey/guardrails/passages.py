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

from agno.media import Audio, File, Image, Video
from agno.models.message import Message
from pydantic import BaseModel

__all__ = [
    "Passage",
    "Scene",
    "Side",
    "Source",
    "Take",
    "Unreadable",
    "in_json",
    "in_leaves",
    "in_message",
    "in_tool_calls",
    "in_value",
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
]
Take: TypeAlias = Callable[[str, Source, str], str]

# Deeper than this nobody nests what a person or a model wrote.
_MAX_DEPTH = 100
_SOURCES: dict[str, Source] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
}
_CALL: Source = "tool_call"
# Escapes in JSON that are letters, and how else they are written.
_LETTERS = re.compile(r"\\.")
_NUMBERS = {f"\\{c}": f"\\u{ord(v):04x}" for c, v in zip("bfnrt", "\b\f\n\r\t", strict=True)}
# Parts of a message that hold no text.
_MEDIA = ("image", "image_url", "input_image", "input_audio", "file", "input_file", "video_url")
_FILES = (Audio, File, Image, Video)


class Unreadable(ValueError):
    """Something that no guard can look into; it is refused where guards are."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a guard is asked: at which stage, and in whose run."""

    stage: Literal["pre", "post", "tool", "model"] = "model"
    run_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    role: str | None = None
    swarm: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of text that a guard is asked about.

    `source` says who wrote it, `direction` whether it goes to the model (or into a tool) or comes
    from it. `path` is its place in structured data (`to.address`), `before` what stands before
    it in an answer that is looked at piece by piece (at most some hundred characters).
    """

    text: str
    source: Source = "user"
    direction: Side = "input"
    path: str = ""
    before: str = ""
    scene: Scene = field(default_factory=Scene)


def in_message(message: Message, take: Take) -> Message:
    """The texts of a message that is sent; the message itself if none changes."""
    source = _SOURCES.get(message.role, "user")
    changed: dict[str, Any] = {}
    for name in ("content", "compressed_content"):
        if held := getattr(message, name):
            found = in_value(held, take, source)
            if found is not held:
                changed[name] = found
    if message.tool_calls:
        calls = in_tool_calls(message.tool_calls, take)
        if calls is not message.tool_calls:
            changed["tool_calls"] = calls
    if message.name and (name := take(message.name, source, "name")) != message.name:
        changed["name"] = name
    return message.model_copy(update=changed) if changed else message


def in_value(value: Any, take: Take, source: Source) -> Any:
    """The texts of a message's content: text, a list of parts, a mapping, or a model."""
    if isinstance(value, str):
        if "\\" in value and value.lstrip()[:1] in ("{", "["):
            # Escapes hide what it says, and whoever reads it takes them off.
            return in_json(value, take, source)
        found = take(value, source, "") if value else value
        return value if found == value else found
    if isinstance(value, list):
        parts = [_in_part(part, take, source) for part in value]
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else parts
    return in_leaves(value, take, source)


def _in_part(part: Any, take: Take, source: Source) -> Any:
    """One part of a content that has several; of an image or file only what is text is read."""
    if isinstance(part, Message):
        return in_message(part, take)
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        found = take(part["text"], source, "")
        rest = _in_rest(part, ("type", "text"), take, source)
        return part if found == part["text"] and not rest else {**part, **rest, "text": found}
    if isinstance(part, dict) and part.get("type") in _MEDIA:
        rest = _in_rest(part, ("type", part["type"]), take, source)
        return {**part, **rest} if rest else part
    return in_value(part, take, source) if isinstance(part, str) else in_leaves(part, take, source)


def _in_rest(
    held: dict[str, Any], known: tuple[str, ...], take: Take, source: Source
) -> dict[str, Any]:
    """What of `held`, but for what stands under `known` keys, is another one now."""
    rest = {key: value for key, value in held.items() if key not in known}
    found = in_leaves(rest, take, source) if rest else rest
    return {} if found is rest else found


def in_tool_calls(calls: list[Any], take: Take) -> list[Any]:
    """The texts in the arguments of tool calls, JSON or not."""
    found = [_in_tool_call(call, take) for call in calls]
    return calls if all(a is b for a, b in zip(found, calls, strict=True)) else found


def _in_tool_call(call: Any, take: Take) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        # Tools of another kind than functions: their input stands elsewhere.
        return in_leaves(call, take, _CALL)
    changed: dict[str, Any] = {}
    for name in ("name", "arguments"):
        held = function.get(name)
        if not held:
            continue
        if name == "name":
            found = take(held, _CALL, "name") if isinstance(held, str) else held
        elif isinstance(held, str):
            found = _as_json(in_json(held, take, _CALL), held)
        else:
            found = in_leaves(held, take, _CALL)
        if found is not held and found != held:
            changed[name] = found
    changed |= _in_rest(function, ("name", "arguments"), take, _CALL)
    rest = _in_rest(call, ("id", "type", "index", "function"), take, _CALL)
    return {**call, **rest, "function": {**function, **changed}} if changed or rest else call


def _as_json(found: str, arguments: str) -> str:
    """Rewritten arguments as JSON, whatever they were: some providers parse what they are sent."""
    if found == arguments:
        return arguments
    try:
        json.loads(found)
    except ValueError:
        return _dumped({"arguments": found})
    return found


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
        return _LETTERS.sub(_as_number, _dumped(found))
    return text if found is parsed and seen is hidden else _dumped(found)


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


def _dumped(value: Any) -> str:
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
    if depth > _MAX_DEPTH:
        raise Unreadable(f"data that is nested more than {_MAX_DEPTH} deep can't be read")
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
    if value is None or isinstance(value, bool) or _is_media(value):
        return value
    if isinstance(value, BaseModel):
        return _in_model(value, take, source, path, depth)
    try:
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    except Exception as error:
        raise Unreadable(f"a {type(value).__name__} that can't be read: {error}") from None
    found = take(text, source, path) if text else text
    return value if found == text else found


def _is_media(value: Any) -> bool:
    several = value if isinstance(value, list) else [value]
    return bool(several) and all(isinstance(each, _FILES) for each in several)


def _in_model(value: BaseModel, take: Take, source: Source, path: str, depth: int) -> Any:
    media = {name: held for name, held in value if _is_media(held)}
    try:
        plain = value.model_dump(mode="json", exclude=set(media))
    except ValueError as error:
        raise Unreadable(f"a {type(value).__name__} that can't be read: {error}") from None
    found = in_leaves(plain, take, source, path, depth)
    if found is plain:
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
        name = take(key, source, path) if isinstance(key, str) and key else key
        held = in_leaves(item, take, source, f"{path}.{key}" if path else str(key), depth + 1)
        same = same and held is item and name == key
        found[name] = held
    return value if same else found
