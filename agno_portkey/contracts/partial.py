"""What is there of an object while a stream fills it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

__all__ = ["Filling", "Partial", "partial_of", "without_partial"]

# Under this key it travels in an event's `model_provider_data["portkey"]`.
KEY = "partial"

# The text is read again each time: not before it has grown by so much.
_GROWN = 1 / 16
_THOUGHTS = ("<think", "</think>")
_OBJECT = re.compile(r"[{\[]")


@dataclass(frozen=True, slots=True)
class Partial:
    """What a model has said of an object so far: unchecked, incomplete, and never the answer.

    `data` is JSON data; its last text or number may go on. `schema` is the name of what it is to
    become. `attempt` counts from 1: with the next one the model was asked again, and begins anew.
    An agent's object is told, and a member's; Agno passes on none of a team's own.
    """

    schema: str
    data: Any
    attempt: int = 1


def partial_of(event: Any) -> Partial | None:
    """The partial object that a stream's event tells of, if it does; for events as JSON, too."""
    known = event if isinstance(event, Mapping) else vars(event)
    told = (known.get("model_provider_data") or {}).get("portkey") or {}
    found = told.get(KEY)
    return Partial(**found) if isinstance(found, Mapping) else None


def without_partial(provider_data: Any) -> Any:
    """What a delta knows of its answer, without the partial object in it."""
    told = (provider_data or {}).get("portkey")
    if not isinstance(told, Mapping) or KEY not in told:
        return provider_data
    return {**provider_data, "portkey": {k: v for k, v in told.items() if k != KEY}}


class Filling:
    """Reads an object from the beginning of its text, each time that it has grown enough."""

    def __init__(self) -> None:
        self._text = ""
        self._read = 0
        self._last: Any = None

    def feed(self, text: str) -> Any:
        """What is there after `text` as well; None where nothing is new."""
        self._text += text
        if len(self._text) - self._read < len(self._text) * _GROWN:
            return None
        self._read = len(self._text)
        begun = _begun(self._text)
        try:
            found = from_json(begun, allow_partial="trailing-strings") if begun else None
        except ValueError:
            return None
        if not isinstance(found, dict | list) or not found or found == self._last:
            return None
        self._last = found
        return found


def _begun(text: str) -> str:
    """`text` from where its JSON begins; empty while there is none, as within thoughts."""
    opened, closed = _THOUGHTS
    thoughts, mark, rest = text.partition(closed)
    if text.lstrip().startswith(opened) or (mark and not _OBJECT.search(thoughts)):
        text = rest
    begin = _OBJECT.search(text)
    return text[begin.start() :] if begin else ""
