"""Keys that are read late, from where they are kept, and shown nowhere."""

from __future__ import annotations

from agno_portkey.errors import SecretMissing, SecretUnavailable
from agno_portkey.secrets.base import Secret
from agno_portkey.secrets.encrypted import EncryptedFile
from agno_portkey.secrets.environment import EnvironmentSecrets
from agno_portkey.secrets.files import FileSecrets
from agno_portkey.secrets.keyrings import KeyringSecrets
from agno_portkey.secrets.source import SecretSource, WritableSource

__all__ = [
    "EncryptedFile",
    "EnvironmentSecrets",
    "FileSecrets",
    "KeyringSecrets",
    "Secret",
    "SecretMissing",
    "SecretSource",
    "SecretUnavailable",
    "WritableSource",
]
