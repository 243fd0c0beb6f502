"""GPTCache beside ours: set up as its README does, with the vectors that ours has."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from gptcache import Cache
from gptcache.adapter.api import get, put
from gptcache.config import Config
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

__all__ = ["Peer"]

THRESHOLD = 0.8
# Its own switch: at the end of the process it tries to write to folders that are gone, and says so.
os.environ["IS_CI"] = "1"


class Peer:
    """One GPTCache with SQLite and Faiss; `vectors` are of length 1, by text."""

    def __init__(self, vectors: dict[str, Any]) -> None:
        self._vectors = vectors

    def serves(self, first: str, second: str) -> bool:
        """Whether `second` is given what was kept as the answer to `first`."""
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache()
            cache.init(
                pre_embedding_func=get_prompt,
                embedding_func=lambda text, **options: self._vectors[text],
                data_manager=get_data_manager(
                    CacheBase("sqlite", sql_url=f"sqlite:///{folder}/kept.db"),
                    VectorBase("faiss", dimension=384, index_path=f"{folder}/faiss.index"),
                ),
                similarity_evaluation=SearchDistanceEvaluation(),
                config=Config(similarity_threshold=THRESHOLD),
            )
            put(first, "answer", cache_obj=cache)
            served = get(second, cache_obj=cache) is not None
            cache.data_manager.close()
            return served
