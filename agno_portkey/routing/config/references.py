"""Secrets of a routing config: `${NAME}` stands for an environment variable, read when sending."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, SecretStr, WithJsonSchema

from agno_portkey.errors import ConfigurationError
from agno_portkey.secrets.hidden import Hidden

__all__ = ["Secret", "SecretObject", "is_reference", "resolve", "resolve_all", "resolve_object"]

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _secret(value: object) -> SecretStr:
    if isinstance(value, str):
        value = SecretStr(value)
    if not isinstance(value, SecretStr):
        raise ValueError("a text is due here")
    text = value.get_secret_value()
    if not text.strip():
        raise ValueError("it is empty; leave it out, or refer to a variable with ${NAME}")
    if "${" in text and not _REFERENCE.fullmatch(text):
        raise ValueError("a reference is the whole value: ${NAME}, in letters, digits and _")
    return value


def _secret_object(value: object) -> SecretStr:
    # In one form, so that equal objects are equal secrets.
    return _secret(json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value)


_SCHEMA = WithJsonSchema({"type": "string", "format": "password"})
_STARS = PlainSerializer(str, when_used="json")
# Given as text or `SecretStr`, it is always the latter then.
Secret = Annotated[SecretStr | str, PlainValidator(_secret), _STARS, _SCHEMA]
# A JSON object that is secret as a whole, kept as its text.
SecretObject = Annotated[
    SecretStr | str | Mapping[str, Any], PlainValidator(_secret_object), _STARS, _SCHEMA
]


def is_reference(text: str) -> bool:
    """Whether `text` stands for an environment variable."""
    return _REFERENCE.fullmatch(text) is not None


def resolve(secret: SecretStr | str, *, path: str) -> str:
    """The secret itself; a missing variable raises ConfigurationError with `path` and its name."""
    text = Hidden(secret if isinstance(secret, str) else secret.get_secret_value())
    found = _REFERENCE.fullmatch(text)
    if found is None:
        # A plain text is no secret, and may be pickled.
        return secret if isinstance(secret, str) else text
    if not (value := Hidden(os.environ.get(found[1], ""))):
        raise ConfigurationError(f"{path}: set the environment variable {found[1]}")
    if not value.isprintable():
        raise ConfigurationError(f"{path}: the variable {found[1]} holds a line break or the like")
    return value


def resolve_object(secret: SecretStr, *, path: str) -> dict[str, Any]:
    """The JSON object that a secret holds."""
    try:
        value = json.loads(resolve(secret, path=path))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: a JSON object is due here")
    return value


def resolve_all(value: Any, *, path: str) -> Any:
    """A copy of plain JSON in which every text that is a reference is resolved."""
    if isinstance(value, str):
        return resolve(value, path=path)
    if isinstance(value, Mapping):
        return {k: resolve_all(each, path=f"{path}.{k}") for k, each in value.items()}
    if isinstance(value, list):
        return [resolve_all(each, path=f"{path}[{i}]") for i, each in enumerate(value)]
    return value
