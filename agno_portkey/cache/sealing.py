"""How a cache keeps its values: sealed with a key, or as they are."""

from __future__ import annotations

import hashlib
from typing import Protocol

from agno_portkey.sealing import Seal, Unreadable

__all__ = ["Plain", "Seal", "Sealing", "Unreadable"]

_DIGEST = 8


class Sealing(Protocol):
    """How values are kept; `about` is what else must be as it was for one to be read again."""

    def closed(self, value: bytes, about: bytes) -> bytes: ...

    def opened(self, kept: bytes, about: bytes) -> bytes:
        """The value; raises Unreadable."""
        ...


class Plain:
    """Values as they are, with a digest by which chance and carelessness are found out."""

    _MARK = b"\x00"

    def closed(self, value: bytes, about: bytes) -> bytes:
        return self._MARK + _digest(value, about) + value

    def opened(self, kept: bytes, about: bytes) -> bytes:
        if not kept.startswith(self._MARK):
            raise Unreadable("it is sealed")
        value = kept[1 + _DIGEST :]
        if kept[1 : 1 + _DIGEST] != _digest(value, about):
            raise Unreadable("it was changed")
        return value


def _digest(value: bytes, about: bytes) -> bytes:
    return hashlib.blake2b(value, key=hashlib.sha256(about).digest(), digest_size=_DIGEST).digest()
