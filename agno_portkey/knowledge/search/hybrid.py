"""`HybridSearch`: Agno's LanceDb or PgVector, searched by vector and by words."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Literal

from agno.knowledge.document import Document
from agno.vectordb.search import SearchType

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO, SyncIO, step
from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search.chunks import Scope
from agno_portkey.knowledge.search.expansion import Expansion, Feedback, Rewrites
from agno_portkey.knowledge.search.filters import is_plain, read_filters
from agno_portkey.knowledge.search.found import Found
from agno_portkey.knowledge.search.keeping import Keeping
from agno_portkey.knowledge.search.opening import chunks_of
from agno_portkey.knowledge.search.reranking import Reranking
from agno_portkey.knowledge.search.searching import Search, Settings
from agno_portkey.verdict import Event, Observer, check_observers, tell

__all__ = ["HybridSearch"]


class HybridSearch(Keeping):
    """Agno's LanceDb or PgVector, searched by vector and by words; for Agno's `Knowledge`.

    Chunks are kept, and embedded, by `vector_db`. Their words are found by BM25, over the text
    alone: for a LanceDb in a SQLite file beside the table, or at `words`; for a PgVector in tables
    of the same schema. They follow each write, and catch up with a write of somebody else or a
    kill between two files before the next search.

    The sides are fused by `fusion`: "weighted" adds the scores of each, taken to 0-1, times
    `weight` (the vector's, by default 0.6) and the rest (the words'); "rrf" adds 1 / (`rrf_k` +
    rank), of both alike unless `weight` says otherwise. `candidates` are looked at on each side.
    Filters, as a dict or expressions of `agno.filters`, and the owner are applied before that.
    `expansion` is a `Feedback`, a `Rewrites`, or both; `rerank` a `Reranking`. `observers` hear of
    each search what it cost.

    Raises ConfigurationError for any other vector database, and SearchUnavailable where the words
    can't be read: nothing is searched by halves.
    """

    def __init__(
        self,
        vector_db: Any,
        *,
        words: str | os.PathLike[str] | None = None,
        weight: float | None = None,
        fusion: Literal["weighted", "rrf"] = "weighted",
        rrf_k: float = 60,
        candidates: int = 100,
        expansion: Expansion | Sequence[Expansion] | None = None,
        rerank: Reranking | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(vector_db)
        if rerank is not None and not isinstance(rerank, Reranking):
            raise ConfigurationError("rerank: a Reranking, which says in what time")
        usual = 0.6 if fusion == "weighted" else 0.5
        self.weight = _number("weight", usual if weight is None else weight, 0, 1)
        self.fusion: Literal["weighted", "rrf"] = fusion
        if fusion not in ("weighted", "rrf"):
            raise ConfigurationError(f'fusion: "weighted" or "rrf", not {fusion!r}')
        self.rrf_k = _number("rrf_k", rrf_k, 0, 1e9)
        if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
            raise ConfigurationError(f"candidates: a whole number above 0, not {candidates!r}")
        self.candidates = candidates
        self.feedback, self.rewrites = _expansions(expansion)
        self.rerank = rerank
        # Where `Knowledge` reranks itself, ours is to be left out: it asks for this one.
        self._reranker = rerank.reranker if rerank is not None else None
        self.search_type = SearchType.hybrid
        self.observers = check_observers(observers)
        self._chunks = chunks_of(vector_db, words)

    def __deepcopy__(self, memo: dict[int, Any]) -> HybridSearch:
        """Itself: it holds nothing of a run, and a connection can't be copied."""
        return self

    # Searching

    def find(
        self, query: str, limit: int = 5, filters: Any = None, user_id: str | None = None
    ) -> Found:
        """The best `limit` documents for `query`, with scores by side, and what it cost.

        With a `user_id` those of that owner and the shared ones alone.
        """
        return step(self._found(query, limit, filters, user_id, SyncIO()))

    async def afind(
        self, query: str, limit: int = 5, filters: Any = None, user_id: str | None = None
    ) -> Found:
        """The same on an event loop, which nothing of it blocks."""
        return await self._found(query, limit, filters, user_id, AsyncIO())

    def search(
        self, query: str, limit: int = 5, filters: Any = None, user_id: str | None = None
    ) -> list[Document]:
        """The documents of `find`; their metadata has the fused score as `search_score`."""
        return self.find(query, limit, filters, user_id).documents

    async def async_search(
        self, query: str, limit: int = 5, filters: Any = None, user_id: str | None = None
    ) -> list[Document]:
        return (await self.afind(query, limit, filters, user_id)).documents

    async def _found(
        self, query: str, limit: int, filters: Any, user_id: str | None, io: IO
    ) -> Found:
        if user_id is not None and (not isinstance(user_id, str) or not is_plain(user_id)):
            raise ConfigurationError(f"user_id: a text, or None for all owners, not {user_id!r}")
        if not isinstance(query, str):
            raise ConfigurationError(f"query: a text, not {query!r}")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"limit: a whole number above 0, not {limit!r}")
        began = time.monotonic()
        scope = Scope(user_id, read_filters(filters))
        # SQLite and Postgres take no half of a pair.
        query = query.encode("utf-8", "replace").decode()
        search = Search(self._settings(), query, limit, scope, io)
        found = await search.found()
        if self.observers:
            data = {
                "hits": len(found),
                "queries": len(found.queries),
                "reranked": found.reranked,
                "costs": [cost.as_dict() for cost in found.costs],
                "seconds": time.monotonic() - began,
            }
            tell(self.observers, Event("search", data=data))
        return found

    def _settings(self) -> Settings:
        return Settings(
            chunks=self._chunks,
            embedder=self.embedder,
            kind=SearchType(self.search_type),
            weight=self.weight,
            fusion=self.fusion,
            rrf_k=self.rrf_k,
            candidates=self.candidates,
            feedback=self.feedback,
            rewrites=self.rewrites,
            rerank=self.rerank if self.reranker is not None else None,
        )

    def get_supported_search_types(self) -> list[str]:
        return [SearchType.vector, SearchType.keyword, SearchType.hybrid]


def _expansions(
    said: Expansion | Sequence[Expansion] | None,
) -> tuple[Feedback | None, Rewrites | None]:
    several = [] if said is None else [*said] if isinstance(said, Sequence) else [said]
    feedback = [each for each in several if isinstance(each, Feedback)]
    rewrites = [each for each in several if isinstance(each, Rewrites)]
    if len(feedback) > 1 or len(rewrites) > 1 or len(feedback) + len(rewrites) < len(several):
        raise ConfigurationError("expansion: a Feedback, a Rewrites, or one of each")
    return next(iter(feedback), None), next(iter(rewrites), None)


def _number(name: str, value: Any, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigurationError(f"{name}: a number from {least:g} to {most:g}, not {value!r}")
    return value
