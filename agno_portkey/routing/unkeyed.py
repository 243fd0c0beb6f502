"""Takes the secrets out of what is written down: configs, headers and parameters without keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from agno_portkey.routing.config.parts import Part
from agno_portkey.routing.config.references import is_reference

__all__ = ["references_in", "texts_of_secrets", "without_secrets"]

_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authorization", "bearer", "cookie", "credential", "credentials"}
    | {"header", "headers", "key", "keys", "passwd", "password", "secret", "secrets"}
    | {"signature", "token"}
)
_SECRET_NAMES = ("service_account", "serviceaccount")
# A list of header names, which the gateway passes on.
_HARMLESS = frozenset({"forward_headers", "forwardHeaders"})
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def without_secrets(value: Any) -> Any:
    """A copy of `value` without the texts that stand, however deep, under the name of a secret.

    Numbers and flags stay, since `max_tokens` is none; so does the rest of a URL whose user name
    and password are taken out. Of a route, references to variables (`${NAME}`) stay.
    """
    if isinstance(value, Part):
        return _keyless(value)
    if isinstance(value, Mapping):
        kept = {}
        for name, item in value.items():
            item = _numbers(item) if _names_a_secret(str(name)) else without_secrets(item)
            if item is not _NOTHING:
                kept[name] = item
        return kept
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return _USERINFO.sub("", value) if isinstance(value, str) else value


def references_in(value: Any) -> Iterator[str]:
    """The names of the environment variables that a route refers to, however deep."""
    if isinstance(value, Part):
        for name in type(value).model_fields:
            yield from references_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from references_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from references_in(item)
    else:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and is_reference(text):
            yield text[2:-1]


def texts_of_secrets(value: Any, *, named: bool = False) -> Iterator[str]:
    """The texts that stand, however deep, under the name of a secret in plain JSON."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts_of_secrets(item, named=named or _names_a_secret(str(name)))
    elif isinstance(value, list):
        for item in value:
            yield from texts_of_secrets(item, named=named)
    elif named and isinstance(value, str):
        yield value


_NOTHING = object()


def _names_a_secret(name: str) -> bool:
    if name in _HARMLESS:
        return False
    words = {word.lower() for word in _WORDS.findall(name)}
    return not words.isdisjoint(_SECRET_WORDS) or any(part in name for part in _SECRET_NAMES)


def _numbers(value: Any) -> Any:
    """What can't be a secret in `value`."""
    if isinstance(value, Mapping):
        return {
            name: kept for name, item in value.items() if (kept := _numbers(item)) is not _NOTHING
        }
    return value if value is None or isinstance(value, bool | int | float) else _NOTHING


def _keyless(part: Part) -> Part:
    return part.model_copy(
        update={name: _kept(getattr(part, name)) for name in type(part).model_fields}
    )


def _kept(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value if is_reference(value.get_secret_value()) else None
    if isinstance(value, Part):
        return _keyless(value)
    if isinstance(value, tuple):
        return tuple(_kept(each) for each in value)
    return without_secrets(value) if isinstance(value, dict) else value
