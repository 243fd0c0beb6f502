"""Knowledge through Portkey: guarded embeddings, and many runs at once."""

from __future__ import annotations

from agno_portkey.knowledge.batch import BatchJob, BatchResult, BatchStatus
from agno_portkey.knowledge.embedder import PortkeyEmbedder
from agno_portkey.knowledge.embedding_cache import EmbeddingCache
from agno_portkey.knowledge.embedding_run import Embedded
from agno_portkey.knowledge.local import LocalEmbedder
from agno_portkey.knowledge.many import Many, RunFailed, arun_many, run_many
from agno_portkey.knowledge.search import (
    Cost,
    Feedback,
    Found,
    Hit,
    HybridSearch,
    Reranking,
    Rewrites,
    SearchUnavailable,
)

__all__ = [
    "BatchJob",
    "BatchResult",
    "BatchStatus",
    "Cost",
    "Embedded",
    "EmbeddingCache",
    "Feedback",
    "Found",
    "Hit",
    "HybridSearch",
    "LocalEmbedder",
    "Many",
    "PortkeyEmbedder",
    "Reranking",
    "Rewrites",
    "RunFailed",
    "SearchUnavailable",
    "arun_many",
    "run_many",
]
