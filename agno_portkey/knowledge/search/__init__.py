"""Search by vector and by words over Agno's vector databases."""

from __future__ import annotations

from agno_portkey.knowledge.search.chunks import SearchUnavailable
from agno_portkey.knowledge.search.expansion import Feedback, Rewrites
from agno_portkey.knowledge.search.found import Cost, Found, Hit
from agno_portkey.knowledge.search.hybrid import HybridSearch
from agno_portkey.knowledge.search.reranking import Reranking

__all__ = [
    "Cost",
    "Feedback",
    "Found",
    "Hit",
    "HybridSearch",
    "Reranking",
    "Rewrites",
    "SearchUnavailable",
]
