"""The labelled texts to measure with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pii.chats import chats

_DATA = Path(__file__).parent.parent / "data" / "pii"
_HALVES = {"even": slice(0, None, 2), "odd": slice(1, None, 2), "all": slice(None)}
STRUCTURED = frozenset(
    ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS")
)


@dataclass(frozen=True)
class Labelled:
    text: str
    spans: tuple[tuple[int, int, str], ...]


def synth(half: str = "odd") -> list[Labelled]:
    """The `odd` half of the texts, to report on; the `even` half, to learn from; or `all`."""
    return _labelled("synth_dataset_v2.jsonl", half)


def written(half: str = "odd") -> list[Labelled]:
    """Texts of agents that were written one by one; the `odd` half was never looked into."""
    return _labelled("agent_texts.jsonl", half)


def _labelled(name: str, half: str) -> list[Labelled]:
    lines = (_DATA / name).read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines[_HALVES[half]]]
    return [Labelled(row["text"], tuple(tuple(span) for span in row["spans"])) for row in rows]


def agent_chats(which: str = "unseen", count: int = 400) -> list[Labelled]:
    return [Labelled(chat.text, chat.spans) for chat in chats(which, count)]
