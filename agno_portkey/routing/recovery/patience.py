"""How long a stream may keep its reader waiting, and who ends the wait."""

from __future__ import annotations

import math
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Patience", "Watchdog"]

# How long the thread waits for another stream before it ends.
_IDLE_SECONDS = 5.0
# How often it looks at a stream whose deadline is next to nothing away.
_SOONEST = 0.02


class Patience:
    """The limits of one stream in seconds: for its first token, and from each token to the next.

    Only what the model said counts as a token: comments that keep a connection alive do not. Only
    the time in which the stream is read counts (`with patience`), not the reader's own.
    """

    def __init__(self, first_token: float | None, between_tokens: float | None) -> None:
        self._between = math.inf if between_tokens is None else between_tokens
        self._left = math.inf if first_token is None else first_token
        # In monotonic seconds; there is none while nobody reads.
        self.deadline = math.inf

    def __enter__(self) -> None:
        self.deadline = time.monotonic() + self._left

    def __exit__(self, *_: object) -> None:
        self._left = max(0.0, self.deadline - time.monotonic())
        self.deadline = math.inf

    def heard(self) -> None:
        """A token has come: the next one is due within the second limit."""
        self._left = self._between

    def extend(self) -> None:
        """Something has come that the reader had no time for yet."""
        self.deadline = time.monotonic() + self._between

    @property
    def endless(self) -> bool:
        """Whether there is no limit at all, now or later."""
        return math.isinf(self._left) and math.isinf(self._between)

    def look_again(self, now: float) -> float:
        """When to look at the deadline next: a reader who comes back may bring it nearer."""
        return min(self.deadline, now + max(_SOONEST, min(self._left, self._between)))


class Watchdog:
    """Ends reads whose deadline is over, blocking or not, by shutting their socket down.

    A read has one limit of its own from its first byte to its last, and every byte renews it;
    here the limit changes while it waits, and counts tokens. A timer for each token would cost
    more than the token. One thread serves all, begun with the first stream.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[int, tuple[Any, Patience, list[bool]]] = {}
        self._thread: threading.Thread | None = None
        self._serial = 0

    @contextmanager
    def over(self, response: Any, patience: Patience) -> Iterator[None]:
        """A block in which reads of an httpx `response` end at the deadline with TimeoutError."""
        sock = _socket_of(response)
        if sock is None or patience.endless:
            yield
            return
        ended: list[bool] = []
        key = self._watch(sock, patience, ended)
        try:
            yield
        except Exception as error:
            if ended:
                raise TimeoutError("no token came in time") from error
            raise
        finally:
            with self._changed:
                self._watched.pop(key, None)
        if ended:
            raise TimeoutError("no token came in time")

    def _watch(self, sock: Any, patience: Patience, ended: list[bool]) -> int:
        with self._changed:
            self._serial += 1
            self._watched[self._serial] = (sock, patience, ended)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._serve, name="agno-portkey-watchdog", daemon=True
                )
                self._thread.start()
            self._changed.notify()
            return self._serial

    def _serve(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for key, (sock, patience, ended) in list(self._watched.items()):
                    if patience.deadline > now:
                        continue
                    if _has_data(sock):
                        patience.extend()
                    else:
                        del self._watched[key]
                        ended.append(True)
                        _shut(sock)
                looks = [held[1].look_again(now) for held in self._watched.values()]
                rest = min(looks) - now if looks else _IDLE_SECONDS
                told = self._changed.wait(min(max(0.0, rest), threading.TIMEOUT_MAX))
                if not told and not self._watched:
                    # An idle process needs no thread; a new stream begins a new one.
                    self._thread = None
                    return


def _socket_of(response: Any) -> Any:
    stream = getattr(response, "extensions", {}).get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if hasattr(found, "fileno") else None


def _has_data(sock: Any) -> bool:
    """Whether something has come that was not read: then it is the reader who is late."""
    try:
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN)
        return bool(waiting.poll(0))
    except (OSError, ValueError):
        return False


def _shut(sock: Any) -> None:
    """End both directions of a socket, whatever kind of object it is, below TLS."""
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(sock.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
