"""`LocalEmbedder`: vectors of MiniLM, made on this machine; no text leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import cpu_count
from typing import Any

from agno.knowledge.embedder.base import Embedder

from agno_portkey.cache.semantic.embedder import Embedder as MiniLM
from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.batches import batches

__all__ = ["LocalEmbedder"]

_PIECE = 32


@dataclass
class LocalEmbedder(Embedder):
    """all-MiniLM-L6-v2 with int8 weights, offline; needs the extra `knowledge`.

    `workers` texts are embedded at once, each on one thread: by default one a core. Of a text
    longer than 256 tokens the beginning counts: cut documents into chunks of that size.
    """

    dimensions: int | None = MiniLM.dimensions
    enable_batch: bool = True
    workers: int = field(default_factory=lambda: cpu_count() or 1)
    _minilm: MiniLM = field(default_factory=MiniLM, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.dimensions != MiniLM.dimensions:
            raise ConfigurationError(f"dimensions: the model's are {MiniLM.dimensions}")
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 1:
            raise ConfigurationError(f"workers: a whole number above 0, not {self.workers!r}")

    @property
    def id(self) -> str:
        return self._minilm.id

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vectors of `texts`, in their order."""
        unique = [*dict.fromkeys(texts)]
        pieces = [
            [unique[place] for place in batch]
            for batch in batches(unique, most=_PIECE, tokens=10**9)
        ]
        if len(pieces) < 2 or self.workers == 1:
            rows = [row for piece in pieces for row in self._rows(piece)]
        else:
            with ThreadPoolExecutor(self.workers, thread_name_prefix="agno-portkey-embed") as pool:
                rows = [row for found in pool.map(self._rows, pieces) for row in found]
        known = dict(zip(unique, rows, strict=True))
        return [known[text] for text in texts]

    async def aembed(self, texts: Sequence[str]) -> list[list[float]]:
        """The same, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.embed, texts)

    def _rows(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = self._minilm.embed(texts).tolist()
        return found

    def get_embedding(self, text: str) -> list[float]:
        return self.embed([text])[0]

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], dict[str, Any] | None]:
        return self.get_embedding(text), None

    async def async_get_embedding(self, text: str) -> list[float]:
        return (await self.aembed([text]))[0]

    async def async_get_embedding_and_usage(
        self, text: str
    ) -> tuple[list[float], dict[str, Any] | None]:
        return await self.async_get_embedding(text), None

    async def async_get_embeddings_batch_and_usage(
        self, texts: list[str]
    ) -> tuple[list[list[float]], list[dict[str, Any] | None]]:
        """The vectors of `texts`; they take no tokens."""
        return await self.aembed(texts), [None] * len(texts)
