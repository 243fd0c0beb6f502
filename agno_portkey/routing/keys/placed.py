"""Refuses a model that would use a key of another environment, by the key's name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from agno_portkey.environments import check_environment, current
from agno_portkey.routing.config.leaves import Leaf
from agno_portkey.routing.config.references import is_reference
from agno_portkey.routing.keys.names import ENVIRONMENTS, KeyName, reading, shown, slug_of
from agno_portkey.settings import Settings

__all__ = ["check_names"]

_FIELDS = ("id", "portkey_provider", "virtual_key")
_HEADERS = ("x-portkey-provider", "x-portkey-virtual-key")


def check_names(model: Any, leaves: Iterable[Leaf]) -> None:
    """Raise WrongEnvironment where `model`, or a target of its route, names another one's key.

    Names that keep the convention say of which environment they are (`openai-prod-search-2026q4`),
    and so do slugs that end in one (`@openai-prod`). A process that names no environment may use
    any.
    """
    if (own := current()) is None:
        return
    for where, name in _used(model, leaves):
        check_environment(_environment_of(name, own), f"{where}: the key {shown(name)}")


def _environment_of(name: str, own: str) -> str | None:
    read = reading(name, environments=(own,))
    if isinstance(read, KeyName):
        return read.environment
    of, _, last = slug_of(name).rpartition("-")
    return last if name.strip()[:1] == "@" and of and last in (*ENVIRONMENTS, own) else None


def _used(model: Any, leaves: Iterable[Leaf]) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, Any]] = [(field, getattr(model, field)) for field in _FIELDS]
    if model.virtual_key is None and (held := Settings.read().virtual_key) is not None:
        found.append(("PORTKEY_VIRTUAL_KEY", held.get_secret_value()))
    for field in ("default_headers", "extra_headers"):
        headers = getattr(model, field)
        for name, value in headers.items() if isinstance(headers, Mapping) else ():
            if str(name).lower() in _HEADERS:
                found.append((field, value))
    repairs = (model.repair, *(contract.repair for contract in model.contracts))
    found += [("Repair.stronger", each.stronger) for each in repairs if each is not None]
    for leaf in leaves:
        key = leaf.target.virtual_key
        named = key.get_secret_value() if isinstance(key, SecretStr) else key
        if isinstance(named, str) and is_reference(named) and model.named is None:
            named = os.environ.get(named[2:-1])
        found += [(leaf.path, each) for each in (leaf.provider, leaf.model, named)]
    yield from ((where, name) for where, name in found if isinstance(name, str) and name)
