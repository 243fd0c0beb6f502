"""Names of keys that say whose they are and when they are due: `openai-prod-search-2026q4`.

`{provider}-{environment}-{team}-{yyyyqN}`, for the slugs of Portkey's model catalog and for the
virtual keys before them. `lint` says what is wrong with a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Self

from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.gateway_names import provider_slugs

__all__ = [
    "ENVIRONMENTS",
    "EXAMPLE",
    "KeyName",
    "Quarter",
    "looks_secret",
    "reading",
    "shown",
    "slug_of",
]

ENVIRONMENTS = ("dev", "test", "staging", "prod")
EXAMPLE = "openai-prod-search-2026q4"

_QUARTER = re.compile(r"([1-9]\d{3})q([1-4])")
_PART = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_]+)*")


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    """A quarter of a year, written `2026q4`; later ones are greater."""

    year: int
    number: int

    def __post_init__(self) -> None:
        if not _QUARTER.fullmatch(str(self)):
            raise ConfigurationError(f"quarter: one like 2026q4, not {str(self)!r}")

    @classmethod
    def of(cls, day: date) -> Self:
        """The quarter that `day` lies in."""
        return cls(day.year, (day.month + 2) // 3)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The quarter that is written `2026q4`; raises ConfigurationError."""
        found = _QUARTER.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"quarter: one like 2026q4, not {shown(text)!r}")
        return cls(int(found[1]), int(found[2]))

    def next(self) -> Self:
        """The quarter after this one."""
        last = self.number == 4
        return type(self)(self.year + last, 1 if last else self.number + 1)

    def until(self, other: Quarter) -> int:
        """How many quarters `other` is later; less than 0 if it is earlier."""
        return (other.year - self.year) * 4 + other.number - self.number

    def __str__(self) -> str:
        return f"{self.year}q{self.number}"


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key's name in its parts; `str()` writes it, without the `@` of a slug.

    Provider and team may hold dashes. Reading prefers a provider that the gateway knows, the
    longest that fits (`together-ai`); a provider unknown to it ends at the first environment.
    Parts that would not read back as they are (a provider `acme-dev`) are refused.
    """

    provider: str
    environment: str
    team: str
    quarter: Quarter

    def __post_init__(self) -> None:
        for name in ("provider", "environment", "team"):
            if not _PART.fullmatch(getattr(self, name)):
                raise ConfigurationError(
                    f"{name}: small letters, digits and single dashes between them, "
                    f"not {shown(getattr(self, name))!r}"
                )
        if looks_secret(str(self)):
            raise ConfigurationError(f"key name {shown(str(self))}: it looks like a secret")
        # Its own environment counts, whatever others are in use elsewhere.
        if _split(self._before_the_quarter, (*ENVIRONMENTS, self.environment)) != self._parts:
            raise ConfigurationError(
                f"provider: {self.provider!r} can't be told from the environment and team in "
                f"{str(self)!r}; choose a name without an environment in it"
            )

    @classmethod
    def parse(cls, text: str, *, environments: Iterable[str] = ()) -> Self:
        """The name in `text`, which may be a slug (`@name`) or a model (`@name/gpt-4o`).

        `environments` may stand in a name beside dev, test, staging and prod. Raises
        ConfigurationError that says which part is wrong; what looks like a secret it does not show.
        """
        found = reading(text, environments=environments)
        if isinstance(found, str):
            raise ConfigurationError(f"key name {shown(text)}: {found}; name it like {EXAMPLE}")
        return cls(found.provider, found.environment, found.team, found.quarter)

    @property
    def _parts(self) -> tuple[str, str, str]:
        return (self.provider, self.environment, self.team)

    @property
    def _before_the_quarter(self) -> str:
        return "-".join(self._parts)

    def __str__(self) -> str:
        return f"{self._before_the_quarter}-{self.quarter}"


def reading(text: str, *, environments: Iterable[str] = ()) -> KeyName | str:
    """The name in `text` as `KeyName.parse` takes it, or why it is none."""
    if looks_secret(text):
        return "it looks like a secret"
    head, _, tail = slug_of(text).rpartition("-")
    if not _QUARTER.fullmatch(tail):
        return "it ends in no quarter"
    if not _PART.fullmatch(head):
        return "a name has small letters, digits and single dashes between them"
    allowed = tuple(dict.fromkeys((*ENVIRONMENTS, *environments)))
    parts = _split(head, allowed)
    if parts is None:
        return f"it has no environment ({', '.join(allowed)}) between a provider and a team"
    return KeyName(*parts, Quarter.parse(tail))


def slug_of(text: str) -> str:
    """`openai-prod` of `@openai-prod/gpt-4o`, of `@openai-prod` and of itself."""
    return text.strip().removeprefix("@").partition("/")[0]


def _split(head: str, environments: Iterable[str]) -> tuple[str, str, str] | None:
    """Provider, environment and team of `head`, if it can be read so."""
    ordered = sorted(set(environments), key=len, reverse=True)
    for provider in _providers_of(head):
        rest = head[len(provider) + 1 :]
        for environment in ordered:
            team = rest.removeprefix(f"{environment}-")
            if team and team != rest:
                return provider, environment, team
    return None


def _providers_of(head: str) -> Iterator[str]:
    """What may be the provider in `head`: known ones, the longest first; then from the left."""
    dashes = [place for place, letter in enumerate(head) if letter == "-"]
    starts = [head[:place] for place in dashes]
    known = provider_slugs()
    yield from (start for start in reversed(starts) if start in known)
    yield from starts


# What keys of providers begin with, and no slug of a provider does.
_SECRET_START = re.compile(
    r"(sk|pk|rk)-|(gsk|hf|gh[oprsu]|r8)_|xai-|pplx-|nvapi-|AIza|AKIA|eyJ|Bearer "
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_]{20,}")


def looks_secret(text: str) -> bool:
    """Whether `text` is rather a key than the name of one: by how it begins, or long and random."""
    text = text.strip()
    # Behind a slug stands the name of a model, which can look random.
    body = slug_of(text) if text.startswith("@") else text
    if _SECRET_START.match(body) and len(body) >= 20:
        return True
    return bool(_UUID.search(body)) or any(map(_is_random, _LONG_RUN.findall(body)))


def _is_random(run: str) -> bool:
    digits = sum(letter.isdigit() for letter in run)
    mixed = run != run.lower() and run != run.upper()
    return digits >= 3 or (digits > 0 and mixed)


def shown(text: str) -> str:
    """`text` as it may be printed: cut if long, and not at all if it looks like a secret."""
    if looks_secret(text):
        return f"(hidden, {len(text.strip())} characters)"
    return text if len(text) <= 80 else text[:77] + "..."
