"""Seals what is kept, so that only who has the key can read it, and nobody can change it."""

from __future__ import annotations

import base64
import os

from agno_portkey.errors import ConfigurationError, MissingExtraError

__all__ = ["MAKE_KEY", "Seal", "Unreadable"]

_BYTES = 32
_NONCE = 12
MAKE_KEY = (
    "python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())' "
    "makes one"
)


class Unreadable(ValueError):
    """What is kept was changed, is another entry's, or is not sealed with this key."""


class Seal:
    """Values sealed by AES-256-GCM with `key`: 32 bytes, or their base64.

    With another key nothing that was kept is found any more. Raises MissingExtraError without the
    package cryptography, which `extra` brings, and ConfigurationError for what is no key.
    """

    _MARK = b"\x01"

    def __init__(self, key: str | bytes, *, extra: str = "cache") -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise MissingExtraError(
                "what is to be kept sealed needs the package cryptography: "
                f'pip install "agno-portkey[{extra}]"'
            ) from error
        if (found := _key(key)) is None:
            # Not where it was read: a traceback would show its variables. Nor here.
            del key
            raise ConfigurationError(f"key: 32 bytes are needed, or their base64; {MAKE_KEY}")
        self._cipher, self._invalid = AESGCM(found), InvalidTag

    def __repr__(self) -> str:
        return "Seal()"

    def closed(self, value: bytes, about: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return self._MARK + nonce + self._cipher.encrypt(nonce, value, about)

    def opened(self, kept: bytes, about: bytes) -> bytes:
        if not kept.startswith(self._MARK):
            raise Unreadable("it is not sealed")
        try:
            return self._cipher.decrypt(kept[1 : 1 + _NONCE], kept[1 + _NONCE :], about)
        except (self._invalid, ValueError):
            raise Unreadable("the key does not open it") from None


def _key(key: object) -> bytes | None:
    """The bytes of a key, None where it is none."""
    if isinstance(key, bytes):
        if len(key) == _BYTES:
            return key
    elif not isinstance(key, str):
        return None
    try:
        text = key if isinstance(key, bytes) else key.encode()
        found = base64.b64decode(text.strip().translate(_STANDARD), validate=True)
    except ValueError:
        return None
    return found if len(found) == _BYTES else None


_STANDARD = bytes.maketrans(b"-_", b"+/")
