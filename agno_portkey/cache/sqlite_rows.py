"""Entries as rows of a cache in SQLite, and which rows are selected."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from agno_portkey.cache.entry import Entry, Selection
from agno_portkey.cache.packing import Packed, described, legible, named, raw, unread
from agno_portkey.cache.sealing import Unreadable

__all__ = ["COLUMNS", "condition", "entry_row", "told"]

_TEXTS = ("scope", "model", "role", "prompt", "knowledge")
# What is told of an entry that can't be read.
COLUMNS = ", ".join(("key", "bucket", "created_at", "expires_at", "sources", "tags", *_TEXTS))


def entry_row(entry: Entry, packed: Packed) -> tuple[Any, ...]:
    times = (entry.created_at, entry.created_at, entry.expires_at)
    texts = map(raw, (entry.scope, entry.model, entry.role, entry.prompt, entry.knowledge))
    lists = (_listed(entry.sources), _listed(entry.tags))
    place = (raw(entry.key), raw(entry.bucket), bool(packed.embedding))
    return (*place, *times, packed.size, *texts, *lists)


def _listed(texts: Iterable[str]) -> bytes:
    """Texts between bytes that are in no text, so that one is found as a whole."""
    return b"\xff" + b"".join(raw(text) + b"\xff" for text in texts)


def condition(selection: Selection, now: float) -> tuple[str, list[Any]]:
    """What is asked for, as a condition in SQL, and the values of its places."""
    conditions: list[str] = ["1"]
    values: list[Any] = []
    for name, value in selection.given().items():
        if name == "older_than":
            conditions.append("? - created_at > ?")
            values += [now, value]
        elif name in ("source", "tag"):
            conditions.append(f"instr({name}s, ?) > 0")
            values.append(b"\xff" + raw(str(value)) + b"\xff")
        else:
            conditions.append(f"{name} = ?")
            values.append(raw(str(value)))
    return " AND ".join(conditions), values


def told(about: Any, key: bytes, bucket: bytes, *columns: Any) -> Entry:
    """The entry that `about` describes; if it can't be read, what the columns say of it."""
    try:
        entry = described(about)
        if raw(entry.key) == key:
            return entry
    except Unreadable:
        pass
    created_at, expires_at, sources, tags, *texts = columns
    return unread(
        named(key),
        legible(bucket),
        created_at=_finite(created_at),
        expires_at=_finite(expires_at),
        sources=_texts(sources),
        tags=_texts(tags),
        **dict(zip(_TEXTS, map(legible, texts), strict=True)),
    )


def _texts(listed: Any) -> tuple[str, ...]:
    return tuple(map(legible, listed.split(b"\xff")[1:-1])) if isinstance(listed, bytes) else ()


def _finite(number: Any) -> float:
    return number if isinstance(number, float) and math.isfinite(number) else 0.0
