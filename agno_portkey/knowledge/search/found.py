"""What a search found, by which side, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from agno.knowledge.document import Document

__all__ = ["Cost", "Found", "Hit"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step took: `embedding`, `search`, `rewrites`, `feedback` or `rerank`.

    `usd` is None where nobody told a price. `failure` says why the step was left out, if it was.
    """

    step: str
    seconds: float
    requests: int = 0
    tokens: int = 0
    usd: float | None = None
    failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """One document with its fused score, and its likeness and BM25 where a side found it.

    The score orders what one query has found: it is no measure across queries.
    """

    document: Document
    score: float
    vector: float | None = None
    words: float | None = None

    def __repr__(self) -> str:
        name = self.document.name or self.document.content[:40]
        return f"Hit({name!r}, score={self.score:.3f}, vector={self.vector}, words={self.words})"


@dataclass(frozen=True, slots=True)
class Found:
    """The hits, best first; `queries` are all that was searched for, the query itself first.

    `reranked` says whether a reranker has ordered them: scores are those of the fusion.
    """

    hits: tuple[Hit, ...]
    queries: tuple[str, ...]
    costs: tuple[Cost, ...]
    reranked: bool = False

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, place: int) -> Hit:
        return self.hits[place]

    @property
    def documents(self) -> list[Document]:
        return [hit.document for hit in self.hits]

    def cost(self, step: str) -> Cost | None:
        """What `step` took, if it was taken."""
        return next((cost for cost in self.costs if cost.step == step), None)
