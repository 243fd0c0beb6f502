"""One search: by vector and by words, fused, expanded and reranked; one body, sync and async."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agno.knowledge.document import Document
from agno.vectordb.search import SearchType

from agno_portkey.calls import IO
from agno_portkey.drivers import AsyncIO
from agno_portkey.errors import Stopped
from agno_portkey.knowledge.search.chunks import Chunks, Scope, SearchUnavailable
from agno_portkey.knowledge.search.expansion import Feedback, Rewrites
from agno_portkey.knowledge.search.found import Cost, Found, Hit
from agno_portkey.knowledge.search.fusion import combined, reciprocal, weighted
from agno_portkey.knowledge.search.reranking import Reranking
from agno_portkey.knowledge.search.terms import terms_of
from agno_portkey.verdict import failure_told

__all__ = ["Search", "Settings"]

# The query counts as much as all its other wordings.
_OWN = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """How is searched; see `HybridSearch`."""

    chunks: Chunks
    embedder: Any
    kind: SearchType
    weight: float
    fusion: Literal["weighted", "rrf"]
    rrf_k: float
    candidates: int
    feedback: Feedback | None
    rewrites: Rewrites | None
    rerank: Reranking | None


@dataclass(slots=True)
class _Asked:
    """One query with its vector and terms, and what either side found."""

    text: str
    vector: list[float]
    terms: Mapping[str, float] = field(default_factory=dict)
    by_vector: dict[str, float] = field(default_factory=dict)
    by_words: dict[str, float] = field(default_factory=dict)


class Search:
    """One query on its way to its documents."""

    def __init__(self, settings: Settings, query: str, limit: int, scope: Scope, io: IO) -> None:
        self._of, self._query, self._limit, self._scope = settings, query, limit, scope
        self._io = io
        self._sync = not isinstance(io, AsyncIO)
        self._width = max(settings.candidates, limit)
        self._costs: list[Cost] = []

    async def found(self) -> Found:
        """What was found; raises what keeps the query itself from being searched."""
        await self._io.run(self._of.chunks.ready)
        queries = [self._query]
        if self._of.rewrites is not None:
            others, cost = await self._of.rewrites.of(self._query, self._io, sync=self._sync)
            queries += others
            self._costs.append(cost)
        asked = await self._embedded(queries)
        order = await self._searched(asked)
        if self._of.feedback is not None:
            order = await self._fed_back(self._of.feedback, asked, order)
        hits, reranked = await self._ordered(order, asked)
        return Found(tuple(hits), tuple(each.text for each in asked), (*self._costs,), reranked)

    # The queries

    async def _embedded(self, queries: Sequence[str]) -> list[_Asked]:
        if self._of.kind is SearchType.keyword:
            return [_Asked(query, []) for query in queries]
        began, tokens, requests = time.monotonic(), 0, 0
        asked: list[_Asked] = []
        failure = None
        for place, query in enumerate(queries):
            requests += 1
            try:
                vector, usage = await self._vector(query)
            except Exception as error:
                if place == 0 or isinstance(error, Stopped):
                    raise
                # Another wording that can't be embedded is not searched.
                failure = failure_told(error)
                continue
            tokens += _tokens(usage)
            asked.append(_Asked(query, vector))
        seconds = time.monotonic() - began
        self._costs.append(Cost("embedding", seconds, requests, tokens, failure=failure))
        return asked

    async def _vector(self, query: str) -> tuple[list[float], Any]:
        embedder = self._of.embedder
        if self._sync:
            vector, usage = embedder.get_embedding_and_usage(query)
        else:
            vector, usage = await embedder.async_get_embedding_and_usage(query)
        if vector is None or len(vector) == 0:
            raise SearchUnavailable("the embedder gave no vector for the query")
        return [float(number) for number in vector], usage

    # Both sides

    async def _searched(self, asked: Sequence[_Asked]) -> dict[str, float]:
        """The fused order of all queries."""
        began = time.monotonic()

        def look() -> None:
            for each in asked:
                # Here, as a long text would hold up an event loop.
                if self._of.kind is not SearchType.vector:
                    each.terms = terms_of(each.text)
                self._look(each)

        await self._io.run(look)
        self._costs.append(Cost("search", time.monotonic() - began))
        return self._fused(asked)

    def _look(self, asked: _Asked) -> None:
        of, chunks, scope = self._of, self._of.chunks, self._scope
        vectors = asked.by_vector = chunks.nearest(asked.vector, self._width, scope)
        scored = of.fusion == "weighted" and asked.terms and vectors
        also = vectors if scored else ()
        words = asked.by_words = chunks.matching(asked.terms, self._width, scope, also)
        if scored:
            # Each side rates what the other found, too: not to be among its best is not to be 0.
            others = [key for key in words if key not in vectors]
            vectors |= chunks.likeness(asked.vector, others, scope)

    def _fused(self, asked: Sequence[_Asked]) -> dict[str, float]:
        own, *others = map(self._one, asked)
        if not others:
            return own
        share = (1 - _OWN) / len(others)
        return combined([(_OWN, own), *((share, other) for other in others)])

    def _one(self, asked: _Asked) -> dict[str, float]:
        of = self._of
        if of.fusion == "rrf":
            return reciprocal(asked.by_vector, asked.by_words, of.weight, of.rrf_k)
        # BM25 of what has none of the terms is 0.
        nothing = dict.fromkeys(asked.by_vector, 0.0) if asked.by_words else {}
        return weighted(asked.by_vector, {**nothing, **asked.by_words}, of.weight)

    async def _fed_back(
        self, feedback: Feedback, asked: list[_Asked], order: dict[str, float]
    ) -> dict[str, float]:
        """The order once the query was searched again, with what the best of it say."""
        began = time.monotonic()
        best = [*order][: feedback.documents]

        def again() -> dict[str, float]:
            there = self._of.chunks.documents(best, self._scope)
            rated = [(order[key], there[key]) for key in best if key in there]
            if not rated:
                return order
            own = asked[0]
            asked[0] = more = _Asked(
                own.text,
                feedback.vector_for(own.vector, rated) if own.vector else [],
                feedback.terms_for(own.terms, rated),
            )
            self._look(more)
            return self._fused(asked)

        fused: dict[str, float] = await self._io.run(again)
        self._costs.append(Cost("feedback", time.monotonic() - began))
        return fused

    # The documents

    async def _ordered(
        self, order: Mapping[str, float], asked: Sequence[_Asked]
    ) -> tuple[list[Hit], bool]:
        rerank = self._of.rerank
        wanted = self._limit if rerank is None else max(self._limit, rerank.candidates)
        documents = await self._io.run(lambda: self._documents([*order], wanted))
        keys, reranked = [*documents], False
        if rerank is not None and keys:
            places, cost = await rerank.order(
                self._query, [*documents.values()], self._limit, self._io, sync=self._sync
            )
            self._costs.append(cost)
            if places is not None:
                keys, reranked = [keys[place] for place in places], True
        hits = [self._hit(key, documents[key], order[key], asked) for key in keys[: self._limit]]
        return hits, reranked

    def _documents(self, ids: Sequence[str], wanted: int) -> dict[str, Document]:
        """The first `wanted` of `ids` that are still there."""
        found: dict[str, Document] = {}
        step = max(wanted, 1)
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            there = self._of.chunks.documents(some, self._scope)
            found |= {key: there[key] for key in some if key in there}
            if len(found) >= wanted:
                break
        return dict([*found.items()][:wanted])

    def _hit(self, key: str, document: Document, score: float, asked: Sequence[_Asked]) -> Hit:
        vector = [each.by_vector[key] for each in asked if key in each.by_vector]
        words = [each.by_words[key] for each in asked if key in each.by_words]
        told = replace(document, meta_data={"search_score": score, **document.meta_data})
        return Hit(told, score, max(vector, default=None), max(words, default=None))


def _tokens(usage: Any) -> int:
    if not isinstance(usage, Mapping):
        return 0
    return int(usage.get("total_tokens") or usage.get("prompt_tokens") or 0)
