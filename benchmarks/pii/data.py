"""The labelled texts to measure with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pii.chats import chats

_SYNTH = Path(__file__).parent.parent / "data" / "pii" / "synth_dataset_v2.jsonl"
STRUCTURED = frozenset(
    ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "IP_ADDRESS")
)


@dataclass(frozen=True)
class Labelled:
    text: str
    spans: tuple[tuple[int, int, str], ...]


def synth(half: str = "odd") -> list[Labelled]:
    """The `odd` half of the texts, to report on; the `even` half, to learn from; or `all`."""
    lines = _SYNTH.read_text("utf-8").splitlines()
    step = {"even": slice(0, None, 2), "odd": slice(1, None, 2), "all": slice(None)}[half]
    rows = [json.loads(line) for line in lines[step]]
    return [Labelled(row["text"], tuple(tuple(span) for span in row["spans"])) for row in rows]


def agent_chats(which: str = "unseen", count: int = 400) -> list[Labelled]:
    return [Labelled(chat.text, chat.spans) for chat in chats(which, count)]
