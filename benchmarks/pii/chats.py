"""Labelled chats of agents: messages, JSON, code and logs, with what only looks like personal data.

Two sets that share no template, no name and no format of a number: `tune` to learn from, and
`unseen` to report on. Both are drawn from a seed, so that each run has the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.pii.chat_parts import TUNE, UNSEEN, Parts

_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Chat:
    text: str
    spans: tuple[tuple[int, int, str], ...]


def chats(which: str, count: int = 400, seed: int = 0) -> list[Chat]:
    """`count` texts of the set `tune` or `unseen`."""
    parts = {"tune": TUNE, "unseen": UNSEEN}[which]
    draw = random.Random(f"{which}-{seed}")
    return [_chat(parts, draw) for _ in range(count)]


def _chat(parts: Parts, draw: random.Random) -> Chat:
    chosen = [draw.choice(parts.templates) for _ in range(draw.choice((1, 1, 2)))]
    if draw.random() < 0.45:
        chosen.insert(draw.randrange(len(chosen) + 1), draw.choice(parts.negatives))
    text, spans = "", []
    for place, template in enumerate(chosen):
        text += "\n\n" if place else ""
        values: dict[str, str] = {}
        end = 0
        for slot in _SLOT.finditer(template):
            text += template[end : slot.start()]
            kind, value = _value(parts, slot[1], values, draw)
            spans.append((len(text), len(text) + len(value), kind))
            text += value
            end = slot.end()
        text += template[end:]
    return Chat(text, tuple(spans))


def _value(parts: Parts, slot: str, values: dict[str, str], draw: random.Random) -> tuple[str, str]:
    """The type and value of a slot; one of the same name has the same value within a template."""
    name = slot.rstrip("0123456789")
    if name in ("first", "last"):
        full = values.setdefault("person" + slot[len(name) :], parts.person(draw))
        return "PERSON", full.split()[0 if name == "first" else -1]
    if name == "lower":
        return "PERSON", values.setdefault("person" + slot[5:], parts.person(draw)).lower()
    makers: dict[str, tuple[str, Callable[[random.Random], str]]] = {
        "person": ("PERSON", parts.person),
        "email": ("EMAIL_ADDRESS", parts.email),
        "phone": ("PHONE_NUMBER", parts.phone),
        "card": ("CREDIT_CARD", parts.card),
        "ssn": ("US_SSN", parts.ssn),
        "iban": ("IBAN_CODE", parts.iban),
        "ip": ("IP_ADDRESS", parts.ip),
        "address": ("LOCATION", parts.address),
        "city": ("LOCATION", parts.city),
    }
    kind, make = makers[name]
    if slot not in values:
        values[slot] = make(draw)
    return kind, values[slot]
