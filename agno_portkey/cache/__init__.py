"""The cache: answers that are served again, to whom they may be, and for as long as they hold."""

from agno_portkey.cache.answers import Cache
from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.figures import CacheFigures, CacheRow
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.cache.verifying import Comparison, Verifier

__all__ = [
    "Cache",
    "CacheFigures",
    "CachePolicy",
    "CacheRow",
    "Comparison",
    "Entry",
    "Evidence",
    "Selection",
    "Verifier",
]
