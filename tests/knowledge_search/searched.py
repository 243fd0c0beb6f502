"""What tests of search share: an embedder of words, documents, and what is found."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from typing import Any

from agno.knowledge.document import Document
from agno.knowledge.embedder.base import Embedder

from agno_portkey.knowledge import HybridSearch

LENGTH = 32
Opens = Callable[..., HybridSearch]


class Words(Embedder):
    """A vector of which words a text has: the same each time, and quick."""

    def __init__(self) -> None:
        super().__init__(dimensions=LENGTH, enable_batch=False)
        self.asked: list[str] = []

    def get_embedding(self, text: str) -> list[float]:
        return self.get_embedding_and_usage(text)[0]

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], dict[str, Any] | None]:
        self.asked.append(text)
        vector = [0.01] * LENGTH
        for word in text.lower().split():
            vector[md5(word.encode(), usedforsecurity=False).digest()[0] % LENGTH] += 1.0
        return vector, {"prompt_tokens": len(text.split()), "total_tokens": len(text.split())}

    async def async_get_embedding(self, text: str) -> list[float]:
        return self.get_embedding(text)

    async def async_get_embedding_and_usage(
        self, text: str
    ) -> tuple[list[float], dict[str, Any] | None]:
        return self.get_embedding_and_usage(text)


def doc(text: str, name: str | None = None, content_id: str | None = None, **meta: Any) -> Document:
    return Document(content=text, name=name, content_id=content_id, meta_data=meta)


def texts(search: HybridSearch, query: str, **options: Any) -> list[str]:
    return [hit.document.content for hit in search.find(query, **{"limit": 100, **options})]


def by_words(search: HybridSearch, query: str, **options: Any) -> set[str]:
    """The texts that are found by a word of theirs."""
    found = search.find(query, **{"limit": 100, **options})
    return {hit.document.content for hit in found if hit.words is not None}
