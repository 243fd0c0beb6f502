"""Asks the store of the vaults: within a time, and believing nothing that it did not put there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from agno_portkey.errors import AgnoPortkeyError, VaultUnavailable
from agno_portkey.guardrails.pii import marks
from agno_portkey.guardrails.pii.sealing import Contents, Seal
from agno_portkey.guardrails.pii.vault_store import MemoryStore, Row, Store
from agno_portkey.workers import Failed, Job, race

__all__ = ["Shelf"]

T = TypeVar("T")
_LONGEST_PAUSE = 60.0
_TRIES = 20


class Shelf:
    """Sealed vaults in a store. Each method blocks, for `timeout` seconds at most.

    What is not as it was put there, or does not come in time, raises VaultUnavailable.
    """

    def __init__(self, store: Store, seal: Seal, timeout: float) -> None:
        self._store, self._seal, self._timeout = store, seal, timeout
        self._in_process = isinstance(store, MemoryStore)
        self.place = store.place
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._hanging, self._pause_until = 0, 0.0

    def get(self, key: tuple[str, str]) -> Contents | None:
        row = self._ask(lambda: self._store.get(*key))
        return None if row is None else self._opened(row, key=key)

    def by_mark(self, mark: str) -> Contents | None:
        row = self._ask(lambda: self._store.by_mark(mark))
        return None if row is None else self._opened(row, mark=mark)

    def rows(self, **asked: Any) -> list[Contents]:
        """Those of a `session`, or of a `user`: `limit` at most, the last used first."""
        rows = self._ask(lambda: [*self._store.rows(**asked)])
        found = [self._opened(row) for row in rows]
        whose = (asked.get("session"), asked.get("user"))
        if any(a not in (None, b) for each in found for a, b in zip(whose, each.key, strict=True)):
            raise self.lie("a row of another session or user")
        return found

    def touch(self, mark: str, used: int) -> None:
        self._ask(lambda: self._store.touch(mark, used))

    def drop(self, **given: Any) -> int:
        return self._ask(lambda: self._store.drop(**given))

    def save(self, row: Row, entries: list[list[object]]) -> bool:
        """Keep `entries` as that version; False where somebody else has written it."""
        sealed = replace(row, payload=self._seal.closed(row, entries))

        def written() -> tuple[bool, Row | None]:
            return self._store.put(sealed), self._store.get(row.session, row.user)

        done, there = self._ask(written)
        if done is not True:
            return False
        # Somebody may have added to it since, or forgotten it.
        if there is not None and there.mark == row.mark and there.version < row.version:
            raise self.lie("an earlier version than was written")
        if there is None and row.version == 1:
            raise self.lie("nothing where something was just written")
        return True

    def hand_over(self, contents: Contents, key: tuple[str, str]) -> bool:
        """Make `contents` those of another user; False where they are not what is kept now."""
        row = Row(*key, contents.mark, contents.version + 1, contents.used, "")
        return self.save(row, contents.entries)

    def rotate(self) -> int:
        """Seal every row with the first key; how many there are."""
        return sum(map(self._rotated, self._ask(lambda: [*self._store.marks()])))

    def _rotated(self, mark: str) -> bool:
        for _ in range(_TRIES):
            if (contents := self.by_mark(mark)) is None:
                return False
            row = Row(*contents.key, mark, contents.version + 1, contents.used, "")
            sealed = replace(row, payload=self._seal.closed(row, contents.entries))
            if self._ask(partial(self._store.put, sealed)):
                return True
        raise VaultUnavailable(f"too many write to one vault at once: try again ({self.place})")

    def _opened(
        self, row: Any, *, key: tuple[str, str] | None = None, mark: str | None = None
    ) -> Contents:
        shaped = isinstance(row, Row) and marks.is_mark(row.mark)
        if not shaped or not isinstance(row.payload, str) or type(row.used) is not int:
            raise self.lie("something that is no row")
        if key not in (None, (row.session, row.user)) or mark not in (None, row.mark):
            raise self.lie("a row of another session")
        try:
            return self._seal.opened(row)
        except VaultUnavailable as error:
            raise VaultUnavailable(f"{error} ({self.place})") from None

    def lie(self, what: str) -> VaultUnavailable:
        """The error for a store that gives `what`."""
        return VaultUnavailable(
            f"the store of the vaults gave {what}: put its data back as they were, or forget the "
            f"session ({self.place})"
        )

    def _ask(self, action: Callable[[], T]) -> T:
        if self._in_process:
            return action()
        with self._locked():
            if time.monotonic() < self._pause_until:
                raise VaultUnavailable(
                    f"the store of the vaults hangs, and is asked again later ({self.place})"
                )
        [outcome] = race([Job(action, self._timeout)], lambda place, said: False)
        if isinstance(outcome, Failed):
            raise self._failure(outcome.error) from None
        self._hanging = 0
        found: T = outcome
        return found

    def _failure(self, error: BaseException) -> VaultUnavailable:
        said = " ".join(str(getattr(error, "orig", None) or type(error).__name__).split())[:300]
        if isinstance(error, AgnoPortkeyError):
            said = str(error)
        if isinstance(error, TimeoutError):
            said = f"no answer within {self._timeout:g} s"
            with self._locked():
                # Threads that hang are not to pile up.
                self._hanging += 1
                pause = min(_LONGEST_PAUSE, self._timeout * 2**self._hanging)
                self._pause_until = time.monotonic() + pause
        return VaultUnavailable(f"the store of the vaults can't be used: {said} ({self.place})")

    def _locked(self) -> threading.Lock:
        if os.getpid() != self._pid:
            # After a fork: who held it is not in this process.
            self._begin_anew()
        return self._lock
