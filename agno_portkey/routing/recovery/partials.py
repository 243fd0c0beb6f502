"""Keeps the text of answers that broke off, so that asking again does not pay for it again."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Partials", "digest_of"]

_KEPT = 64
_SECONDS = 600.0
# What may differ from one try to the next without another answer being asked for.
_NOT_OF_THE_QUESTION = ("extra_headers", "timeout", "stream", "stream_options")


class Partials:
    """The latest partial answers by the digest of what was asked; thread-safe.

    An entry serves once, within ten minutes. Nothing is written to disk.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    def keep(self, digest: str, text: str) -> None:
        """Keep `text` for the next who asks the same; past the limit the oldest is forgotten."""
        with self._lock:
            self._kept.pop(digest, None)
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[digest] = (self._clock(), text)

    def take(self, digest: str) -> str:
        """The text kept for `digest`, which is then forgotten; empty if there is none."""
        with self._lock:
            at, text = self._kept.pop(digest, (0.0, ""))
        return text if self._clock() - at <= _SECONDS else ""

    def __bool__(self) -> bool:
        return bool(self._kept)


def digest_of(params: Mapping[str, Any], identity: tuple[str | None, ...]) -> str:
    """A digest of a chat completion's arguments and of who asks: nobody gets another's text."""
    asked = {name: params[name] for name in params if name not in _NOT_OF_THE_QUESTION}
    told = json.dumps([identity, asked], sort_keys=True, default=repr)
    return hashlib.sha256(told.encode()).hexdigest()
