"""MiniLM embeds on this machine: in order, each text once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge import LocalEmbedder

TEXTS = [f"What is the capital of country number {number}?" for number in range(70)]


def test_vectors_come_in_order_however_many_work_at_them() -> None:
    one = LocalEmbedder(workers=1)
    vectors = one.embed(TEXTS)
    assert vectors == LocalEmbedder(workers=4).embed(TEXTS)
    assert vectors[3] == one.get_embedding(TEXTS[3])
    assert [len(vector) for vector in vectors] == [384] * len(TEXTS)
    assert sum(number * number for number in vectors[0]) == pytest.approx(1, rel=1e-5)

    async def asked() -> Any:
        single = await one.async_get_embedding_and_usage(TEXTS[0])
        return single, await one.async_get_embeddings_batch_and_usage(TEXTS)

    single, (many, usages) = asyncio.run(asked())
    assert single == (vectors[0], None)
    assert (many, usages) == (vectors, [None] * len(TEXTS))


def test_a_text_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, seen = LocalEmbedder(workers=1), list[str]()
    rows = embedder._rows

    def noted(texts: list[str]) -> Sequence[list[float]]:
        seen.extend(texts)
        return rows(texts)

    monkeypatch.setattr(embedder, "_rows", noted)
    first, *_, last = embedder.embed(["a", "b", "a"])
    assert first == last
    assert seen == ["a", "b"]
    assert embedder.embed([]) == []


@pytest.mark.parametrize("options", [{"dimensions": 3}, {"workers": 0}, {"workers": True}])
def test_bad_settings_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LocalEmbedder(**options)
