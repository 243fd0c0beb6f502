"""Ed25519 keys that clearances are signed with, as PEM or as base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agno_portkey.errors import ConfigurationError, MissingExtraError

__all__ = ["KeyPair", "key_id", "new_key", "private_key", "public_keys"]

_PRIVATE = "a private Ed25519 key is needed: PEM, or base64 of its 64 bytes, as new_key makes it"
_PUBLIC = "a public Ed25519 key is needed: PEM, or base64 of its 32 bytes, as new_key makes it"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key to sign with, and the one to give to those who verify; both in base64."""

    private: str = field(repr=False)
    public: str
    id: str


def new_key() -> KeyPair:
    """A new pair. Raises MissingExtraError without the extra `clearance`.

    The private one is the seed followed by the public key, so that neither is taken for the other.
    """
    key = _ed25519().Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    private = base64.b64encode(key.private_bytes_raw() + public).decode()
    return KeyPair(private, base64.b64encode(public).decode(), key_id(key.public_key()))


def private_key(text: str) -> Any:
    """The key to sign with that `text` is; ConfigurationError, which does not show it, if none."""
    kinds = _ed25519()
    if "-----BEGIN" in text:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        return _loaded(load_pem_private_key, text, kinds.Ed25519PrivateKey, _PRIVATE, None)
    seed, public = _bytes_of(text)[:32], _bytes_of(text)[32:]
    if len(public) != 32:
        raise ConfigurationError(f"key: {_PRIVATE}")
    key = kinds.Ed25519PrivateKey.from_private_bytes(seed)
    if key.public_key().public_bytes_raw() != public:
        raise ConfigurationError(f"key: {_PRIVATE}; its two halves do not belong together")
    return key


def public_keys(texts: str | Iterable[str]) -> Mapping[str, Any]:
    """The keys to verify with, by their ids; several while an old one is being replaced."""
    found = [_public(text) for text in ([texts] if isinstance(texts, str) else texts)]
    return {key_id(key): key for key in found}


def key_id(public: Any) -> str:
    """The id of a key, which follows from the key alone."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def _public(text: str) -> Any:
    kinds = _ed25519()
    if "-----BEGIN" in text:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        return _loaded(load_pem_public_key, text, kinds.Ed25519PublicKey, _PUBLIC)
    raw = _bytes_of(text)
    if len(raw) != 32:
        raise ConfigurationError(f"keys: {_PUBLIC}")
    return kinds.Ed25519PublicKey.from_public_bytes(raw)


def _loaded(load: Any, text: str, kind: type, wanted: str, *password: None) -> Any:
    try:
        key = load(text.encode(), *password)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"key: {wanted} ({type(error).__name__})") from None
    if not isinstance(key, kind):
        raise ConfigurationError(f"key: {wanted}; this one is of another kind")
    return key


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise missing() from error
    return ed25519


def missing() -> MissingExtraError:
    return MissingExtraError(
        "tokens are signed with the packages PyJWT and cryptography: pip install "
        '"agno-portkey[clearance]"'
    )
