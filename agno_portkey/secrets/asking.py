"""One reading of a source, beside whoever needs it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as _TooLate
from contextlib import suppress
from typing import Any

from agno_portkey.errors import ConfigurationError, SecretMissing, SecretUnavailable
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.source import SecretSource, unusable

__all__ = ["Asking", "again", "asked"]


class Asking:
    """One reading of a source that all who need it wait for."""

    def __init__(self) -> None:
        self.done: Future[None] = Future()
        self.error: Any = None
        self._began = time.monotonic()

    def over(self, seconds: float) -> bool:
        return self.done.done() or self._left(seconds) <= 0

    def wait(self, seconds: float) -> None:
        try:
            self.done.result(self._left(seconds))
        except _TooLate:
            return

    async def await_(self, seconds: float) -> None:
        here, told = asyncio.get_running_loop(), asyncio.Event()
        # Not the future itself: who is cancelled would call it off for all others.
        self.done.add_done_callback(lambda _: _tell(here, told))
        # Not wait_for, which on Python 3.11 can lose that its caller was cancelled.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._left(seconds)):
                await told.wait()

    def _left(self, seconds: float) -> float:
        return max(0.0, self._began + seconds - time.monotonic())


def asked(source: SecretSource, name: str) -> tuple[Hidden | None, Exception | None]:
    """What `source` says, or what is wrong with it; no traceback of its own leaves here."""
    kind = type(source).__name__
    try:
        value: Any = source.read(name)
        value = Hidden(value) if isinstance(value, str) else value
        why = unusable(value)
    except (ConfigurationError, SecretUnavailable) as error:
        return None, again(error)
    except BaseException as error:
        # Its words may hold anything.
        return None, SecretUnavailable(f"{name}: {kind} fails with {type(error).__name__}")
    if why is not None:
        return None, SecretUnavailable(f"{name}: what {kind} gives can't be used: {why}")
    return value, None


def again(error: Exception) -> Exception:
    """`error` for one more who waited; each has a traceback of its own."""
    try:
        made = type(error)(*error.args)
    except Exception:
        made = None  # a class of the user's, which is made otherwise
    if isinstance(made, type(error)):
        return made
    kind = next(each for each in _KINDS if isinstance(error, each))
    return kind(str(error))


_KINDS = (SecretMissing, ConfigurationError, SecretUnavailable)


def _tell(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(told.set)
