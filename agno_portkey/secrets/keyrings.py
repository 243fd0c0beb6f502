"""Secrets in the keyring of the operating system."""

from __future__ import annotations

import json
import threading
from typing import Any

from agno_portkey.errors import (
    ConfigurationError,
    MissingExtraError,
    SecretMissing,
    SecretUnavailable,
)
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import check_name, unusable

__all__ = ["KeyringSecrets"]

# No secret can have this name. Keyrings can't be asked what they hold.
_INDEX = ".names"


class KeyringSecrets:
    """The entries of `service` in the keyring of who runs this; needs the extra `secrets`.

    `backend` is one of the package `keyring`, where it is not to be the system's usual one. An
    `environment` has entries of its own. `names` tells what was written here: of several processes
    that add names at the same moment, it may miss some.
    """

    def __init__(
        self, service: str = "agno-portkey", *, environment: str | None = None, backend: Any = None
    ) -> None:
        if not isinstance(service, str) or not service.strip():
            raise ConfigurationError("service: the name of the keyring's entries")
        self.service, self.environment = service, environment
        self._entries = f"{service}/{environment}" if environment else service
        self._backend = backend if backend is not None else _usual()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyringSecrets({self.service!r})"

    def read(self, name: str) -> str:
        value = self._got(check_name(name))
        if value is None:
            raise SecretMissing(
                f"{name}: the keyring has none; `keyring set {self._entries} {name}` puts it there"
            )
        return value

    def write(self, name: str, value: str) -> None:
        value = Hidden(value)
        check_name(name)
        if (why := unusable(value)) is not None:
            raise ConfigurationError(f"value: {why}")
        with self._lock:
            self._set(name, value)
            # Some keyrings take all and keep nothing.
            if self._got(name) != value:
                raise SecretUnavailable(f"{name}: the keyring did not keep it: look at `keyring`")
            self._index({*self._indexed(), name})

    def remove(self, name: str) -> None:
        check_name(name)
        with self._lock:
            if self._got(name) is not None:
                self._done("removed", lambda: self._backend.delete_password(self._entries, name))
            self._index(self._indexed() - {name})

    def names(self) -> list[str]:
        return sorted(name for name in self._indexed() if self._got(name) is not None)

    def _got(self, name: str) -> Hidden | None:
        got = self._done("read", lambda: self._backend.get_password(self._entries, name))
        if got is None:
            return None
        if not isinstance(got, str):
            raise SecretUnavailable(f"{name}: the keyring gives no text ({type(got).__name__})")
        return Hidden(got)

    def _set(self, name: str, value: Hidden) -> None:
        # Some pass on to other programs what they are given: a plain text is what they know.
        self._done("written", lambda: self._backend.set_password(self._entries, name, str(value)))

    def _indexed(self) -> set[str]:
        try:
            found = json.loads(self._got(_INDEX) or "[]")
        except ValueError:
            found = []
        return {each for each in found if isinstance(each, str)} if isinstance(found, list) else (
            set()
        )  # fmt: skip

    def _index(self, names: set[str]) -> None:
        self._set(_INDEX, Hidden(json.dumps(sorted(names))))

    def _done(self, what: str, do: Any) -> Any:
        """What `do` gives; no words of a keyring's own go on, which may be of anything."""
        got, error = _tried(do)
        if error is not None:
            raise SecretUnavailable(
                f"the keyring can't be {what} ({error}): unlock it, or name another `backend`; "
                "EncryptedFile needs none"
            )
        return got


def _tried(do: Any) -> tuple[Any, str | None]:
    try:
        got = do()
        return (Hidden(got) if isinstance(got, str) else got), None
    except Exception as error:
        return None, type(error).__name__


def _usual() -> Any:
    try:
        import keyring
    except ImportError as error:
        raise MissingExtraError(
            "the system's keyring is reached with the package keyring: "
            'pip install "agno-portkey[secrets]"'
        ) from error
    return keyring.get_keyring()
