"""What a gate has still to note of its clearances, since their database failed at that moment."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from agno_portkey.drivers import beside_loop
from agno_portkey.errors import ClearanceRefused

__all__ = ["Owed"]

_log = logging.getLogger("agno_portkey")


class Owed:
    """Changes that take leave away; those that could not be made are made before any is given.

    Until then other processes that share the database take the clearance for what it was. It is
    tried again in the background, at first after `pause` seconds and then ever less often, and at
    each touch of the books. A process that ends before leaves it so until it runs out. On an event
    loop they are made beside it: who goes on awaits `made` first.
    """

    def __init__(self, pause: float = 0.5, longest: float = 30.0) -> None:
        self._pause, self._longest = pause, longest
        self._open: dict[str, Callable[[], object]] = {}
        self._begin()

    def _begin(self) -> None:
        self._lock, self._retrying, self._pid = threading.Lock(), False, os.getpid()
        # Nobody goes on while what is open is being made.
        self._making, self._now = threading.RLock(), set[str]()

    def __deepcopy__(self, memo: dict[int, Any]) -> Owed:
        return self

    def note(self, id: str, change: Callable[[], object]) -> None:
        """Make `change` of the clearance `id`, now or as soon as its database lets it."""
        self._require_own()
        with self._lock:
            self._open[id] = change
        beside_loop(partial(self._attempt, id, change))

    @property
    def due(self) -> bool:
        """Whether anything is open."""
        return bool(self._open)

    def made(self) -> None:
        """Make what is open; what can't be made now is tried again."""
        self._require_own()
        for id, change in [*self._open.items()]:
            self._attempt(id, change)

    def settle(self) -> None:
        """Make what is open; raises whatever the database raises."""
        self._require_own()
        for id, change in [*self._open.items()]:
            self._make(id, change)

    def _require_own(self) -> None:
        if self._pid != os.getpid():
            # After a fork the thread is the parent's, and so may be whoever holds the lock.
            self._begin()

    def _attempt(self, id: str, change: Callable[[], object]) -> None:
        try:
            self._make(id, change)
        except Exception:
            _log.exception("clearance %s can't be noted yet: it is tried again", id)
            self._retry_later()

    def _make(self, id: str, change: Callable[[], object]) -> None:
        with self._making:
            # A change may itself ask for what is open first.
            if self._open.get(id) is change and id not in self._now:
                self._now.add(id)
                try:
                    self._make_now(id, change)
                finally:
                    self._now.discard(id)

    def _make_now(self, id: str, change: Callable[[], object]) -> None:
        try:
            change()
        except ClearanceRefused as refused:
            if refused.code == "busy":
                raise
            # There is no such row, or none that anybody could use.
            _log.warning("clearance %s can't be noted: %s", id, refused)
        except UnicodeError:
            # Nor can anybody use one that holds no text.
            _log.warning("clearance %s can't be noted: its row can't be read", id)
        with self._lock:
            if self._open.get(id) is change:
                del self._open[id]

    def _retry_later(self) -> None:
        with self._lock:
            if self._retrying:
                return
            thread = threading.Thread(target=self._retry, daemon=True, name="agno-portkey-owed")
            try:
                thread.start()
            except RuntimeError as error:
                # As at the end of a process: then the next touch of the books tries.
                _log.debug("clearances are not tried again in the background: %s", error)
            else:
                self._retrying = True

    def _retry(self) -> None:
        pause, waits = self._pause, threading.Event()
        while True:
            waits.wait(pause)
            pause = min(2 * pause, self._longest)
            try:
                self.settle()
            except Exception as error:
                _log.debug("clearances can't be noted yet: %s", type(error).__name__)
            with self._lock:
                if not self._open:
                    self._retrying = False
                    return
