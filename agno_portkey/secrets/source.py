"""What a source of secrets is, and what can be a secret."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from agno_portkey.errors import ConfigurationError

__all__ = ["MAX_LENGTH", "SecretSource", "WritableSource", "check_name", "unusable"]

# The gateway takes no headers of more than 16 KB altogether.
MAX_LENGTH = 8192
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@runtime_checkable
class SecretSource(Protocol):
    """Where secrets are read from. It may block, but not for ever."""

    environment: str | None
    """Whose secrets these are: dev, staging, prod; None: anybody's."""

    def read(self, name: str) -> str:
        """The value of the secret `name`; raises SecretMissing and SecretUnavailable."""
        ...


@runtime_checkable
class WritableSource(SecretSource, Protocol):
    """A source that secrets can be put into; whoever reads meanwhile has the old value or the new.

    What can't be written raises SecretUnavailable, and the old value stays.
    """

    def write(self, name: str, value: str) -> None:
        """Keep `value`; raises ConfigurationError for what no header could hold."""
        ...

    def remove(self, name: str) -> None:
        """Forget the secret `name`, if there is one."""
        ...

    def names(self) -> list[str]:
        """The names of all secrets there, sorted."""
        ...


def check_name(name: object) -> str:
    """`name`, if it may be that of a secret: letters, digits and `._-`, no more than 128."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            "name: a secret's name has letters, digits and ._- only, 128 at most"
        )
    return name


def unusable(value: object) -> str | None:
    """Why `value` can't be a secret, if so; does not show it."""
    if not isinstance(value, str):
        return f"it is no text ({type(value).__name__})"
    if not value.strip():
        return "it is empty"
    if len(value) > MAX_LENGTH:
        return f"it has more than {MAX_LENGTH} characters"
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        return "it holds a line break, blanks at an end or other characters that no header can have"
    return None
