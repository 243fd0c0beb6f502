"""Says what is wrong with the names of keys, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Literal

from agno_portkey.environments import called
from agno_portkey.routing.config.gateway_names import provider_slugs
from agno_portkey.routing.keys.names import (
    ENVIRONMENTS,
    EXAMPLE,
    KeyName,
    Quarter,
    looks_secret,
    reading,
    shown,
    slug_of,
)

__all__ = ["Finding", "UsedName", "lint"]

Level = Literal["error", "warning"]

# The names that Portkey gave to virtual keys by itself end so.
_OLD_VIRTUAL_KEY = re.compile(r".+-(?=[0-9a-f]*\d)[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class UsedName:
    """A name as it is used somewhere: `kind` says how, `where` in which place."""

    name: str
    kind: Literal["slug", "virtual_key"] | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a name (never a secret): `what`, and what to `do` about it."""

    name: str
    level: Level
    what: str
    do: str
    where: str = ""


def lint(
    names: Iterable[str | UsedName],
    *,
    environment: str | None = None,
    environments: Iterable[str] = (),
    today: date | None = None,
) -> list[Finding]:
    """What is wrong with `names`, in their order; nothing if all keep the convention.

    `environment` is the one that this process runs in (`PORTKEY_ENVIRONMENT`); names of another
    are errors. `environments` may stand in names beside dev, test, staging and prod. `today`
    settles which quarter is current, by default the machine's date. A name of the quarter before
    is a warning, an older one an error. Plain texts are a list in which each name stands once;
    a name may be used in several places.
    """
    own = called(environment) if environment else None
    allowed = (*ENVIRONMENTS, *environments, *([own] if own else []))
    current = Quarter.of(today or date.today())
    found: list[Finding] = []
    seen: set[tuple[str, str | None]] = set()
    for each in names:
        used = each if isinstance(each, UsedName) else UsedName(each, _kind(each))
        key = (slug_of(used.name), used.kind if isinstance(each, UsedName) else None)
        if key in seen:
            if not isinstance(each, UsedName):
                found.append(_twice(used))
            continue
        seen.add(key)
        found.extend(_about(used, own, allowed, current))
    return found


def _kind(name: str) -> Literal["slug", "virtual_key"] | None:
    if name.strip().startswith("@"):
        return "slug"
    return "virtual_key" if _OLD_VIRTUAL_KEY.fullmatch(name.strip()) else None


def _twice(used: UsedName) -> Finding:
    return Finding(
        shown(used.name),
        "warning",
        "it is listed more than once",
        "list each key once; to fall back on the same key does not help when it fails",
        used.where,
    )


def _about(
    used: UsedName, own: str | None, allowed: tuple[str, ...], current: Quarter
) -> Iterator[Finding]:
    slug = slug_of(used.name)

    def finding(level: Level, what: str, do: str) -> Finding:
        return Finding(shown(used.name), level, what, do, used.where)

    if looks_secret(used.name):
        yield finding(
            "error",
            "this looks like a secret, where the name of a key is due",
            "revoke it if others could read it; store the new one in Portkey's model catalog and "
            "use its slug here",
        )
        return
    if used.kind == "virtual_key":
        yield finding(
            "warning",
            "virtual keys are deprecated by Portkey",
            f'use the model catalog: provider "@{shown(slug)}", or model "@{shown(slug)}/..."',
        )
    name = reading(slug, environments=allowed)
    if isinstance(name, str):
        yield finding("error", name, f"name it like {EXAMPLE}")
        return
    for level, what, do in (*_provider(name), *_environment(name, own), *_age(name, current)):
        yield finding(level, what, do)


_Said = Iterator[tuple[Level, str, str]]


def _provider(name: KeyName) -> _Said:
    if name.provider in provider_slugs():
        return
    close = get_close_matches(name.provider, provider_slugs(), n=1, cutoff=0.7)
    if close:
        yield "error", f"the gateway knows no provider {name.provider!r}", f"use {close[0]!r}"
    else:
        yield (
            "warning",
            f"the gateway knows no provider {name.provider!r}",
            "begin the name with the provider's slug, unless it is one of your own",
        )


def _environment(name: KeyName, own: str | None) -> _Said:
    if own is not None and name.environment != own:
        yield (
            "error",
            f"a key of {name.environment}, and PORTKEY_ENVIRONMENT is {own}",
            f"use the key of {own}, or set PORTKEY_ENVIRONMENT={name.environment}",
        )


def _age(name: KeyName, current: Quarter) -> _Said:
    age = name.quarter.until(current)
    renewed = KeyName(name.provider, name.environment, name.team, current)
    rotate = f"make {renewed}, route to it, then delete the old key"
    if age == 1:
        yield "warning", f"it is of {name.quarter}: its rotation is due", rotate
    elif age > 1:
        yield "error", f"it is of {name.quarter}: its rotation is overdue", rotate
    elif age < 0:
        yield (
            "warning" if age == -1 else "error",
            f"it is of {name.quarter}, and this is {current}",
            "check the quarter; it is the one in which the key was made",
        )
