"""Messages on their way to a webhook: off everybody's thread, tried again, and given up at last."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from agno_portkey.errors import ConfigurationError, SecretUnavailable
from agno_portkey.secrets import Secret
from agno_portkey.settings import LOOPBACK, check_url
from agno_portkey.verdict import failure_told

__all__ = ["Refused", "Sender", "post"]

_log = logging.getLogger("agno_portkey")

# Messages that wait; the oldest is given up for one more.
_WAITING = 100
# Seconds between two tries, at first and at most.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
# What may go better a while later, beside 500 and above.
_PASSING = frozenset({408, 425, 429})


class Refused(Exception):
    """A receiver answered with `status`, which says that it has not taken the message."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it answered {status}")
        self.status = status


async def post(
    webhook: str | Secret,
    headers: Mapping[str, str | Secret],
    body: Mapping[str, Any],
    within: float,
) -> None:
    """Send `body` once, in `within` seconds in all; raises Refused where it is not taken.

    A redirection is not followed, and no word of an answer is read: its status says it.
    """
    async with asyncio.timeout(within):
        url = await _plain(webhook)
        if isinstance(webhook, Secret):
            _check_secret_url(url)
        told = {name: await _plain(value) for name, value in headers.items()}
        # A proxy set for the machine must not catch calls to a server on it.
        trusting = httpx.URL(url).host not in LOOPBACK
        async with (
            httpx.AsyncClient(trust_env=trusting, timeout=within) as client,
            client.stream("POST", url, json=body, headers=told) as answer,
        ):
            if not answer.is_success:
                raise Refused(answer.status_code)


class Sender:
    """Sends messages one after the other on a thread of its own, which ends with `close`.

    Each is tried `attempts` times, `timeout` seconds at most, with pauses that grow. One that can't
    be delivered is counted in `undelivered`; the log has the first since one could.
    """

    def __init__(
        self,
        webhook: str | Secret,
        headers: Mapping[str, str | Secret],
        *,
        attempts: int,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._webhook, self._headers = webhook, headers
        self._attempts, self._timeout, self._sleep = attempts, timeout, sleep
        self.delivered = self.undelivered = 0
        self._is_told = False
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._changed = threading.Condition()
        self._busy = self._closing = self._given_up = False
        self._thread: threading.Thread | None = None
        self._under_way: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    def send(self, body: Mapping[str, Any]) -> None:
        """Have `body` sent; returns at once."""
        with self._changed:
            if self._closing or len(self._waiting) >= _WAITING:
                if not self._closing:
                    self._waiting.popleft()
                    self._waiting.append(body)
                self._lose("too many messages wait")
                return
            self._waiting.append(body)
            self._start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until nothing waits any more; whether it is so."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout)

    def close(self, timeout: float) -> None:
        """Send what waits within `timeout` seconds, give up the rest, and end the thread."""
        until = time.monotonic() + timeout
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            # There was none to be had, as at the end of a process.
            self._work(until)
            return
        thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._given_up = True
            while self._waiting:
                self._waiting.popleft()
                self._lose("it was closed")
            if self._under_way is not None:
                loop, task = self._under_way
                with suppress(RuntimeError):  # it has just ended, and its loop is closed
                    loop.call_soon_threadsafe(task.cancel)
        thread.join(timeout)

    def _is_idle(self) -> bool:
        return not self._waiting and not self._busy

    def _start(self) -> None:
        if self._thread is not None:
            return
        name = "agno-portkey-alerts-send"
        thread = threading.Thread(target=self._work, daemon=True, name=name)
        with suppress(RuntimeError):  # the system has none now; with the next message it may
            thread.start()
            self._thread = thread

    def _work(self, until: float | None = None) -> None:
        while (body := self._next()) is not None:
            why: str | None = None
            left = None if until is None else until - time.monotonic()
            try:
                with asyncio.Runner(loop_factory=_Loop) as runner:
                    runner.run(self._deliver(body, left))
            except asyncio.CancelledError:
                why = "it was closed"
            except Exception as error:
                why = _told(error)
            with self._changed:
                self._under_way = None
                if why is None:
                    self.delivered += 1
                    self._is_told = False
                else:
                    self._lose(why)

    def _next(self) -> Mapping[str, Any] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            self._busy = True
            return self._waiting.popleft()

    async def _deliver(self, body: Mapping[str, Any], within: float | None) -> None:
        task: Any = asyncio.current_task()
        with self._changed:
            self._under_way = (asyncio.get_running_loop(), task)
            if self._given_up:
                task.cancel()
        tries = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=wait_exponential(multiplier=_PAUSE, max=_LONGEST_PAUSE) + wait_random(0, 0.5),
            retry=retry_if_exception(_may_pass),
            sleep=self._sleep,
            reraise=True,
        )
        async with asyncio.timeout(within):
            async for attempt in tries:
                with attempt:
                    await post(self._webhook, self._headers, body, self._timeout)

    def _lose(self, why: str) -> None:
        self.undelivered += 1
        if self._is_told:
            return
        self._is_told = True
        # Where to is not told: addresses of webhooks hold keys.
        _log.warning(
            "alerts: a message can't be delivered to the webhook (%s); see to its receiver. Of "
            "others nothing is said until one is delivered; `undelivered` counts them",
            why,
        )


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up on its own thread: at the end of a process no other one takes anything."""

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        return socket.getaddrinfo(host, port, **how)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, Refused):
        return error.status >= 500 or error.status in _PASSING
    return isinstance(error, httpx.TransportError | TimeoutError | SecretUnavailable)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, Refused) else failure_told(error)


async def _plain(value: str | Secret) -> str:
    return await value.areveal() if isinstance(value, Secret) else value


def _check_secret_url(url: str) -> None:
    try:
        check_url(url, name="webhook")
    except ConfigurationError:
        # Its words hold the address.
        raise ConfigurationError("webhook: the secret is no http(s) address") from None
