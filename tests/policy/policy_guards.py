"""Guards as a user's own module would hold them, for policies that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agno_portkey.guardrails import Block, Guard, Passage

MADE: list[str] = []


class NoWords(Guard):
    """Blocks texts that hold one of `words`."""

    inline = True

    def __init__(self, words: Sequence[str] = ("bluebird",), **settings: Any) -> None:
        self.words = tuple(words)
        MADE.append(type(self).__name__)
        super().__init__(**settings)

    def inspect(self, passage: Passage) -> Block | None:
        found = [word for word in self.words if word in passage.text]
        return Block(f"it says {found[0]}") if found else None


SHARED = NoWords()


def shared() -> Guard:
    return SHARED


def failing() -> Guard:
    raise RuntimeError("no backend")


def no_guard() -> str:
    return "a text"


NUMBER = 3
