"""The chunks of a vector database, for those that can be searched by words as well."""

from __future__ import annotations

import os
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.search.chunks import Chunks

__all__ = ["chunks_of"]


def chunks_of(vector_db: Any, words: str | os.PathLike[str] | None) -> Chunks:
    """The chunks of a LanceDb or PgVector; raises ConfigurationError for anything else."""
    kinds = {f"{kind.__module__.split('.')[2]}" for kind in type(vector_db).__mro__ if _is(kind)}
    chunks: Chunks
    if "lancedb" in kinds:
        from agno_portkey.knowledge.search.lance import LanceChunks

        chunks = LanceChunks(vector_db, words)
    elif "pgvector" in kinds:
        from agno_portkey.knowledge.search.postgres import PgChunks

        if words is not None:
            raise ConfigurationError("words: not for a PgVector, whose words are in its database")
        chunks = PgChunks(vector_db)
    else:
        raise ConfigurationError(
            f"vector_db: a LanceDb or a PgVector of agno.vectordb, not a {type(vector_db).__name__}"
        )
    if vector_db._reranker is not None:
        raise ConfigurationError(
            "vector_db: it has a reranker, which would not be asked; give it as "
            "HybridSearch(rerank=Reranking(...)) or Knowledge(reranker=...)"
        )
    return chunks


def _is(kind: type[Any]) -> bool:
    return kind.__module__.startswith("agno.vectordb.") and kind.__name__ in ("LanceDb", "PgVector")
