"""Knowledge through Portkey: guarded embeddings, and many runs at once."""

from __future__ import annotations

from agno_portkey.knowledge.embedder import PortkeyEmbedder
from agno_portkey.knowledge.embedding_cache import EmbeddingCache
from agno_portkey.knowledge.embedding_run import Embedded
from agno_portkey.knowledge.local import LocalEmbedder
from agno_portkey.knowledge.many import Many, RunFailed, arun_many, run_many

__all__ = [
    "Embedded",
    "EmbeddingCache",
    "LocalEmbedder",
    "Many",
    "PortkeyEmbedder",
    "RunFailed",
    "arun_many",
    "run_many",
]
