"""The names by which a process asks whether it may go on, left where operators see them."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Collection

from agno_portkey.stopping.record import ALL, LONGEST, Store, fold

__all__ = ["Names"]

# Seconds: whoever may read only is not to knock at each call.
_PAUSE = 60.0
_log = logging.getLogger("agno_portkey")


class Names:
    """Keeps in `store` each name that was asked for, beside the call that asked.

    That a mistyped name is told is not worth a call's time, nor an error: what can't be kept is
    tried again in a minute. A process that ends waits at most `patience` seconds for it.
    """

    def __init__(self, store: Store, patience: float) -> None:
        self._store = store
        self._patience = patience
        self._kept: frozenset[str] = frozenset()
        self.begin_anew()
        # Dead once nobody holds this any more, alive where the process ends before.
        weakref.finalize(self, _wait_for, weakref.ref(self))

    def begin_anew(self) -> None:
        """In a child process: neither its parent's thread nor its lock is there."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._thread: threading.Thread | None = None
        self._not_before = -math.inf

    def keep(self, names: Collection[str]) -> None:
        """Have `names` kept soon; costs next to nothing for those that are."""
        if self._kept.issuperset(names) or time.monotonic() < self._not_before:
            return
        if self._pid != os.getpid():
            self.begin_anew()
        with self._lock:
            # Asked again: it may just have failed.
            if time.monotonic() < self._not_before:
                return
            self._wanted |= {name for name in names if name not in self._kept}
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._work, daemon=True, name="agno-portkey-names")
            try:
                thread.start()
            except RuntimeError as error:
                self._give_up(error)
            else:
                self._thread = thread

    def wait(self) -> None:
        """Wait until what is being kept is kept, or for as long as there is patience."""
        thread = self._thread
        if thread is not None and self._pid == os.getpid():
            thread.join(self._patience)

    def _work(self) -> None:
        while True:
            with self._lock:
                names, self._wanted = self._wanted, set()
                if not names:
                    self._thread = None
                    return
            try:
                self._store.note({name for name in names if _is_name(name)})
            except Exception as error:
                with self._lock:
                    self._give_up(error)
                    self._wanted, self._thread = set(), None
                return
            self._kept |= names

    def _give_up(self, error: Exception) -> None:
        self._not_before = time.monotonic() + _PAUSE
        _log.debug("the names of swarms can't be noted: %s", error)


def _wait_for(reference: weakref.ref[Names]) -> None:
    if (names := reference()) is not None:
        names.wait()


def _is_name(name: str) -> bool:
    return bool(fold(name)) and name != ALL and len(name) <= LONGEST
