"""Look-ups by generated users, tenants and everybody: none may find another's answer.

All ask the same few questions of the same model, under names that are each other's prefixes, and
every question is as like every other as it can be: what keeps answers apart is the scope alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from agno.models.message import Message
from rich.console import Console
from rich.progress import track

from agno_portkey.cache import Cache, CachePolicy, Entry
from agno_portkey.cache.asked import Asked, NotAsked, Whose, asked_of
from agno_portkey.calls import Call

LOOKUPS = 1_000_000
NAMES = ("a", "b", "ab", "a:b", "tenant:a", "user:a", "public", "", "A", "a\0", "None")
POLICIES = [
    CachePolicy(kind=kind, scope=scope)  # type: ignore[arg-type]
    for kind in ("exact", "semantic")
    for scope in ("user", "tenant", "public")
]
CALL = Call([], Message(role="assistant"))


class Alike:
    """An embedder to which everything is the same."""

    id = "alike"

    def embed(self, texts: Sequence[str]) -> Any:
        return np.tile(np.eye(4, dtype=np.float32)[0], (len(texts), 1))


def scopes(quick: bool) -> bool:
    """Print how many look-ups found something, and what was another's; whether nothing was."""
    chance, cache = random.Random(11), Cache(":memory:", embedder=Alike())
    count = 5_000 if quick else LOOKUPS
    found = crossed = refused = 0
    for _ in track(range(count), description="look-ups", transient=True):
        policy = chance.choice(POLICIES)
        whose = Whose(_name(chance), _name(chance), "m", ("gw",))
        question = chance.choice("xyz")
        params = {"model": "m", "messages": [{"role": "user", "content": question}]}
        try:
            asked = asked_of(CALL, params, whose, policy, "alike")
        except NotAsked:
            refused += 1
            continue
        owner = _owner(whose, policy)
        entry = cache.find(asked.key)
        if entry is None and asked.question:
            near = cache.near(asked, policy)
            entry = near.entry if near is not None else None
        if entry is None:
            cache.keep(_entry(asked, owner), asked, since=cache.clock())
            continue
        found += 1
        crossed += entry.answer != owner
    cache.close()
    Console().print(
        f"{count:,} look-ups: {found:,} found an answer, {refused:,} were of nobody, "
        f"{crossed:,} found another's (goal 0)"
    )
    return crossed == 0 and found > 0


def _name(chance: random.Random) -> str | None:
    return chance.choice((*NAMES, None))


def _owner(whose: Whose, policy: CachePolicy) -> str:
    """Whose the answer is, by another way than the cache's own."""
    named = {"user": (whose.tenant or None, whose.user), "tenant": (whose.tenant,), "public": ()}
    return repr((policy.scope, named[policy.scope]))


def _entry(asked: Asked, owner: str) -> Entry:
    return Entry(
        key=asked.key,
        bucket=asked.bucket,
        scope=asked.scope,
        question=asked.question,
        answer=owner,
        model="m",
        created_at=0.0,
        expires_at=4e9,
    )
