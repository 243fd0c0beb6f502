"""Knowledge through Portkey: embeddings that are guarded, tagged, batched and kept."""

from __future__ import annotations

from agno_portkey.knowledge.embedder import PortkeyEmbedder
from agno_portkey.knowledge.embedding_cache import EmbeddingCache
from agno_portkey.knowledge.embedding_run import Embedded
from agno_portkey.knowledge.local import LocalEmbedder

__all__ = ["Embedded", "EmbeddingCache", "LocalEmbedder", "PortkeyEmbedder"]
