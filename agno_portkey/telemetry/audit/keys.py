"""The key that an audit log is sealed with: a secret of 32 bytes, or a pair of Ed25519 keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditchain import AuditRecord, Checkpoint, make_checkpoint, verify_record_hash
from auditchain.checkpoint import verify_checkpoint_signature
from auditchain.signing import verify_record_signature
from platformdirs import user_data_path

from agno_portkey.errors import ConfigurationError
from agno_portkey.gates.clearance.keys import key_id, private_key, public_keys

__all__ = ["KEY_VARIABLE", "Key", "default_key_file", "find_key", "is_key"]

KEY_VARIABLE = "AGNO_PORTKEY_AUDIT_KEY"
_BYTES = 32
_STANDARD = bytes.maketrans(b"-_", b"+/")
_NEEDED = (
    "32 bytes are needed, or their base64; "
    "python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())' "
    "makes one"
)


@dataclass(frozen=True, slots=True)
class Key:
    """What seals and checks records and checkpoints; `id` is written into each of them.

    With `secret` that is an HMAC; else an Ed25519 signature, and without `private` it only checks.
    """

    id: str
    secret: bytes | None = field(default=None, repr=False)
    private: Any = field(default=None, repr=False)
    public: Any = None

    def options(self) -> dict[str, Any]:
        """How a chain of auditchain is told to seal."""
        if self.secret is not None:
            return {"seal_key": self.secret, "key_id": self.id}
        return {"signing_key": self.private, "signer_id": self.id}

    def sealed(self, record: AuditRecord) -> bool:
        """Whether `record` says that it was sealed with this key, and with no other."""
        ids = (record.key_id, record.signer_id)
        return ids == ((self.id, "") if self.secret is not None else ("", self.id))

    def refusal(self, record: AuditRecord) -> str | None:
        """Why `record` is not one that was sealed so, or None."""
        if not self.sealed(record):
            by, other = record.key_id, record.signer_id
            if self.secret is None:
                by, other = other, by
            return f"it is sealed with another key ({by or other or 'none'}, and not {self.id})"
        try:
            same = verify_record_hash(record, self.secret)
        except (ValueError, TypeError):  # a digest with letters that none has
            same = False
        if not same:
            return "its content was changed, or was sealed by somebody without the key"
        if self.secret is not None:
            return "a signature was added to it" if record.signature else None
        if not _is_hex(record.signature) or not verify_record_signature(record, self.public):
            return "it was signed by somebody without the key"
        return None

    def anchor(self, record: AuditRecord) -> Checkpoint:
        """A checkpoint of the chain that ends with `record`."""
        return make_checkpoint(
            record, self.secret, signing_key=self.private, signer_id=self.id if self.public else ""
        )

    def anchored(self, checkpoint: Checkpoint) -> bool:
        """Whether `checkpoint` is one that was signed so, and only so."""
        if self.secret is None:
            return (
                (checkpoint.signer_id, checkpoint.key_id, checkpoint.signature) == (self.id, "", "")
                and _is_hex(checkpoint.signature_ed25519)
                and verify_checkpoint_signature(checkpoint, self.public)
            )
        record = AuditRecord(
            seq=checkpoint.seq,
            timestamp=checkpoint.timestamp,
            actor="",
            action="",
            subject="",
            metadata={},
            prev_hash="",
            hash=checkpoint.hash,
            key_id=self.id,
        )
        made, signature = make_checkpoint(record, self.secret), checkpoint.signature
        # Compared in constant time; all else is no secret.
        same = signature.isascii() and hmac.compare_digest(made.signature, signature)
        return same and made == replace(checkpoint, signature=made.signature)


def _is_hex(signature: str) -> bool:
    """Whether it is spelt as it was written: the library takes other letters and spaces, too."""
    try:
        return bytes.fromhex(signature).hex() == signature
    except ValueError:
        return False


def default_key_file() -> Path:
    """Where a key is kept that nobody has given: in the user's own folder, not beside a log."""
    return user_data_path("agno-portkey") / "audit.key"


def find_key(
    key: str | bytes | None = None,
    key_file: str | os.PathLike[str] | None = None,
    *,
    signing_key: str | None = None,
    public_key: str | None = None,
    make: bool = False,
) -> Key:
    """The key that is given, else AGNO_PORTKEY_AUDIT_KEY's, else that of a file.

    A file that is not there is made if `make` is true, readable for its owner only. Raises
    ConfigurationError, which does not show the key.
    """
    given = [each for each in (key, key_file, signing_key, public_key) if each is not None]
    if len(given) > 1:
        raise ConfigurationError("key: give one of key, key_file, signing_key and public_key")
    if signing_key is not None:
        private = private_key(signing_key)
        return Key(key_id(private.public_key()), private=private, public=private.public_key())
    if public_key is not None:
        [(name, public)] = public_keys(public_key).items()
        return Key(name, public=public)
    if key_file is None:
        key = key if key is not None else os.environ.get(KEY_VARIABLE) or None
    if key is not None:
        return _secret(key, "key")
    path = default_key_file() if key_file is None else Path(key_file).expanduser()
    return _secret(_read(path, make), f"key_file: {path}")


def _secret(given: str | bytes, name: str) -> Key:
    secret = given if isinstance(given, bytes) and len(given) == _BYTES else _decoded(given)
    if len(secret) != _BYTES:
        raise ConfigurationError(f"{name}: {_NEEDED}")
    return Key(hashlib.sha256(b"agno-portkey audit key" + secret).hexdigest()[:16], secret)


def _decoded(given: object) -> bytes:
    text = given.encode() if isinstance(given, str) else given
    if not isinstance(text, bytes):
        return b""
    try:
        return base64.b64decode(text.strip().translate(_STANDARD), validate=True)
    except (binascii.Error, ValueError):
        return b""


def is_key(text: str) -> bool:
    """Whether `text` is a key itself, where the name of a file was wanted."""
    text = text.strip()
    # A path has lost one of two slashes that follow each other.
    whole = len(_decoded(text)) == _BYTES or re.fullmatch(r"[A-Za-z0-9+/_-]{36,43}=", text)
    return bool(whole) or "-----BEGIN" in text


def _read(path: Path, make: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o007:
                raise ConfigurationError(
                    f"key_file: others than its owner may use {path}: chmod 600 it, and if they "
                    "may have read it, begin another log with another key"
                )
            return file.read(1024)
    except OSError as error:
        if is_key(str(path)):
            raise ConfigurationError(
                "key_file: this is a key, and the path of a file is needed: write the key into a "
                f"file that only you can read (chmod 600), or set {KEY_VARIABLE} to it"
            ) from None
        if not isinstance(error, FileNotFoundError):
            raise ConfigurationError(
                f"key_file: {path} can't be read ({error.strerror})"
            ) from error
        if make:
            return _made(path)
        raise ConfigurationError(
            f"key_file: there is no {path}; give the key that the log was begun with (key, "
            f"key_file or {KEY_VARIABLE})"
        ) from None


def _made(path: Path) -> bytes:
    """A new key at `path`, or the one that another process has made there meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        held, name = tempfile.mkstemp(dir=path.parent, prefix=".audit-key-")
        try:
            with os.fdopen(held, "wb") as file:
                file.write(base64.urlsafe_b64encode(os.urandom(_BYTES)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            os.unlink(name)
    except OSError as error:
        raise ConfigurationError(
            f"key_file: {path} can't be made ({error.strerror}); give a key, or set {KEY_VARIABLE}"
        ) from error
    return _read(path, make=False)
