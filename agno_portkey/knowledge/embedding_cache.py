"""Vectors on disk, by what they were made of: the same text is not paid for twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from array import array
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from agno_portkey.cache.sqlite_file import Link
from agno_portkey.errors import ConfigurationError

__all__ = ["EmbeddingCache"]

_SCHEMA = (
    "CREATE TABLE agno_portkey_vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, "
    "used REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX agno_portkey_vectors_used ON agno_portkey_vectors (used)",
)
# Parameters of one statement.
_AT_ONCE = 500
# Seconds that a file is left alone which could not be used.
_REST = 5.0
_log = logging.getLogger("agno_portkey")


class EmbeddingCache:
    """Vectors in a SQLite file that threads and processes share; what fails is a miss, no error.

    Without a `path` the file is in the user's cache folder. Of more than `max_entries` vectors
    those go that were not used for longest. No text is kept, only a digest: but what a vector was
    made of can be guessed from it, so that the file is as private as the texts. Raises
    ConfigurationError where that folder can't be made.
    """

    def __init__(
        self, path: str | PathLike[str] | None = None, *, max_entries: int = 1_000_000
    ) -> None:
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:
            raise ConfigurationError(f"max_entries: a whole number above 0, not {max_entries!r}")
        if path is None:
            path = _usual()
        self.path = fspath(path)
        self._max = max_entries
        self._link = Link(self.path, schema=_SCHEMA, names="agno_portkey_vectors*", seconds=2.0)
        self._rests_until = 0.0

    def __repr__(self) -> str:
        return f"EmbeddingCache({self.path!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingCache:
        return self

    def get(self, keys: Sequence[bytes]) -> dict[bytes, list[float]]:
        """The vectors of those keys that there are any of."""
        found: dict[bytes, list[float]] = {}
        for start in range(0, len(keys), _AT_ONCE):
            found |= self._tried(lambda part=keys[start : start + _AT_ONCE]: self._get(part)) or {}
        return found

    def put(self, vectors: Mapping[bytes, Sequence[float]]) -> None:
        """Keep `vectors`, as numbers of 32 bits."""
        now = time.time()
        rows = [(key, _packed(vector), now) for key, vector in vectors.items()]
        self._tried(lambda: self._put(rows))

    def close(self) -> None:
        self._link.close()

    def _get(self, keys: Sequence[bytes]) -> dict[bytes, list[float]]:
        marks = ", ".join("?" * len(keys))
        with self._link.writing() as connection:
            rows = connection.execute(
                f"SELECT key, vector FROM agno_portkey_vectors WHERE key IN ({marks})",  # noqa: S608
                keys,
            ).fetchall()
            connection.executemany(
                "UPDATE agno_portkey_vectors SET used = ? WHERE key = ?",
                [(time.time(), key) for key, _ in rows],
            )
        return {key: vector for key, raw in rows if (vector := _unpacked(raw)) is not None}

    def _put(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        with self._link.writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO agno_portkey_vectors VALUES (?, ?, ?)", rows
            )
            [[count]] = connection.execute("SELECT count(*) FROM agno_portkey_vectors")
            if count > self._max:
                connection.execute(
                    "DELETE FROM agno_portkey_vectors WHERE key IN (SELECT key FROM "
                    "agno_portkey_vectors ORDER BY used LIMIT ?)",
                    (count - self._max,),
                )

    def _tried(self, ask: Any) -> Any:
        if time.monotonic() < self._rests_until:
            return None
        try:
            return ask()
        except Exception as error:
            self._rests_until = time.monotonic() + _REST
            _log.warning(
                "%r could not be used (%s): texts are embedded anew", self, type(error).__name__
            )
            return None


def _usual() -> Path:
    """The file in the user's cache folder, which is made if need be."""
    path = user_cache_path("agno-portkey") / "embeddings.db"
    try:
        os.makedirs(path.parent, 0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"path: the folder {path.parent} can't be made ({type(error).__name__}); give the "
            "path of a file in a folder that may be written to"
        ) from error
    return path


def key_of(text: str, about: Any) -> bytes:
    """What a vector of `text` is found by; `about` is all else that it depends on, as JSON."""
    said = json.dumps([about, text], sort_keys=True, default=repr, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()


def _packed(vector: Sequence[float]) -> bytes:
    return array("f", vector).tobytes()


def _unpacked(raw: Any) -> list[float] | None:
    """The vector; None for what is none."""
    try:
        numbers = array("f")
        numbers.frombytes(raw)
    except (TypeError, ValueError):
        return None
    return numbers.tolist() or None
