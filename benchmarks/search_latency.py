"""How long a search takes at 1,000, 10,000 and 100,000 chunks, ours beside Agno's own hybrid."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from agno.filters import EQ
from agno.knowledge.document import Document
from agno.knowledge.embedder.base import Embedder
from agno.vectordb.lancedb import LanceDb
from agno.vectordb.search import SearchType
from rich.console import Console
from rich.table import Table

from agno_portkey.knowledge import Feedback, HybridSearch

SIZES = (1_000, 10_000, 100_000)
SEARCHES, BATCH, LENGTH, DIMENSIONS = 50, 2_000, 60, 384
VOCABULARY, COMMON = 50_000, 150


class Random(Embedder):
    """A vector by chance for each text: it takes no time, and means nothing."""

    def __init__(self) -> None:
        super().__init__(dimensions=DIMENSIONS)
        self._chance = np.random.default_rng(7)

    def get_embedding(self, text: str) -> list[float]:
        found: list[float] = self._chance.standard_normal(DIMENSIONS).tolist()
        return found

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], None]:
        return self.get_embedding(text), None


def latency(quick: bool) -> bool:
    """Print the table."""
    table = Table("chunks", "search", "p50 ms", "p95 ms", title="Searches without their embedding")
    for size in (200, 1_000) if quick else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            filled, systems = _filled(folder, size)
            table.add_row(f"{size:,}", "inserting all, s", f"{filled:.1f}", "")
            for name, finds in systems.items():
                p50, p95 = _timed(finds, 5 if quick else SEARCHES)
                table.add_row(f"{size:,}", name, f"{p50:.1f}", f"{p95:.1f}")
    Console(width=110).print(table)
    return True


def _filled(folder: str, size: int) -> tuple[float, dict[str, Callable[[str], Any]]]:
    chance, embedder = random.Random(7), Random()
    agno = LanceDb(
        uri=folder, table_name="chunks", embedder=embedder, search_type=SearchType.hybrid
    )
    ours = HybridSearch(agno)
    began = time.monotonic()
    for start in range(0, size, BATCH):
        documents = [
            Document(content=_text(chance, LENGTH), meta_data={"part": number % 100})
            for number in range(start, min(size, start + BATCH))
        ]
        ours.insert(f"batch {start}", documents)
    took = time.monotonic() - began
    fed = HybridSearch(agno, expansion=Feedback())
    return took, {
        "Agno's LanceDb, hybrid": lambda query: agno.search(query, limit=10),
        "ours": lambda query: ours.search(query, limit=10),
        "ours, filter (1 in 100)": lambda query: ours.search(query, 10, [EQ("part", 7)]),
        "ours, feedback": lambda query: fed.search(query, limit=10),
    }


def _text(chance: random.Random, words: int) -> str:
    """Words as often as in a language: few often, most seldom (Zipf)."""
    return " ".join(_words(chance, words, 0))


def _query(chance: random.Random) -> str:
    """Six words of it, but for the most common ones, as stop words are: each in 3 % or fewer."""
    return " ".join(_words(chance, 6, COMMON))


def _words(chance: random.Random, words: int, least: int) -> Iterator[str]:
    while words:
        rank = int(math.exp(chance.uniform(0, math.log(VOCABULARY))))
        if rank > least:
            words -= 1
            yield f"word{rank}"


def _timed(finds: Callable[[str], Any], times: int) -> tuple[float, float]:
    chance = random.Random(11)
    finds(_query(chance))
    taken: list[float] = []
    for _ in range(times):
        query = _query(chance)
        began = time.perf_counter()
        finds(query)
        taken.append(1e3 * (time.perf_counter() - began))
    return _quantile(taken, 0.5), _quantile(taken, 0.95)


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share))
