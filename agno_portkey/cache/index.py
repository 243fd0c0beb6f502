"""The questions that are kept, as vectors: which of one bucket are most like another one."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Embeds", "Index"]

# Buckets kept in memory, and vectors in all of them: 384 numbers are 1.5 KB.
_BUCKETS = 512
_VECTORS = 400_000
# What has been added to fewer is never reason to read them anew.
_FEW = 64
# Vectors that are all looked at; of more, so many as look likest in so many dimensions.
_SMALL, _LOOKED_AT, _SKETCH = 4_096, 512, 64


class Embeds(Protocol):
    """What turns texts into vectors of length 1; `id` names it, so that no others' are compared."""

    id: str

    def embed(self, texts: Sequence[str], /) -> np.ndarray[Any, Any]: ...


class _Bucket:
    """The vectors of one bucket, and a sketch of each: its shadow in fewer dimensions."""

    def __init__(self) -> None:
        self.seq = 0
        # What is below is changed and looked at with the one, and read as a whole with the other.
        self.lock, self.reading = threading.Lock(), threading.Lock()
        self.known = False
        # How many there were when it was last read as a whole.
        self.whole = 0
        # What is to take its place, once it has been read.
        self.anew: _Bucket | None = None
        self.free: list[int] = []
        self.keys: list[str] = []
        self.at: dict[str, int] = {}
        self.matrix: Any = None
        self.sketches: Any = None

    def add(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        import numpy as np

        for seq, key, packed in rows:
            self.seq = max(self.seq, seq)
            vector = np.frombuffer(packed, dtype="<f4")
            if self.matrix is None:
                self.matrix = np.zeros((8, len(vector)), dtype=np.float32)
                self.sketches = np.zeros((8, _SKETCH), dtype=np.float32)
            if vector.shape != (self.matrix.shape[1],):
                continue
            place = self.at.get(key)
            if place is None:
                place = self.at[key] = self._place(key)
            self.matrix[place] = vector
            self.sketches[place] = vector @ _shadow(len(vector))

    def _place(self, key: str) -> int:
        if self.free:
            place = self.free.pop()
            self.keys[place] = key
            return place
        self.keys.append(key)
        if len(self.keys) > len(self.matrix):
            self.matrix, self.sketches = _grown(self.matrix), _grown(self.sketches)
        return len(self.keys) - 1

    def drop(self, key: str) -> None:
        """Never find `key` again: until another takes its place, nothing is there."""
        if (place := self.at.pop(key, None)) is not None:
            self.matrix[place] = self.sketches[place] = 0.0
            self.free.append(place)

    @property
    def stale(self) -> bool:
        """Whether so much has been added that most of it may be gone from the store."""
        return len(self.keys) > 2 * max(self.whole, _FEW)

    def nearest(self, vector: Any, floor: float, most: int) -> list[tuple[str, float]]:
        import numpy as np

        if not self.keys:
            return []
        size = len(self.keys)
        if size <= _SMALL:
            places, likeness = np.arange(size), self.matrix[:size] @ vector
        else:
            # All vectors of a large bucket are more memory than can be read in a millisecond.
            rough = self.sketches[:size] @ (vector @ _shadow(len(vector)))
            places = np.argpartition(-rough, _LOOKED_AT - 1)[:_LOOKED_AT]
            likeness = self.matrix[places] @ vector
        found = [
            (self.keys[place], float(like))
            for place, like in zip(places, likeness, strict=True)
            if like >= floor
        ]
        return sorted(found, key=lambda each: -each[1])[:most]


def _grown(rows: Any) -> Any:
    import numpy as np

    grown = np.zeros((2 * len(rows), rows.shape[1]), dtype=np.float32)
    grown[: len(rows)] = rows
    return grown


@cache
def _shadow(dimensions: int) -> Any:
    """A random projection, always the same: likenesses in it are right to about 0.1.

    Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space" (1984).
    """
    import numpy as np

    drawn = np.random.default_rng(1984).standard_normal((dimensions, _SKETCH))
    return (drawn / np.sqrt(_SKETCH)).astype(np.float32)


class Index:
    """Vectors by bucket, read from a store as they come in; thread-safe, begun anew by a fork.

    No thread waits for what the store tells another one, but for the whole of a bucket. What a
    store has forgotten is found until `drop` is called: whoever finds a key asks the store for it.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        # Last: until then another thread would take a lock of the parent's.
        self._process = os.getpid()

    def nearest(
        self, bucket: str, vector: Any, *, floor: float, most: int = 4
    ) -> list[tuple[str, float]]:
        """Keys of `bucket` and how like `vector` they are, the likest first."""
        if self._process != os.getpid():
            # A thread of the parent may have been reading: it holds the lock, for good.
            self._begin()
        held = self._read(bucket)
        with held.lock:
            return held.nearest(vector, floor, most)

    def drop(self, bucket: str, key: str) -> None:
        with self._lock:
            held = self._buckets.get(bucket)
        if held is not None:
            with held.lock:
                held.drop(key)

    def _read(self, bucket: str) -> _Bucket:
        """A bucket with all that the store has of it by now."""
        with self._lock:
            held = self._buckets.get(bucket)
            if held is None:
                held = self._buckets[bucket] = _Bucket()
        if held.known or not self._begun(bucket, held):
            self._add(bucket, held)
        if held.stale and held.reading.acquire(blocking=False):
            try:
                self._renew(bucket, held)
            finally:
                held.reading.release()
        with self._lock:
            held = self._buckets.setdefault(bucket, held)
            self._buckets.move_to_end(bucket)
            self._make_room()
        return held

    def _begun(self, bucket: str, held: _Bucket) -> bool:
        """Read all of a bucket; False where another thread has done so meanwhile."""
        with held.reading:
            if held.known:
                return False
            try:
                self._add(bucket, held)
            except BaseException:
                with self._lock:
                    if self._buckets.get(bucket) is held:
                        del self._buckets[bucket]
                raise
            return True

    def _add(self, bucket: str, held: _Bucket) -> None:
        rows = self._store.since(bucket, held.seq)
        with held.lock:
            # Another thread may have been told more by now.
            held.add([row for row in rows if row[0] > held.seq])
            held.whole = held.whole or len(held.keys)
            held.known = True

    def _renew(self, bucket: str, held: _Bucket) -> None:
        """Put what the store still has of `held` in its place, once all of it is read.

        A store that has little time tells some with each call.
        """
        anew = held.anew = held.anew or _Bucket()
        rows = self._store.since(bucket, anew.seq)
        anew.add(rows)
        if rows and anew.seq < held.seq:
            return
        anew.whole, anew.known = len(anew.keys), True
        with self._lock:
            if self._buckets.get(bucket) is held:
                self._buckets[bucket] = anew

    def _make_room(self) -> None:
        while len(self._buckets) > 1 and (
            len(self._buckets) > _BUCKETS
            or sum(len(each.keys) for each in self._buckets.values()) > _VECTORS
        ):
            self._buckets.popitem(last=False)
