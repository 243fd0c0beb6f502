"""Finds every text of a message that is sent: its content, its tool calls, its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from agno.media import Audio
from agno.models.message import Message

from agno_portkey.guardrails.media import PARTS, in_data
from agno_portkey.guardrails.passages import Source, Take, dumped, in_json, in_leaves

__all__ = ["in_message", "in_tool_calls", "in_value", "is_made"]

_SOURCES: dict[str, Source] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
}
_CALL: Source = "tool_call"
# Letters and digits in one word: what hosts and providers make ids of.
_MADE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_.:-]{1,64}")
_KINDS = ("function", "custom")
_BASE64 = "data:;base64,"


def in_message(message: Message, take: Take) -> Message:
    """The texts of a message that is sent; the message itself if none changes."""
    source = _SOURCES.get(message.role, "user")
    changed: dict[str, Any] = {}
    fields = vars(message)
    for name, read in _FIELDS:
        if held := fields.get(name):
            found = read(held, take, source, name)
            if found is not held and found != held:
                changed[name] = found
    return message.model_copy(update=changed) if changed else message


def _in_name(name: str, take: Take, source: Source, path: str) -> str:
    return name if is_made(name) else take(name, source, path)


def _in_sound(sound: Audio, take: Take, source: Source, path: str) -> Audio:
    """Of a sound that the provider made its id alone is sent."""
    if not sound.id or (found := _in_name(sound.id, take, source, f"{path}.id")) == sound.id:
        return sound
    return sound.model_copy(update={"id": found})


def is_made(name: Any) -> bool:
    """Whether `name` is an id as machines make them: no words, and digits that mean nothing."""
    return isinstance(name, str) and _MADE.fullmatch(name) is not None


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
    if isinstance(part, dict) and part.get("type") in PARTS:
        rest = _in_rest(part, ("type", part["type"]), take, source)
        rest |= _in_media_part(part, part["type"], take, source)
        return {**part, **rest} if rest else part
    return in_value(part, take, source) if isinstance(part, str) else in_leaves(part, take, source)


def _in_rest(
    held: dict[str, Any], known: tuple[str, ...], take: Take, source: Source
) -> dict[str, Any]:
    """What of `held`, but for what stands under `known` keys, is another one now."""
    rest = {key: value for key, value in held.items() if key not in known}
    found = in_leaves(rest, take, source) if rest else rest
    return {} if found is rest else found


def _in_media_part(part: dict[str, Any], kind: str, take: Take, source: Source) -> dict[str, Any]:
    """A picture's address, or a file as the provider takes it; `data` is a sound's."""
    held = part.get(kind)
    if isinstance(held, dict):
        found: Any = {
            key: _in_field(key, item, take, source) for key, item in held.items() if key != "data"
        }
        found = {**held, **found}
    else:
        found = _in_field(kind, held, take, source)
    return {} if found == held else {kind: found}


def _in_field(name: str, held: Any, take: Take, source: Source) -> Any:
    if not isinstance(held, str):
        return in_leaves(held, take, source, name)
    if name != "file_data" or held.startswith("data:"):
        return in_data(held, take, source, name)
    found = in_data(_BASE64 + held, take, source, name)
    return found.removeprefix(_BASE64)


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
    known = [name for name in ("id", "type") if _is_plain(call.get(name))]
    rest = _in_rest(call, ("index", "function", *known), take, _CALL)
    return {**call, **rest, "function": {**function, **changed}} if changed or rest else call


def _is_plain(held: Any) -> bool:
    """Whether this is an id or a kind as they come, and nothing else."""
    return held is None or held in _KINDS or is_made(held)


def _as_json(found: str, arguments: str) -> str:
    """Rewritten arguments as JSON, whatever they were: some providers parse what they are sent."""
    if found == arguments:
        return arguments
    try:
        json.loads(found)
    except (ValueError, RecursionError):
        return dumped({"arguments": found})
    return found


# What of a message is sent, and how it is read.
_FIELDS: tuple[tuple[str, Callable[[Any, Take, Source, str], Any]], ...] = (
    ("content", lambda held, take, source, name: in_value(held, take, source)),
    ("compressed_content", lambda held, take, source, name: in_value(held, take, source)),
    ("tool_calls", lambda held, take, source, name: in_tool_calls(held, take)),
    ("name", lambda held, take, source, name: take(held, source, name)),
    ("tool_call_id", _in_name),
    ("audio_output", _in_sound),
    ("images", in_leaves),
    ("audio", in_leaves),
    ("files", in_leaves),
)
