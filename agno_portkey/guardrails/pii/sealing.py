"""Seals what a vault holds, so that only who has a key can read it, and nobody can change it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.errors import ConfigurationError, MissingExtraError, VaultUnavailable
from agno_portkey.guardrails.pii.book import Book
from agno_portkey.guardrails.pii.vault_store import Row

__all__ = ["KEYS_VARIABLE", "Contents", "Seal"]

KEYS_VARIABLE = "AGNO_PORTKEY_VAULT_KEYS"


@dataclass(frozen=True, slots=True)
class Contents:
    """An opened row."""

    key: tuple[str, str]
    mark: str
    version: int
    used: int
    entries: list[list[object]] = field(repr=False)

    def book(self) -> Book:
        try:
            return Book(self.entries)
        except (ValueError, TypeError, KeyError):
            raise VaultUnavailable("a vault holds what is no value: forget the session") from None


class Seal:
    """Opens with any of `keys`, and closes with the first; without keys it only packs.

    What is sealed says which row it is of, so that none can stand in for another.
    """

    def __init__(self, keys: Sequence[str | bytes] | None) -> None:
        self._fernet = None if keys is None else _fernet(keys)

    def __repr__(self) -> str:
        return "Seal()"

    def closed(self, row: Row, entries: list[list[object]]) -> str:
        said = json.dumps([row.session, row.user, row.mark, row.version, entries])
        return said if self._fernet is None else self._fernet.encrypt(said.encode()).decode()

    def opened(self, row: Row) -> Contents:
        """The contents; raises VaultUnavailable where no key opens them, or they are another's."""
        text: str | bytes = row.payload
        if self._fernet is not None:
            from cryptography.fernet import InvalidToken

            try:
                text = self._fernet.decrypt(row.payload.encode(errors="replace"))
            except InvalidToken:
                raise VaultUnavailable(
                    "a vault can't be opened: it was changed, or the key that sealed it is not "
                    f"among the keys; add it to {KEYS_VARIABLE}"
                ) from None
        try:
            *said, entries = json.loads(text)
        except (ValueError, TypeError):
            raise VaultUnavailable("a vault holds what is none: forget the session") from None
        if said != [row.session, row.user, row.mark, row.version] or not isinstance(entries, list):
            raise VaultUnavailable("a vault stands in the row of another one: put it back")
        return Contents((row.session, row.user), row.mark, row.version, row.used, entries)


def _fernet(keys: Sequence[str | bytes]) -> Any:
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError as error:
        raise MissingExtraError(
            'vaults are kept sealed with the package cryptography: pip install "agno-portkey[pii]"'
        ) from error
    made = []
    for number, key in enumerate(keys, start=1):
        try:
            made.append(Fernet(key.strip()))
        except (ValueError, TypeError, AttributeError):
            # The key is not shown.
            raise ConfigurationError(f"keys: key {number} is no Fernet key") from None
    return MultiFernet(made)
