"""Secrets in one encrypted file, for machines that have no better place."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agno_portkey.environments import called, current
from agno_portkey.errors import (
    ConfigurationError,
    SecretMissing,
    SecretUnavailable,
    WrongEnvironment,
)
from agno_portkey.sealing import MAKE_KEY, Seal, Unreadable
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.private_files import HiddenBytes, alone, read_private, replace_with
from agno_portkey.secrets.source import check_name, unusable

__all__ = ["KEY_VARIABLE", "EncryptedFile"]

KEY_VARIABLE = "AGNO_PORTKEY_SECRETS_KEY"
_FORMAT = "agno-portkey secrets 1"
_MOST_BYTES = 4 << 20
_SALT = 16
# About 0.1 s and 32 MB. No file says what they are to be: it could ask for any.
_COST, _BLOCKS, _LANES = 2**15, 8, 1
_SHORTEST = 12


class EncryptedFile:
    """A file in which names and values are sealed by AES-256-GCM; needs the extra `secrets`.

    `key` is 32 bytes or their base64; or a `passphrase` is what the key is made from, by scrypt.
    Without either the key is read from `AGNO_PORTKEY_SECRETS_KEY`. `environment`, which is this
    process's (`PORTKEY_ENVIRONMENT`) where it is not given, is sealed with all else: a file of
    another raises WrongEnvironment.

    What was changed, or is read with another key, raises SecretUnavailable. A file that is
    replaced by an older one of its own is not found out.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        key: str | bytes | None = None,
        passphrase: str | None = None,
        environment: str | None = None,
    ) -> None:
        # No traceback of ours is to show them.
        given, said = _hidden(key), _hidden(passphrase)
        del key, passphrase
        if given is not None and said is not None:
            raise ConfigurationError("key: give either a key or a passphrase")
        self.path = Path(path).expanduser()
        self.environment = called(environment) if environment else current()
        self._passphrase = _long_enough(said)
        self._fixed = None if self._passphrase is not None else _seal(given)
        # Of the last salt; to make one takes long.
        self._made: tuple[bytes, Seal] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"EncryptedFile({str(self.path)!r})"

    def read(self, name: str) -> str:
        check_name(name)
        held = self._held()
        if held is None or name not in held.values:
            raise SecretMissing(f"{name}: {self.path} holds none of that name; write it there")
        return held.values[name]

    def write(self, name: str, value: str) -> None:
        value = Hidden(value)
        check_name(name)
        if (why := unusable(value)) is not None:
            raise ConfigurationError(f"value: {why}")
        with alone(self._beside()):
            held = self._held()
            values = {} if held is None else held.values
            self._keep({**values, name: value}, None if held is None else held.salt)

    def remove(self, name: str) -> None:
        check_name(name)
        if not self.path.exists():
            return
        with alone(self._beside()):
            held = self._held()
            if held is not None and name in held.values:
                left = {each: value for each, value in held.values.items() if each != name}
                self._keep(left, held.salt)

    def names(self) -> list[str]:
        held = self._held()
        return [] if held is None else sorted(held.values)

    def _beside(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    def _held(self) -> _Held | None:
        try:
            read = read_private(self.path, limit=_MOST_BYTES)
        except FileNotFoundError:
            return None
        about, _, kept = read.partition(b"\n")
        salt = self._salt_of(about)
        seal = self._seal_of(salt)
        values = _opened(seal, about, kept)
        if values is None:
            raise SecretUnavailable(
                f"{self.path} can't be opened: it was changed, or sealed with another "
                f"{'passphrase' if self._passphrase is not None else 'key'}; give the one that it "
                "was written with, or put a copy of the file in its place"
            )
        return _Held(values, salt)

    def _salt_of(self, about: bytes) -> bytes:
        """The salt that the first line names; refuses a file of another kind or environment."""
        said = _said(about)
        if said is None:
            raise SecretUnavailable(f"{self.path} is no file of secrets, or was changed")
        theirs, salt = said
        if theirs != self.environment:
            raise WrongEnvironment(
                f"{self.path} holds secrets of {theirs or 'no environment'}, and this is "
                f"{self.environment or 'none'}: use another file, or set PORTKEY_ENVIRONMENT"
            )
        if bool(salt) != (self._passphrase is not None):
            raise SecretUnavailable(
                f"{self.path} was written with {'a passphrase' if salt else 'a key'}: give that"
            )
        return salt

    def _seal_of(self, salt: bytes) -> Seal:
        if self._fixed is not None:
            return self._fixed
        with self._lock:
            if self._made is None or self._made[0] != salt:
                self._made = salt, Seal(_derived(self._passphrase or "", salt), extra="secrets")
            return self._made[1]

    def _keep(self, values: Mapping[str, Hidden], salt: bytes | None) -> None:
        if salt is None:
            salt = b"" if self._passphrase is None else os.urandom(_SALT)
        about = _about(self.environment, salt)
        kept = self._seal_of(salt).closed(json.dumps(values, sort_keys=True).encode(), about)
        if len(kept) + len(about) >= _MOST_BYTES:
            raise SecretUnavailable(f"{self.path} is full: keep some of its secrets in another")
        replace_with(self.path, HiddenBytes(about + b"\n" + kept))


@dataclass(frozen=True, slots=True)
class _Held:
    values: Mapping[str, Hidden] = field(repr=False)
    salt: bytes


def _about(environment: str | None, salt: bytes) -> bytes:
    said = {
        "format": _FORMAT,
        "environment": environment,
        "salt": base64.b64encode(salt).decode(),
    }
    return json.dumps(said, sort_keys=True).encode()


def _said(about: bytes) -> tuple[str | None, bytes] | None:
    """The environment and salt of a file's first line; None if it is not one of ours."""
    try:
        said = json.loads(about)
        environment, salt = said["environment"], base64.b64decode(said["salt"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    plain = environment is None or isinstance(environment, str)
    if said.get("format") != _FORMAT or not plain or len(salt) not in (0, _SALT):
        return None
    return environment, salt


def _opened(seal: Seal, about: bytes, kept: bytes) -> dict[str, Hidden] | None:
    try:
        read = json.loads(seal.opened(kept, about))
        return {str(name): Hidden(value) for name, value in read.items()}
    except (Unreadable, ValueError, AttributeError):
        return None


def _derived(passphrase: str, salt: bytes) -> bytes:
    return HiddenBytes(
        hashlib.scrypt(
            passphrase.encode(), salt=salt, n=_COST, r=_BLOCKS, p=_LANES, maxmem=64 << 20, dklen=32
        )
    )


def _long_enough(passphrase: Hidden | None) -> Hidden | None:
    if passphrase is None:
        return None
    if not isinstance(passphrase, str) or len(passphrase.strip()) < _SHORTEST:
        raise ConfigurationError(f"passphrase: at least {_SHORTEST} characters, blanks aside")
    if not _is_writable(passphrase):
        raise ConfigurationError("passphrase: it holds half a character, which has no bytes")
    return passphrase


def _is_writable(text: Hidden) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _seal(key: Hidden | HiddenBytes | None) -> Seal:
    given = key if key is not None else _hidden(os.environ.get(KEY_VARIABLE))
    if given is None or given == "":
        raise ConfigurationError(
            f"key: give one, or a passphrase, or set {KEY_VARIABLE}; {MAKE_KEY}"
        )
    return Seal(given, extra="secrets")


def _hidden(given: Any) -> Any:
    """A key or passphrase that no `repr` shows; what is neither text nor bytes as it is."""
    if isinstance(given, str):
        return Hidden(given)
    return HiddenBytes(given) if isinstance(given, bytes) else given
