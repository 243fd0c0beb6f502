"""Refuses a model that would use a key of another environment, by the key's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import SecretStr

from agno_portkey.environments import check_environment, current
from agno_portkey.routing.config.leaves import Leaf
from agno_portkey.routing.keys.names import KeyName, reading, shown

__all__ = ["check_names"]

_FIELDS = ("id", "portkey_provider", "virtual_key")


def check_names(model: Any, leaves: Iterable[Leaf]) -> None:
    """Raise WrongEnvironment where `model`, or a target of its route, names another one's key.

    Names that keep the convention say of which environment they are (`openai-prod-search-2026q4`).
    A process that names no environment may use any.
    """
    if (own := current()) is None:
        return
    for where, name in _used(model, leaves):
        read = reading(name, environments=(own,))
        if isinstance(read, KeyName):
            check_environment(read.environment, f"{where}: the key {shown(name)}")


def _used(model: Any, leaves: Iterable[Leaf]) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, Any]] = [(field, getattr(model, field)) for field in _FIELDS]
    for leaf in leaves:
        key = leaf.target.virtual_key
        named = key.get_secret_value() if isinstance(key, SecretStr) else key
        found += [(leaf.path, each) for each in (leaf.provider, leaf.model, named)]
    yield from ((where, name) for where, name in found if isinstance(name, str) and name)
