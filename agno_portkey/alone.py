"""A file that one process at a time has."""

from __future__ import annotations

import time
from types import ModuleType
from typing import IO

from agno_portkey.errors import ConfigurationError

__all__ = ["hold_alone", "let_go", "take"]

_AGAIN = 0.01


def hold_alone(file: IO[bytes] | int) -> None:
    """Have an open file alone, until it is closed; BlockingIOError where another process has it."""
    fcntl = _locks()
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take(file: int, *, timeout: float | None = None, shared: bool = False) -> None:
    """Have an open file alone, or with other readers; waits for whoever has it.

    TimeoutError after so many seconds, if `timeout` is given.
    """
    fcntl = _locks()
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if timeout is None:
        fcntl.flock(file, how)
        return
    until = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError(f"another process has the file for {timeout:g} s") from None
            time.sleep(_AGAIN)


def let_go(file: int) -> None:
    """Have an open file no more."""
    fcntl = _locks()
    fcntl.flock(file, fcntl.LOCK_UN)


def _locks() -> ModuleType:
    try:
        import fcntl
    except ImportError:  # not on Windows, where this module must still be importable
        raise ConfigurationError("path: this system can't hold a file alone") from None
    return fcntl
