"""What the tests of the embedder share: its settings, and what was sent for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agno_portkey.knowledge import Embedded, PortkeyEmbedder
from agno_portkey.routing.recovery.settings import Recovery
from agno_portkey.testing import EmbeddedProvider

LENGTH = 8
QUICK = Recovery(attempts=3, wait=0.001, max_wait=0.01)
TEXTS = [f"text {number}" for number in range(20)]
Makes = Callable[..., PortkeyEmbedder]


def embedded(embedder: PortkeyEmbedder, texts: list[str], form: str) -> Embedded:
    return embedder.embed(texts) if form == "sync" else asyncio.run(embedder.aembed(texts))


def sent(provider: EmbeddedProvider) -> list[list[str]]:
    return [request.body["input"] for request in provider.requests]
