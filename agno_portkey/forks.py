"""Forks wait until nobody in this process is at a SQLite database."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unforked"]

# Seconds that a fork waits for what may wait for a lock itself.
_PATIENCE = 5.0


class _Uses:
    """Blocks in which no fork begins.

    SQLite keeps in memory which locks a process holds. A child that is made meanwhile takes those
    of another thread for its own: nobody there gives them back, and the database is locked to it.
    """

    def __init__(self) -> None:
        self.begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.hold, after_in_parent=self.let_go, after_in_child=self.begin_anew
            )

    def begin_anew(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._by: Counter[int] = Counter()
        self._forking = False

    @contextmanager
    def one(self) -> Iterator[None]:
        its, me = self._changed, threading.get_ident()
        with its:
            # One within another goes on, for the fork waits for that.
            its.wait_for(lambda: not self._forking or me in self._by)
            self._by[me] += 1
        try:
            yield
        finally:
            # In a child that was forked within, they are others.
            if its is self._changed:
                with its:
                    self._by[me] -= 1
                    if not self._by[me]:
                        del self._by[me]
                        its.notify_all()

    def hold(self) -> None:
        self._changed.acquire()
        self._forking = True
        me = threading.get_ident()
        self._changed.wait_for(lambda: self._by.keys() <= {me}, _PATIENCE)

    def let_go(self) -> None:
        self._forking = False
        self._changed.notify_all()
        self._changed.release()


_uses = _Uses()
unforked = _uses.one
