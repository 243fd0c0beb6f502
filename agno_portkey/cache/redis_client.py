"""Connections to Redis that are waited for up to a point in time, however little comes at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agno_portkey.cache.store import NO_REDIS
from agno_portkey.errors import ConfigurationError, MissingExtraError

__all__ = ["Patience", "connected"]


class Patience(threading.local):
    """How long each thread still waits for Redis."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends: float | None = None

    @contextmanager
    def once(self) -> Iterator[None]:
        """All that is asked of Redis within, together, is waited for up to `seconds`."""
        outer = self._ends
        if outer is None:
            self._ends = time.monotonic() + self.seconds
        try:
            yield
        finally:
            self._ends = outer

    def left(self) -> float:
        return self.seconds if self._ends is None else self._ends - time.monotonic()


class _Timed:
    """A socket whose timeout is what is left, so that a byte now and then does not extend it."""

    def __init__(self, socket: Any, patience: Patience) -> None:
        self._socket, self._patience = socket, patience

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, *arguments: Any) -> Any:
        self._wait()
        return self._socket.recv(*arguments)

    def recv_into(self, *arguments: Any) -> Any:
        self._wait()
        return self._socket.recv_into(*arguments)

    def sendall(self, *arguments: Any) -> Any:
        self._wait()
        return self._socket.sendall(*arguments)

    def _wait(self) -> None:
        if self._socket.gettimeout() == 0:
            # It is only asked whether there is something to be read.
            return
        left = self._patience.left()
        if left <= 0:
            raise TimeoutError("Redis took too long")
        self._socket.settimeout(left)


def connected(url: str, patience: Patience) -> Any:
    """A client for `url`; raises MissingExtraError, and ConfigurationError for what is no address.

    It connects when it is first asked.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtraError(
            'a cache in Redis needs the package redis: pip install "agno-portkey[redis]"'
        ) from error
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=patience.seconds,
            socket_connect_timeout=patience.seconds,
            # It would wait longer than a call of a model may.
            retry=Retry(NoBackoff(), 0),
        )
    except (ValueError, TypeError, AttributeError):
        # The reason may quote the address, and with it a password.
        raise ConfigurationError(NO_REDIS) from None
    pool = client.connection_pool
    # An address may ask for it.
    pool.connection_kwargs["decode_responses"] = False
    pool.connection_class = _timed(pool.connection_class, patience)
    return client


def _timed(connection: Any, patience: Patience) -> Any:
    """The class `connection` (TCP, TLS or a Unix socket) with sockets that are timed."""

    class Timed(connection):  # type: ignore[misc]
        def _connect(self) -> Any:
            return _Timed(super()._connect(), patience)

    return Timed
