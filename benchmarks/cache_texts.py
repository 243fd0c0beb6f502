"""A stream of questions in words, made by rule: intents, what they are asked of, and phrasings.

Each intent has an opposite or a neighbour that is worded alike (enable and disable, the largest and
the smallest), so that half of all classes have a twin. MiniLM and the vetoes are the cache's own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from cache_streams import Setting, Stream, drawn
from numpy.random import default_rng

from agno_portkey.cache.semantic.embedder import Embedder
from agno_portkey.cache.semantic.vetoes import vetoes

__all__ = ["WORDS", "Words", "words"]

WORDS = Setting("questions in words")

# Intents: the first of each row is the twin of the second. Words between bars say the same.
INTENTS = (
    ("enable|turn on|switch on|activate", "disable|turn off|switch off|deactivate"),
    ("upgrade", "downgrade"),
    ("add users to|invite people to", "remove users from|delete people from"),
    ("export data from|download data from", "import data into|upload data into"),
    ("reset the password of|change the password of", "share the password of"),
)
OBJECTS = (
    "the billing portal|the billing page",
    "the staging cluster|the staging environment",
    "the mobile app|the phone app",
    "the weekly report|the weekly summary",
    "the payment gateway|the payment service",
    "the support inbox|the support mailbox",
    "the data warehouse",
    "the customer dashboard",
    "the build server|the CI server",
    "the search index",
    "the mailing list|the newsletter list",
    "the team calendar",
    "the guest network|the guest wifi",
    "the audit log",
    "the backup job|the nightly backup",
    "the test account|the sandbox account",
    "the finance workspace",
    "the sales pipeline",
    "the office printer",
    "the loyalty programme|the rewards programme",
    "the price list",
    "the delivery tracker|the shipping tracker",
    "the training course",
    "the holiday planner|the vacation planner",
    "version 2 of the API",
    "version 3 of the API",
    "the invoice archive",
    "the production database",
    "the staging database",
    "the event bus",
    "the help centre|the knowledge base",
    "the incident channel",
    "the document store",
    "the access policy",
    "the mail relay|the mail server",
    "the video library",
    "the chat widget|the chat bubble",
    "the survey tool",
    "the stock ledger|the inventory ledger",
    "the partner portal",
)
PHRASINGS = (
    "How do I {} {}?",
    "How can I {} {}?",
    "How to {} {}",
    "What is the way to {} {}?",
    "Please tell me how to {} {}.",
    "Could you explain how to {} {}?",
    "I want to {} {}. How?",
    "What are the steps to {} {}?",
    "I need help: how do I {} {}?",
    "Is there a way to {} {}, and which?",
    "We have to {} {}; what do we do?",
    "how would one {} {}",
)


class Words(Stream):
    """A stream whose questions are texts."""

    def vetoes(self, asked: tuple[int, int], kept: tuple[int, int]) -> str:
        return _vetoes(_classes()[asked[0]][asked[1]], _classes()[kept[0]][kept[1]])


def words(seed: int, queries: int) -> Words:
    """A stream of these questions; the same one for the same arguments."""
    chance = default_rng([seed, 22])
    order = chance.permutation(len(_classes())).tolist()
    classes = [order[each] for each in drawn(chance, len(order), 0.9, queries)]
    asked = []
    for each in classes:
        # A few phrasings of each class are asked more often than others.
        ways = len(_classes()[each])
        asked.append((each, int(ways * chance.random() ** 1.5)))
    answers = [(each, 0) for each in classes]
    return Words(WORDS, asked, _vectors(asked), answers, {}, set(), seed, [False] * queries)


@functools.cache
def _classes() -> list[list[str]]:
    """The texts of each class, in an order that is always the same and mixes phrasings."""
    found = []
    intents = [intent.split("|") for pair in INTENTS for intent in pair]
    for number, (intent, thing) in enumerate(product(intents, OBJECTS)):
        ways = [each.format(*of) for each, *of in product(PHRASINGS, intent, thing.split("|"))]
        found.append([ways[at] for at in default_rng([number, 23]).permutation(len(ways))])
    return found


def _vectors(asked: Sequence[tuple[int, int]]) -> Any:
    new = sorted(set(asked) - _known().keys())
    if new:
        rows = Embedder().embed([_classes()[a][b] for a, b in new])
        _known().update(zip(new, rows, strict=True))
    return np.array([_known()[each] for each in asked], dtype=np.float32)


@functools.cache
def _known() -> dict[tuple[int, int], Any]:
    """The vectors that were made in this process."""
    return {}


@functools.lru_cache(maxsize=500_000)
def _vetoes(asked: str, kept: str) -> str:
    return "+".join(vetoes(asked, kept))
