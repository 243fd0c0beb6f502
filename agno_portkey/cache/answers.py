"""`Cache`: kept answers, found again by what is asked or by what is asked alike."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from agno_portkey.cache.asked import Asked
from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.failures import failure
from agno_portkey.cache.flights import Flights
from agno_portkey.cache.index import Embeds, Index
from agno_portkey.cache.opening import (
    KEY_VARIABLE,
    URL_VARIABLE,
    Later,
    address_of,
    opened,
)
from agno_portkey.cache.policy import CachePolicy
from agno_portkey.cache.semantic.trust import Trust
from agno_portkey.cache.sqlite_file import is_busy
from agno_portkey.cache.store import Store
from agno_portkey.errors import ConfigurationError
from agno_portkey.verdict import failure_told

__all__ = ["KEY_VARIABLE", "URL_VARIABLE", "Cache", "Near", "cache_at"]

T = TypeVar("T")
# Hears in a few words why the store could not be used.
Hears = Callable[[str], None]
# Seconds that a store is left alone which has failed, so that no call waits for it again and again.
_REST = 5.0
# And after which the same failure is one that the log does not know yet.
_QUIET = 60.0
_SKEW = 2.0
_log = logging.getLogger("agno_portkey")


@dataclass(frozen=True, slots=True)
class Near:
    """A kept question that is worded alike: how alike, and what speaks against it."""

    entry: Entry
    likeness: float
    vetoes: tuple[str, ...]
    stratum: str


class Cache:
    """Answers in one store, for all the models and processes that share it.

    `store` is an address (a path, `sqlite:///...`, `redis://...`) or a store; left out it is
    AGNO_PORTKEY_CACHE_URL's, else a file in the user's cache folder. `key`, 32 bytes or their
    base64, seals what is kept (else AGNO_PORTKEY_CACHE_KEY, if that is set). `embedder` turns
    questions into vectors; left out it is MiniLM, offline. What the store can't do is never an
    error of a call: it is a miss, and the store is left alone for a few seconds.
    """

    def __init__(
        self,
        store: str | Path | Store | None = None,
        *,
        key: str | bytes | None = None,
        embedder: Embeds | None = None,
        max_entries: int = 100_000,
        clock: Callable[[], float] = time.time,
        random: Random | None = None,
    ) -> None:
        known = isinstance(store, str | Path) or store is None
        self.store: Store = (
            opened(address_of(store), key=key, max_entries=max_entries) if known else store  # type: ignore[arg-type,assignment]
        )
        self.clock = clock
        self.flights = Flights()
        self._index = Index(self.store)
        self._embedder = embedder
        self._random = random or Random()  # noqa: S311 - it decides what is asked again
        self._begin()
        self._rests_until, self._trouble = 0.0, ""
        # When each kind of failure was last seen.
        self._seen: dict[str, float] = {}
        # Leases that could not be ended.
        self._unreleased: deque[tuple[str, str]] = deque(maxlen=1_000)

    def _begin(self) -> None:
        self._making, self._teaching = threading.Lock(), threading.Lock()
        # For the first reading of what was learnt, which may take long.
        self._learning = threading.Lock()
        self._trusts: dict[tuple[float, float], tuple[Trust, int]] = {}
        # Last: until then another thread would take a lock of the parent's.
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"Cache({self.store.place})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Cache:
        return self

    # What a call needs; each of these blocks, and none raises: who `hears` is told why not

    @property
    def embedder(self) -> Embeds:
        """What turns questions into vectors; made when it is first needed."""
        self._own()
        with self._making:
            if self._embedder is None:
                from agno_portkey.cache.semantic.embedder import Embedder

                self._embedder = Embedder()
            return self._embedder

    def find(self, key: str, hears: Hears | None = None) -> Entry | None:
        """The answer to exactly this, if there is one that is not too old."""
        return self._trying(lambda: self.store.get(key, self.clock()), None, hears)

    def near(self, asked: Asked, policy: CachePolicy, hears: Hears | None = None) -> Near | None:
        """The kept question that is most like the one asked, and is still there."""
        return self._trying(lambda: self._near(asked, policy), None, hears)

    def _near(self, asked: Asked, policy: CachePolicy) -> Near | None:
        from agno_portkey.cache.semantic.vetoes import vetoes

        [vector] = self.embedder.embed([asked.question])
        found = self._index.nearest(asked.bucket, vector, floor=policy.floor)
        nears = []
        for key, likeness in found:
            entry = self.store.get(key, self.clock())
            if entry is None or entry.bucket != asked.bucket:
                self._index.drop(asked.bucket, key)
                continue
            against = vetoes(asked.question, entry.question)
            learners = "@".join(filter(None, (asked.role, asked.learners)))
            stratum = "/".join((learners, "+".join(against)))
            nears.append(Near(entry, min(likeness, 1.0), against, stratum))
        # One that nothing speaks against goes before a likelier one.
        return min(nears, key=lambda near: (len(near.vetoes), -near.likeness), default=None)

    def serves(self, near: Near, policy: CachePolicy, hears: Hears | None = None) -> bool:
        """Whether `near` may be served now, within the budget of errors.

        What something speaks against is not, whatever was learnt: only a verifier can tell.
        """
        if near.vetoes:
            return False
        draw = self._random.random()

        def decided() -> bool:
            trust = self.trust(policy)
            said = trust.decide(near.stratum, near.entry.key, near.likeness, draw)
            return bool(said == "serve")

        return self._trying(decided, False, hears)

    def keep(self, entry: Entry, asked: Asked, *, since: float, hears: Hears | None = None) -> bool:
        """Keep an answer to what was asked at `since`; whether it was.

        One that was under way while entries were forgotten might be among them, and is not.
        """

        def kept() -> bool:
            held = entry
            if asked.question:
                [vector] = self.embedder.embed([asked.question])
                packed = vector.astype("<f4").tobytes()
                held = replace(entry, embedding=packed, embedder=self.embedder.id)
            self.store.put(held)
            if self._forgotten_since(since):
                self.store.delete([held.key])
                return False
            return True

        return self._trying(kept, False, hears)

    def _forgotten_since(self, at: float) -> bool:
        # Another process's clock may be a little behind.
        return any(noted >= at - _SKEW for noted, *_ in self.store.notes(last=1))

    def learn(
        self, near: Near, same: bool, policy: CachePolicy, hears: Hears | None = None
    ) -> None:
        """Two answers were compared: what is trusted follows from it, in every process."""
        evidence = Evidence(
            near.stratum, near.entry.key, near.likeness, same, self.clock(), policy.max_error
        )
        self._trying(lambda: self.store.learn(evidence), None, hears)

    def trust(self, policy: CachePolicy) -> Trust:
        """How far likeness is trusted, with all that any process has learnt by now."""
        asked = (policy.max_error, policy.sample)
        self._own()
        held = self._trusts.get(asked)
        if held is None:
            with self._learning:
                held = self._trusts.get(asked)
                if held is None:
                    trust = Trust(policy.max_error, sample=policy.sample)
                    self._trusts[asked] = trust, _taught(trust, 0, self.store.evidence(0))
                    return trust
        # Nobody else waits for what the store tells this thread.
        learnt = self.store.evidence(held[1])
        with self._teaching:
            trust, seq = self._trusts.get(asked, held)
            self._trusts[asked] = trust, _taught(trust, seq, learnt)
        return trust

    def lease(self, key: str, owner: str, seconds: float, hears: Hears | None = None) -> bool:
        """Whether `owner` may ask for all processes; it may where that can't be told."""
        if self._unreleased and not self.resting:
            for _ in range(len(self._unreleased)):
                with suppress(IndexError):  # another thread was faster
                    self.release(*self._unreleased.popleft())

        def leased() -> bool:
            return self.store.lease(key, owner, seconds, self.clock())

        return self._trying(leased, True, hears)

    def release(self, key: str, owner: str) -> None:
        """End the lease; where the store is not to be had now, before the next one is asked for."""

        def released() -> bool:
            self.store.release(key, owner)
            return True

        if not self._trying(released, False):
            self._unreleased.append((key, owner))

    def _own(self) -> None:
        if self._process != os.getpid():
            # A thread of the parent may hold a lock, for good, with what it was about half done.
            self._begin()

    def _trying(self, ask: Callable[[], T], otherwise: T, hears: Hears | None = None) -> T:
        why = self._trouble
        if not self.resting:
            try:
                return ask()
            except Exception as error:
                why = failure(error)
                self._failed(why, error)
        if hears is not None:
            hears(why)
        return otherwise

    def _failed(self, why: str, error: Exception) -> None:
        """Leave the store alone, unless another has it at this moment and the next call may not."""
        now = time.monotonic()
        if not is_busy(error):
            self._trouble, self._rests_until = why, now + _REST
        if now - self._seen.get(why, float("-inf")) > _QUIET:
            told = f"{why}; {failure_told(error)}"
            _log.warning("%r could not be used (%s): calls go on without it", self, told)
        self._seen[why] = now
        _log.debug("cache failed", exc_info=error)

    @property
    def resting(self) -> bool:
        """Whether the store has failed and is left alone."""
        return time.monotonic() < self._rests_until

    # What its keeper does; these raise what the store raises

    def forget(self, selection: Selection, *, by: str, dry_run: bool = True) -> list[Entry]:
        """The entries that `selection` names; gone unless it is a dry run, and noted who did it."""
        found = self.store.select(selection, self.clock())
        if not dry_run:
            if not by.strip():
                raise ConfigurationError("by: say who has the entries forgotten")
            self.store.note(self.clock(), by, str(selection), len(found))
            # Noted first: what is put from now on knows of it, and what was before is found here.
            found = self.store.select(selection, self.clock())
            self.store.delete([entry.key for entry in found])
        return found

    def entries(self) -> list[Entry]:
        """All that is kept and has not run out, without questions, answers and embeddings."""
        now = self.clock()
        found = self.store.select(Selection(everything=True), now)
        return [entry for entry in found if entry.expires_at > now]

    def close(self) -> None:
        self.store.close()


def _taught(trust: Trust, seq: int, learnt: list[tuple[int, Evidence]]) -> int:
    """Tell `trust` what is newer than number `seq`; the number of the last of it."""
    last = seq
    for number, evidence in learnt:
        if number > seq:
            # What a process with another clock has learnt, say, is nothing to go by.
            with suppress(ConfigurationError):
                trust.add(evidence)
            last = max(last, number)
    return last


_caches: dict[str, Cache] = {}
_caches_lock = threading.Lock()


def cache_at(store: Cache | str | None) -> Cache:
    """The one `Cache` of this process for an address; it stays, with what it has learnt."""
    if isinstance(store, Cache):
        return store
    address = address_of(store)
    with _caches_lock:
        held = _caches.get(address)
        if held is None:
            # The address may be a wrong one, and this is in the midst of a call.
            held = _caches[address] = Cache(Later(address))  # type: ignore[arg-type]
        return held
