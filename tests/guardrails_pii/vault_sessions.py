"""What the tests of kept vaults share."""

from __future__ import annotations

from pathlib import Path

from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.vault import Vault

KEY = "mVnCwzJ1IJZ1K9Yx5dZ8gL9J1m7lqf0hY0b0r5x3n2E="
OTHER = "1cH6Yq5hTt8e0M1b2V9cQk4lXw3sZr7uJp0oNg6fDyI="


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def tell(vault: Vault, value: str, kind: str = "PERSON") -> str:
    """What stands in place of `value` once it was found."""
    return vault.hide(value, [Span(0, len(value), kind, 1.0)])


def held(folder: Path) -> bytes:
    """What the host's database in `folder` holds."""
    return b"".join(file.read_bytes() for file in folder.glob("agno.db*"))
