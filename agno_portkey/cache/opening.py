"""Where a cache is if nobody says so, and a store that is opened when it is first used."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from agno_portkey.cache.store import Store, resolved, store_at
from agno_portkey.errors import ConfigurationError

__all__ = ["KEY_VARIABLE", "URL_VARIABLE", "Later", "address_of", "opened"]

URL_VARIABLE, KEY_VARIABLE = "AGNO_PORTKEY_CACHE_URL", "AGNO_PORTKEY_CACHE_KEY"


def address_of(store: str | Path | None) -> str:
    """What is given, else what AGNO_PORTKEY_CACHE_URL says, else a file in the user's folder."""
    if store is not None:
        return str(store)
    return os.environ.get(URL_VARIABLE) or str(_default())


def opened(address: str, *, key: str | bytes | None = None, max_entries: int = 100_000) -> Store:
    """The store at `address`; errors as `store_at`. The user's cache folder is made if need be."""
    if address == str(_default()):
        try:
            os.makedirs(_default().parent, 0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cache: the folder {_default().parent} can't be made ({type(error).__name__}); "
                f"set {URL_VARIABLE}, or the policy's store"
            ) from error
    key = key if key is not None else os.environ.get(KEY_VARIABLE) or None
    return store_at(address, key=key, max_entries=max_entries)


class Later:
    """The store at an address, opened when it is first used; until it can be, each use raises why.

    So whoever makes one in the midst of a call need not wait for it, nor fail. A path means the
    file that it meant when this was made.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        with suppress(ConfigurationError):
            self._address = resolved(address)
        self._stores: list[Store] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._opened(), name)

    @property
    def place(self) -> str:
        """Where it is, without user and password."""
        if self._stores:
            return self._stores[0].place
        scheme, known, _ = self._address.partition("://")
        return f"{scheme}://..." if known else self._address

    def close(self) -> None:
        for store in self._stores[:1]:
            store.close()

    def _opened(self) -> Store:
        if not self._stores:
            # Without a lock, which a fork could leave held for good.
            store = opened(self._address)
            self._stores.append(store)
            if self._stores[0] is not store:
                # Another thread was faster.
                store.close()
        return self._stores[0]


def _default() -> Path:
    return user_cache_path("agno-portkey") / "answers.db"
