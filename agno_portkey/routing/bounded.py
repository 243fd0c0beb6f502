"""Holds what a gateway answers to a size, however much of it there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from agno_portkey.errors import BadResponse

__all__ = ["MAX_DEPTH", "MAX_ERROR_BYTES", "MAX_REPLY_BYTES", "bound", "is_deep"]

# An answer of two thousand long vectors in JSON has about half of it.
MAX_REPLY_BYTES = 256 * 1024 * 1024
# Of an error the beginning says it all; and a few bytes can be unpacked to a thousand times more.
MAX_ERROR_BYTES = 1024 * 1024
_MAX_PACKED_BYTES = 64 * 1024
# Of errors: whoever looks through one calls itself for each level.
MAX_DEPTH = 50


def bound(response: httpx.Response) -> None:
    """Cut an error off behind `MAX_ERROR_BYTES`; any other answer beyond its limit is refused.

    Files that are fetched may have any size.
    """
    stream: Any = response.stream
    if response.is_success:
        if not response.request.url.path.endswith("/content"):
            response.stream = _Bounded(stream, MAX_REPLY_BYTES, cut=False)
        return
    packed = response.headers.get("content-encoding", "identity") != "identity"
    limit = _MAX_PACKED_BYTES if packed else MAX_ERROR_BYTES
    response.stream = _Bounded(stream, limit, cut=True)


def is_deep(value: Any, most: int = MAX_DEPTH) -> bool:
    """Whether plain data is nested deeper than `most` levels; without recursion."""
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


class _Bounded(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, stream: Any, left: int, *, cut: bool) -> None:
        self._stream = stream
        self._left = left
        self._cut = cut

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield self._taken(chunk)
            if self._left < 0:
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield self._taken(chunk)
            if self._left < 0:
                return

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _taken(self, chunk: bytes) -> bytes:
        kept = chunk[: self._left]
        self._left -= len(chunk)
        if self._left < 0 and not self._cut:
            raise BadResponse(
                f"the answer has more than {MAX_REPLY_BYTES:,} bytes: ask for less at once"
            )
        return kept
