"""Ledgers to look into, and what the embedded provider has said that its answers took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.telemetry.ledger.store import TABLE, MemoryStore, SqlStore
from agno_portkey.testing import EmbeddedProvider, Request, Usage


class Reported:
    """What a provider reports of its answers, each of which takes something else.

    `usage` is given with an answer of which the client gets to see what it took.
    """

    def __init__(self) -> None:
        self.said: list[Usage] = []

    def usage(self, request: Request | None = None) -> Usage:
        number = len(self.said) + 1
        self.said.append(Usage(1000 + 10 * number, 100 + number, number % 7, number % 3))
        return self.said[-1]

    @property
    def input_tokens(self) -> int:
        return sum(each.prompt_tokens for each in self.said)

    @property
    def output_tokens(self) -> int:
        return sum(each.completion_tokens for each in self.said)


def rows(ledger: Ledger, **same: Any) -> list[dict[str, Any]]:
    """The rows of a ledger in the order that they were made in, those that have the `same`."""
    ledger.flush()
    store = ledger._store
    if isinstance(store, MemoryStore):
        found = store._all()
    else:
        assert isinstance(store, SqlStore)
        found = [row._asdict() for row in store._table.read(select(TABLE))]
    found = sorted(found, key=lambda row: row["seq"])
    return [row for row in found if all(row[name] == value for name, value in same.items())]


def total(found: Sequence[dict[str, Any]], name: str) -> int:
    return sum(row[name] or 0 for row in found)


def embedded_tokens(provider: EmbeddedProvider) -> int:
    """What the provider counts for all texts that it was sent."""
    sent = [r for r in provider.requests if r.route == "POST /embeddings"]
    return sum(-(-len(text) // 4) for each in sent for text in each.body["input"])


def tags_of(row: dict[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = json.loads(row["tags"])
    return tags
