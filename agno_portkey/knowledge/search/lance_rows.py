"""What a LanceDB table is, as it is now, and its rows: read, named and measured."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from operator import mul
from pathlib import Path
from typing import Any

from agno.knowledge.document import Document
from agno.vectordb.distance import Distance
from agno.vectordb.lancedb import LanceDb

from agno_portkey.knowledge.search.words import Row

__all__ = ["distance_of", "document_of", "joined", "likeness_of", "quoted", "row_of", "state_of"]


def state_of(table: Any) -> list[int]:
    """The version, and the time and size of its manifest.

    A table that was dropped and made anew counts its versions from 1.
    """
    version = int(table.version)
    for name in (f"{2**64 - 1 - version:020d}.manifest", f"{version}.manifest"):
        with suppress(OSError, AttributeError):
            at = os.stat(Path(str(table.uri).removeprefix("file://"), "_versions", name))
            return [version, at.st_mtime_ns, at.st_size]
    return [version, int(table.count_rows())]


def row_of(row: dict[str, Any]) -> Row | None:
    """None for a row without an id: nothing could be found by it.

    One that can't be read has no words and fits no filter.
    """
    if not isinstance(row["id"], str):
        return None
    payload = _payload(row)
    name, content_id, content_hash = (
        _text(payload.get(key)) for key in ("name", "content_id", "content_hash")
    )
    return Row(
        id=row["id"],
        text=_text(payload.get("content")) or "",
        owner=row.get(LanceDb.USER_ID_COL),
        name=name,
        content_id=content_id,
        content_hash=content_hash,
        meta=payload.get("meta_data") if payload else [],
    )


def document_of(row: dict[str, Any], embedder: Any) -> Document | None:
    """None for a row that can't be read, or has no text."""
    payload = _payload(row)
    content, meta = _text(payload.get("content")), payload.get("meta_data")
    if content is None:
        return None
    return Document(
        id=row["id"],
        name=_text(payload.get("name")),
        meta_data=meta if isinstance(meta, dict) else {},
        content=content,
        embedder=embedder,
        embedding=row["vector"],
        usage=payload.get("usage"),
        content_id=_text(payload.get("content_id")),
    )


def _payload(row: dict[str, Any]) -> dict[str, Any]:
    try:
        said = json.loads(row["payload"])
    except (TypeError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _text(said: Any) -> str | None:
    return said if isinstance(said, str) else None


def likeness_of(distance: float | None, metric: Distance) -> float | None:
    """The greater the more alike; None where the distance is no number, as to a vector of 0."""
    if distance is None or not math.isfinite(distance):
        return None
    return 1 / (1 + distance) if metric is Distance.l2 else 1 - distance


def distance_of(one: Sequence[float], other: Sequence[float], metric: Distance) -> float | None:
    """As LanceDB measures it: L2 is squared."""
    if metric is Distance.l2:
        return math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True))
    product = math.fsum(map(mul, one, other))
    if metric is Distance.cosine:
        lengths = math.hypot(*one) * math.hypot(*other)
        return 1 - product / lengths if lengths else None
    return 1 - product


def quoted(ids: Sequence[str]) -> str:
    return ",".join("'" + key.replace("'", "''") + "'" for key in ids)


def joined(*parts: str | None) -> str:
    return " AND ".join(part for part in parts if part)
