"""How long a look-up takes where one bucket of a SQLite file holds everything, and how it grows."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agno_portkey.cache import Cache, CachePolicy, Entry
from agno_portkey.cache.asked import Asked
from agno_portkey.cache.semantic.embedder import Embedder

SIZES = (1_000, 10_000, 100_000)
# The goals, in milliseconds at the median.
EXACT, NEAR = 1.0, 10.0
LOOKUPS = 200
POLICY = CachePolicy(kind="semantic", scope="public")


def latency(quick: bool) -> bool:
    """Print the table; whether the goals are met."""
    sizes = (200, 2_000) if quick else SIZES
    table = Table("entries", title="A look-up, milliseconds")
    for name in ("exact p50", "exact p99", "alike p50", "alike p99", "embedding p50", "file MB"):
        table.add_column(name, justify="right")
    met = True
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "answers.db"
            figures = _measured(file, size)
            exact, near, embedding = figures
            met &= statistics.median(exact) < EXACT and statistics.median(near) < NEAR
            table.add_row(
                f"{size:,}",
                *(f"{each:.2f}" for times in (exact, near) for each in _figures(times)),
                f"{statistics.median(embedding):.2f}",
                f"{sum(each.stat().st_size for each in Path(folder).iterdir()) / 1e6:.0f}",
            )
    Console(width=110).print(table)
    return met


def _figures(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), sorted(times)[int(0.99 * len(times))]


def _measured(file: Path, size: int) -> tuple[list[float], list[float], list[float]]:
    embedder = Embedder()
    cache = Cache(str(file), embedder=embedder)
    chance = np.random.default_rng(3)
    questions = [f"How do I set up part {n} of the machine?" for n in range(LOOKUPS)]
    known = embedder.embed(questions)
    for place in track(range(size), description=f"{size:,} entries", transient=True):
        at = place % LOOKUPS
        vector = known[at] + 0.3 * chance.standard_normal(known.shape[1]) / known.shape[1] ** 0.5
        vector = (vector / np.linalg.norm(vector)).astype("<f4")
        cache.store.put(_entry(f"k{place}", questions[at], vector.tobytes()))
    cache.near(_asked(questions[0]), POLICY)
    exact, near, embedding = [], [], []
    for place in range(LOOKUPS):
        exact.append(_timed(lambda at=place: cache.find(f"k{at * size // LOOKUPS}")))
        near.append(_timed(lambda at=place: cache.near(_asked(questions[at]), POLICY)))
        embedding.append(_timed(lambda at=place: embedder.embed([questions[at]])))
    cache.close()
    return exact, near, embedding


def _timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    assert what() is not None
    return (time.perf_counter() - began) * 1e3


def _entry(key: str, question: str, vector: bytes) -> Entry:
    return Entry(
        key=key,
        bucket="b",
        scope="public",
        question=question,
        answer='{"said": {"content": ["Like this."]}, "calls": [], "data": {}, "about": {}}',
        model="m",
        created_at=0.0,
        expires_at=4e9,
        embedding=vector,
        embedder="e",
    )


def _asked(question: str) -> Asked:
    return Asked(
        key="none",
        bucket="b",
        scope="public",
        question=question,
        model="m",
        role="",
        swarm="",
        prompt="",
        knowledge="",
        sources=(),
    )
