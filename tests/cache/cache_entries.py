"""Entries for the tests of stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.store import Store

KEY = bytes(range(32))
# What a busy machine may need, in seconds.
PATIENCE = 20.0
NOW = 1_790_000_000.0
# Whatever a text may hold: NUL, half a surrogate pair, both halves apart, what looks like a frame.
ODD = "\0a\x00\ud800 \ud83d\ude00 😀 ÿ\xff'\"%_\\\n\u202e é e\u0301"


def entry(key: str = "k", **values: Any) -> Entry:
    plain: dict[str, Any] = {
        "bucket": "b",
        "scope": "public",
        "question": f"What is {key}?",
        "answer": f'{{"content": "{key}"}}',
        "model": "gpt-4o-mini",
        "created_at": NOW,
        "expires_at": NOW + 3600,
        "embedding": b"\0\0\x80?",
        "embedder": "minilm",
    }
    return Entry(key=key, **plain | values)


def bare(held: Entry) -> Entry:
    """What a selection shows of an entry."""
    return replace(held, question="", answer="", embedding=b"")


def keys_in(store: Store, *keys: str, now: float = NOW) -> list[str]:
    """Those of `keys` that are there; they then count as used at `now`."""
    return [key for key in keys if store.get(key, now) is not None]


def until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def uses(store: Store) -> list[Any]:
    """Each thing that a store does, to be called."""
    return [
        lambda: store.get("k", NOW),
        lambda: store.put(entry("new")),
        lambda: store.since("b", 0),
        lambda: store.delete(["k"]),
        lambda: store.select(Selection(everything=True), NOW),
        lambda: store.learn(Evidence("", "k", 0.9, True, NOW)),
        lambda: store.evidence(0),
        lambda: store.lease("k", "me", 60, NOW),
        lambda: store.release("k", "me"),
        lambda: store.note(NOW, "ann", "everything", 1),
        lambda: store.notes(),
        lambda: store.figures(NOW),
    ]
