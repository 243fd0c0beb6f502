"""What of the host's records is text, whose it is, and how it is put back rewritten."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from agno_portkey.guardrails.passages import MAX_DEPTH, Unreadable

__all__ = ["is_record", "mapped", "owner_of"]

# What databases look up and sort by: it stays as it is.
_NO_WORDS = ("id", "event", "namespace", "role", "status", "type")
_ENDS = ("_id", "_ids", "_type", "_at")
# By this, transcripts are told apart: digits of it that are a value by chance stay.
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# A number is stored as a text while its digits are hidden; a text that looks so gets a `@` more.
_NUMBER = re.compile(r"<#(@*)([if])(.*)#>", re.DOTALL)


def is_record(value: Any) -> bool:
    """Whether `value` is one of the host's own: a session, run, message, memory, trace."""
    kind: Any = type(value)
    return _is_hosts(kind)


@lru_cache(maxsize=1024)
def _is_hosts(kind: type) -> bool:
    hosts = kind.__module__.startswith("agno.")
    return hosts and (dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel))


def owner_of(value: Any) -> tuple[str | None, str | None]:
    """The session and the user that a record or row names."""
    held: dict[str, Any] = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    beside = attributes if isinstance(attributes := held.get("attributes"), dict) else {}

    def named(what: str) -> str | None:
        keys = (f"{what}_id", f"{what}.id", f"agno.{what}.id")
        said = held.get(keys[0]) or next(filter(None, map(beside.get, keys)), None)
        return said if isinstance(said, str) else None

    return named("session"), named("user")


def mapped(value: Any, change: Callable[[str], str], *, writing: bool) -> Any:
    """A record or row with its texts changed; the very one if none is, never changed in place.

    While `writing`, numbers whose digits are hidden become texts, and are numbers again when read.
    """
    return _Mapping(change, writing).row(value)


class _Mapping:
    def __init__(self, change: Callable[[str], str], writing: bool) -> None:
        self._change = change
        self._writing = writing

    def row(self, value: Any) -> Any:
        """The same, with what a dict at the top is looked up by left as it is."""
        if type(value) is not dict:
            return self.any(value, 0)
        found = {k: v if _is_column(k, v) else self.any(v, 1) for k, v in value.items()}
        return value if all(found[k] is v for k, v in value.items()) else found

    def any(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Unreadable(f"data that is nested more than {MAX_DEPTH} deep can't be stored")
        if type(value) is str:
            return self._text(value)
        if value is None or type(value) is bool:
            return value
        if isinstance(value, list | tuple):
            items = [self.any(item, depth + 1) for item in value]
            same = all(a is b for a, b in zip(items, value, strict=True))
            return value if same else items if isinstance(value, list) else tuple(items)
        if isinstance(value, dict):
            pairs = [
                (self.any(k, depth + 1), v if _is_uuid(k, v) else self.any(v, depth + 1))
                for k, v in value.items()
            ]
            same = all(
                a is c and b is d for (a, b), (c, d) in zip(pairs, value.items(), strict=True)
            )
            return value if same else dict(pairs)
        if type(value) in (int, float):
            return self._number(value)
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, BaseModel) or is_record(value):
            return self._record(value, depth)
        return value

    def _record(self, value: Any, depth: int) -> Any:
        changed = {}
        hosts = is_record(value)
        for name, item in vars(value).items():
            if item is None or (hosts and _is_column(name, item)):
                continue
            if (found := self.any(item, depth + 1)) is not item:
                changed[name] = found
        if not changed:
            return value
        fresh = copy.copy(value)
        # A model of the user's may check or forbid this where it is set by name.
        vars(fresh).update(changed)
        return fresh

    def _text(self, text: str) -> Any:
        found = self._change(text)
        if (number := _NUMBER.fullmatch(found)) is not None:
            if self._writing:
                return f"<#@{found[2:]}"
            return f"<#{found[3:]}" if number[1] else _as_number(number[2], number[3], text)
        return text if found == text else found

    def _number(self, value: int | float) -> Any:
        if not self._writing:
            return value
        said = repr(value)
        found = self._change(said)
        kind = "i" if type(value) is int else "f"
        return value if found == said else f"<#{kind}{found}#>"

    def _bytes(self, value: bytes) -> bytes:
        """A file that is text; of others nothing is known."""
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return value
        found = self._change(text)
        return value if found == text else found.encode(errors="surrogatepass")


def _as_number(kind: str, said: str, text: str) -> int | float | str:
    try:
        return int(said) if kind == "i" else float(said)
    except ValueError:
        # Nobody knows any more which it was.
        return text


def _is_uuid(name: Any, value: Any) -> bool:
    return name == "uuid" and isinstance(value, str) and _UUID.fullmatch(value) is not None


def _is_column(name: Any, value: Any) -> bool:
    """Whether databases look this up, sort by it, or count on its being a number."""
    named = isinstance(name, str) and (name in _NO_WORDS or name.endswith(_ENDS))
    return named or type(value) in (int, float)
