"""What is remembered of the comparisons of one stratum."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

__all__ = ["BINS", "COUNTED", "Comparisons", "Record", "bin_of"]

# Bins of likeness, each 0.02 wide.
BINS = 50
# Errors of one entry that count among all: one is asked of the more, the more it is liked.
COUNTED = 3


def bin_of(likeness: float) -> int:
    """The bin that a likeness of 0 to 1 falls into."""
    return min(int(likeness * BINS), BINS - 1)


# When, of which entry, how like, and whether the answers were the same.
Item = tuple[float, str, float, bool]


@dataclass(slots=True)
class Record:
    """An entry that was wrong: since when, how often, up to which likeness, and right since.

    `counted` are its errors that count among those of all entries, oldest first.
    """

    first: float
    last: float
    floor: float
    wrong: int = 0
    right: int = 0
    counted: list[Item] = field(default_factory=list, compare=False)


class Comparisons:
    """The latest `window` comparisons of each bin, and the latest `entries` that were wrong.

    An entry counts among the first until it is wrong, and with its first `COUNTED` errors; it has a
    record from then on. So `right` and `wrong`, which count by bin, tell of entries of which no
    error is known, and of how soon one is wrong again. One whose record is dropped is such an entry
    again. But for what the limits drop, the order in which comparisons are added does not matter:
    their times do.
    """

    def __init__(self, window: int, entries: int) -> None:
        self._window, self._entries = window, entries
        self._items: list[list[Item]] = [[] for _ in range(BINS)]
        self._records: dict[str, Record] = {}
        self.right, self.wrong = [0] * BINS, [0] * BINS
        self.latest = float("-inf")

    def __len__(self) -> int:
        return sum(map(len, self._items))

    def record(self, entry: str) -> Record | None:
        """The record of an entry, if it is known to have been wrong."""
        return self._records.get(entry)

    def add(self, at: float, entry: str, likeness: float, same: bool) -> None:
        """Remember a comparison; one of an entry without a record is the same if told again."""
        record, item = self._records.get(entry), (at, entry, likeness, same)
        if not same:
            if not self._blame(item):
                return
        elif record is not None and at > record.first:
            record.right += 1
        elif not self._count(item):
            return
        self.latest = max(self.latest, at)

    def recent(self, most: int, lowest: int) -> list[bool]:
        """Of the latest comparisons in bins from `lowest` on, oldest first, which were right."""
        tails = [item for items in self._items[lowest:] for item in items[-most:]]
        if all(item[3] for item in tails):
            return [True] * min(most, len(tails))
        return [item[3] for item in sorted(tails)[-most:]]

    def _count(self, item: Item) -> bool:
        place = bin_of(item[2])
        items = self._items[place]
        index = bisect_left(items, item)
        if items[index : index + 1] == [item]:
            return False
        items.insert(index, item)
        self._tally(item, 1)
        if len(items) > self._window:
            self._tally(items.pop(0), -1)
        return True

    def _tally(self, item: Item, by: int) -> None:
        (self.right if item[3] else self.wrong)[bin_of(item[2])] += by

    def _blame(self, item: Item) -> bool:
        """Hold an error against its entry; False where it is told again."""
        at, entry, likeness, _ = item
        record = self._records.get(entry)
        if record is None:
            if not self._count(item):
                return False
            record = self._records[entry] = Record(at, at, likeness, counted=[item])
            record.right = self._uncount(entry, at) if at < self.latest else 0
        elif item in record.counted:
            return False
        else:
            if at < record.first:
                record.first = at
                record.right += self._uncount(entry, at)
            self._count_first(record, item)
        record.last, record.floor = max(record.last, at), max(record.floor, likeness)
        record.wrong += 1
        if len(self._records) > self._entries:
            del self._records[min(self._records, key=self._last)]
        return True

    def _count_first(self, record: Record, item: Item) -> None:
        """Count an error if it is one of the first of its entry, in place of a later one."""
        insort(record.counted, item)
        last = record.counted.pop() if len(record.counted) > COUNTED else None
        if last != item:
            self._count(item)
        if last is not None and last != item:
            self._drop(last)

    def _drop(self, item: Item) -> None:
        items = self._items[bin_of(item[2])]
        # The window may have dropped it before.
        if item in items:
            items.remove(item)
            self._tally(item, -1)

    def _last(self, entry: str) -> tuple[float, str]:
        return self._records[entry].last, entry

    def _uncount(self, entry: str, after: float) -> int:
        """Forget what was right of an entry after its first error; how much that is."""
        right = 0
        for items in self._items:
            for item in [
                each for each in items if each[1] == entry and each[3] and each[0] > after
            ]:
                items.remove(item)
                self._tally(item, -1)
                right += 1
        return right
