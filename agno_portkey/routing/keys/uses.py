"""Finds the names of keys that a routing config uses, in its plain form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agno_portkey.routing.keys.lint import UsedName

__all__ = ["uses"]

_VIRTUAL_KEY = ("virtual_key", "virtualKey")
_SLUG = ("provider", "model")
# How Workers AI calls its models; no slugs.
_MODELS = ("@cf/", "@hf/")


def uses(config: Any, *, where: str = "") -> Iterator[UsedName]:
    """The names that stand, however deep, as `virtual_key`, `provider: "@..."` or `model: "@..."`.

    Each with the place where it was found, as `where: targets[0].provider`. What refers to an
    environment variable (`${NAME}`) holds no name and is passed over.
    """
    prefix = f"{where}: " if where else ""
    for path, name, value in _texts(config, ""):
        if name in _VIRTUAL_KEY and not value.startswith("${"):
            yield UsedName(value, "virtual_key", f"{prefix}{path}")
        elif name in _SLUG and value.startswith("@") and not value.startswith(_MODELS):
            yield UsedName(value, "slug", f"{prefix}{path}")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """The path, last name and text of each text under a name in `value`."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            onward = f"{path}.{name}" if path else str(name)
            if isinstance(item, str):
                yield onward, str(name), item.strip()
            else:
                yield from _texts(item, onward)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")
