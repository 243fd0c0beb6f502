"""What is logged and is to be hidden: a key, and an error that quotes it."""

from __future__ import annotations

KEY = "ghp_" + "a1B2c3D4e5F6" * 3


def fail() -> None:
    raise ValueError(f"bad {KEY}")
