"""`HybridSearch`: Agno's LanceDb or PgVector, searched by vector and by words."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextvars import ContextVar
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
from agno_portkey.verdict import Event, Observer, check_observers, heard, tell

__all__ = ["HybridSearch"]

# SQLite and Postgres count further, LanceDB does not.
_MOST = 2**31 - 1
# Whose next search is of what type, in this thread or task.
_NEXT: ContextVar[tuple[HybridSearch, SearchType] | None] = ContextVar("search_type", default=None)


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
    `search_type` is "hybrid", or one side alone: "keyword" or "vector". `expansion` is a
    `Feedback`, a `Rewrites`, or both; `rerank` a `Reranking`. `observers` hear of each search what
    it cost.

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
        search_type: SearchType | str = SearchType.hybrid,
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
        _check_number("candidates", candidates)
        self.candidates = candidates
        self.feedback, self.rewrites = _expansions(expansion)
        self.rerank = rerank
        # Where `Knowledge` reranks itself, ours is to be left out: it asks for this one.
        self._reranker = rerank.reranker if rerank is not None else None
        self._search_type = _kind(search_type)
        self.observers = check_observers(observers)
        self._chunks = chunks_of(vector_db, words)

    def __deepcopy__(self, memo: dict[int, Any]) -> HybridSearch:
        """Itself: it holds nothing of a run, and a connection can't be copied."""
        return self

    @property
    def search_type(self) -> SearchType:
        """How is searched. One that is set is that of the next search of this thread or task alone.

        `Knowledge.search(search_type=...)` sets it before it searches, on what others search, too.
        """
        said = _NEXT.get()
        return said[1] if said is not None and said[0] is self else self._search_type

    @search_type.setter
    def search_type(self, said: SearchType | str) -> None:
        _NEXT.set((self, _kind(said)))

    def _taken_search_type(self) -> SearchType:
        kind, said = self.search_type, _NEXT.get()
        if said is not None and said[0] is self:
            _NEXT.set(None)
        return kind

    # Searching

    def find(
        self,
        query: str,
        limit: int = 5,
        filters: Any = None,
        user_id: str | None = None,
        *,
        search_type: SearchType | str | None = None,
    ) -> Found:
        """The best `limit` documents for `query`, with scores by side, and what it cost.

        With a `user_id` those of that owner and the shared ones alone; with a `search_type` by both
        sides or one, in this call. Nothing is found for a query of blanks, and nobody asked.
        """
        return step(self._found(query, limit, filters, user_id, SyncIO(), search_type))

    async def afind(
        self,
        query: str,
        limit: int = 5,
        filters: Any = None,
        user_id: str | None = None,
        *,
        search_type: SearchType | str | None = None,
    ) -> Found:
        """The same on an event loop, which nothing of it blocks."""
        return await self._found(query, limit, filters, user_id, AsyncIO(), search_type)

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
        self,
        query: str,
        limit: int,
        filters: Any,
        user_id: str | None,
        io: IO,
        search_type: SearchType | str | None,
    ) -> Found:
        usual = self._taken_search_type()
        kind = usual if search_type is None else _kind(search_type)
        _check(query, limit, user_id)
        began = time.monotonic()
        scope = Scope(user_id, read_filters(filters))
        # SQLite and Postgres take no half of a pair.
        query = query.encode("utf-8", "replace").decode()
        found = Found((), (query,), ())
        if query.strip():
            found = await Search(self._settings(kind), query, limit, scope, io).found()
        if heard(self.observers):
            data = {
                "hits": len(found),
                "queries": len(found.queries),
                "reranked": found.reranked,
                "costs": [cost.as_dict() for cost in found.costs],
                "seconds": time.monotonic() - began,
            }
            tell(self.observers, Event("search", data=data))
        return found

    def _settings(self, kind: SearchType) -> Settings:
        return Settings(
            chunks=self._chunks,
            embedder=self.embedder,
            kind=kind,
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


def _check(query: Any, limit: Any, user_id: Any) -> None:
    if user_id is not None and (not isinstance(user_id, str) or not is_plain(user_id)):
        raise ConfigurationError(f"user_id: a text, or None for all owners, not {user_id!r}")
    if not isinstance(query, str):
        raise ConfigurationError(f"query: a text, not {query!r}")
    _check_number("limit", limit)


def _check_number(name: str, said: Any) -> None:
    if isinstance(said, bool) or not isinstance(said, int) or not 0 < said <= _MOST:
        raise ConfigurationError(f"{name}: a whole number from 1 to {_MOST}, not {said!r}")


def _kind(said: Any) -> SearchType:
    try:
        return SearchType(said)
    except ValueError:
        raise ConfigurationError(
            f'search_type: "hybrid", "keyword" or "vector", not {said!r}'
        ) from None


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
