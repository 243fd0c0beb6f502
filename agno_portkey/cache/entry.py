"""What a cache keeps: answers, which of them to forget, and what was learnt of likeness."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from agno_portkey.errors import ConfigurationError

__all__ = ["Entry", "Evidence", "Selection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kept answer, what it answers, and whom it may be given to.

    `key` is a digest of all that was asked; `bucket` the same without the question, and who asks
    in other words looks no further than there. `scope` is "public", or "tenant:" or "user:" and a
    digest. `question` is the last message of the user, empty where it is not compared. `answer` is
    JSON, as `payload` packs it. Times are epoch seconds; `tokens`, `cost` (US dollars) and
    `seconds` are what the answer took. `embedding` is that of `question` by `embedder`: numbers of
    32 bits, little-endian, of length 1. Raises ValueError for a time or cost that is not finite.
    """

    key: str
    bucket: str
    scope: str
    question: str = field(repr=False)
    answer: str = field(repr=False)
    model: str
    role: str = ""
    swarm: str = ""
    prompt: str = ""
    knowledge: str = ""
    sources: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_at: float
    expires_at: float
    tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    embedding: bytes = field(default=b"", repr=False)
    embedder: str = ""

    def __post_init__(self) -> None:
        for name in ("created_at", "expires_at", "cost", "seconds"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name}: a finite number, not {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries: those that all that is given is true of, or `everything`.

    `older_than` is in seconds. Raises ConfigurationError where nothing is given, for that is rarely
    meant, and where `everything` is given beside something else.
    """

    key: str | None = None
    scope: str | None = None
    model: str | None = None
    role: str | None = None
    prompt: str | None = None
    knowledge: str | None = None
    source: str | None = None
    tag: str | None = None
    older_than: float | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        given = self.given()
        if not given and not self.everything:
            raise ConfigurationError(
                "selection: say which entries, by at least one of "
                f"{', '.join(each.name for each in fields(self)[:-1])}, or everything=True"
            )
        if given and self.everything:
            raise ConfigurationError(
                f"selection: everything, or those with a certain {', '.join(given)}; not both"
            )
        if self.older_than is not None and not 0 <= self.older_than < math.inf:
            raise ConfigurationError(f"older_than: seconds, 0 or more, not {self.older_than!r}")

    def __str__(self) -> str:
        said = [f"{name}={value!r}" for name, value in self.given().items()]
        return ", ".join(said) or "everything"

    def given(self) -> dict[str, str | float]:
        """What is given, by name."""
        named = {each.name: getattr(self, each.name) for each in fields(self)[:-1]}
        return {name: value for name, value in named.items() if value is not None}

    def takes(self, entry: Entry, now: float) -> bool:
        """Whether `entry` is one of them."""
        return all(_true(entry, name, value, now) for name, value in self.given().items())


def _true(entry: Entry, name: str, value: Any, now: float) -> bool:
    match name:
        case "source":
            return value in entry.sources
        case "tag":
            return value in entry.tags
        case "older_than":
            return bool(now - entry.created_at > value)
        case _:
            return bool(getattr(entry, name) == value)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One comparison of two answers, or of two questions by a verifier.

    `stratum` names what spoke against them, `entry` is the key of the one compared with,
    `likeness` that of the questions, `same` what came of it, `at` when it was (epoch seconds).
    `max_error` is the share of wrong answers that the policy allowed which had them compared.
    """

    stratum: str
    entry: str
    likeness: float
    same: bool
    at: float
    max_error: float | None = None
