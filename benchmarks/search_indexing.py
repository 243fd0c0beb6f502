"""Texts embedded at 50 ms a call: ours beside Agno's OpenAI embedder, and the memory each takes.

The provider is the embedded one, in a process of its own, and so is each embedder. Texts are all
different and of about 12 words, and vectors short: what the provider and JSON take would hide the
calls, and is in all figures. Agno embeds one by one where it inserts (sync), all at once where
it does on an event loop, or a batch after the other with `enable_batch`.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["indexing"]

SECONDS, LENGTH, GOAL = 0.05, 64, 8.0
_CONTEXT = get_context("spawn")
_WORDS = ("the", "wing", "flow", "pressure", "plate", "layer", "heat", "method", "shock", "body")


def indexing(quick: bool) -> bool:
    """Whether ours is at least `GOAL` times as fast as Agno's batches."""
    count = 1_000 if quick else 10_000
    played: list[tuple[str, int, float, float]] = []
    with _provider() as url:
        for name, few, _ in EMBEDDERS:
            played.append((name, count // few, *_alone(name, url, count // few)))
    rates = {name: texts / seconds for name, texts, seconds, _ in played}
    table = Table("", title=f"Texts embedded, {SECONDS * 1000:g} ms a call", title_justify="left")
    for head in ("texts", "seconds", "texts/s", "of Agno's batches", "MB more at most"):
        table.add_column(head, justify="right")
    for name, texts, seconds, memory in played:
        of_theirs = f"{rates[name] / rates[BATCHES]:.2f}x"
        figures = (f"{texts:,}", f"{seconds:.2f}", f"{rates[name]:,.0f}", of_theirs)
        table.add_row(name, *figures, f"{memory:.0f}")
    ratio = rates[OURS] / rates[BATCHES]
    console = Console(width=110)
    console.print(table)
    console.print(f"{'met' if ratio >= GOAL else 'missed'}: {ratio:.1f}x (goal {GOAL:g}x)")
    return ratio >= GOAL


# Embedders


def _agno(**options: Any) -> Any:
    from agno.knowledge.embedder.openai import OpenAIEmbedder

    return OpenAIEmbedder(api_key="k", dimensions=LENGTH, **options)


def _one_by_one(url: str, texts: list[str]) -> int:
    embedder = _agno(base_url=url)
    return len([embedder.get_embedding(text) for text in texts])


def _all_at_once(url: str, texts: list[str]) -> int:
    embedder = _agno(base_url=url)

    async def embedded() -> int:
        found = await asyncio.gather(*map(embedder.async_get_embedding, texts))
        await embedder.aclient.close()
        return len(found)

    return asyncio.run(embedded())


def _batches(url: str, texts: list[str]) -> int:
    embedder = _agno(base_url=url, enable_batch=True)

    async def embedded() -> int:
        found, _ = await embedder.async_get_embeddings_batch_and_usage(texts)
        await embedder.aclient.close()
        return len(found)

    return asyncio.run(embedded())


def _ours(url: str, texts: list[str]) -> int:
    from agno_portkey.knowledge import PortkeyEmbedder

    embedder = PortkeyEmbedder(base_url=url, api_key="k", dimensions=LENGTH)
    return len(asyncio.run(embedder.aembed(texts)).require())


OURS, BATCHES = "ours", "Agno, in batches"
# By name: a share of the texts for those that would take long, and what embeds them.
EMBEDDERS: tuple[tuple[str, int, Callable[[str, list[str]], int]], ...] = (
    ("Agno, one by one", 100, _one_by_one),
    ("Agno, all at once", 10, _all_at_once),
    (BATCHES, 1, _batches),
    (OURS, 1, _ours),
)


# Processes


def _texts(count: int) -> list[str]:
    return [
        f"{number}: " + " ".join(_WORDS[(number * 7 + place * 3) % 10] for place in range(12))
        for number in range(count)
    ]


def _alone(name: str, url: str, count: int) -> tuple[float, float]:
    """Seconds and megabytes of an embedder in a process of its own."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_embed, args=(name, url, count, theirs))
    process.start()
    told: tuple[float, float] = ours.recv()
    process.join()
    return told


def _embed(name: str, url: str, count: int, told: Connection) -> None:
    embeds = next(each for known, _, each in EMBEDDERS if known == name)
    texts = _texts(count)
    # Imports, clients and connections are there before.
    embeds(url, texts[:1])
    before, began = _peak(), time.perf_counter()
    assert embeds(url, texts) == count
    told.send((time.perf_counter() - began, _peak() - before))


def _peak() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


@contextmanager
def _provider() -> Iterator[str]:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("over")
        process.join()


def _serve(told: Connection) -> None:
    from agno_portkey.testing import EmbeddedProvider, Fault

    with EmbeddedProvider() as provider:
        provider.fault(Fault.slow_first_token(SECONDS), times=None)
        told.send(provider.url)
        told.recv()


if __name__ == "__main__":
    sys.exit(0 if indexing("--quick" in sys.argv) else 1)
