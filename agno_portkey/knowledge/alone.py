"""A file that one process at a time has."""

from __future__ import annotations

from typing import IO

from agno_portkey.errors import ConfigurationError

__all__ = ["hold_alone"]


def hold_alone(file: IO[bytes] | int) -> None:
    """Have an open file alone, until it is closed; BlockingIOError where another process has it."""
    try:
        import fcntl  # not on Windows, where this module must still be importable
    except ImportError:
        raise ConfigurationError("journal: this system can't hold a file alone") from None
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
