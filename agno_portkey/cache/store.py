"""Where a cache keeps its answers: what every store can do, and the one at an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from os import PathLike, fspath
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from agno_portkey.cache.entry import Entry, Evidence, Selection
from agno_portkey.cache.sealing import Seal
from agno_portkey.cache.sqlite_file import MEMORY, place_of
from agno_portkey.errors import ConfigurationError

__all__ = ["KEPT", "NO_REDIS", "Store", "resolved", "store_at", "totals"]

# How much a store keeps of what was learnt, and of what was noted.
KEPT = 100_000
_GIGABYTE = 1 << 30
_REDIS = ("redis", "rediss", "unix")
NO_REDIS = "cache: an address of the form redis://[user:password@]host:port/database is needed"


@runtime_checkable
class Store(Protocol):
    """Answers, what was learnt of them, and who asks what; shared by threads and processes.

    Each method blocks, for no longer than the store was told to wait, and raises whatever keeps it
    from answering. `place` is for messages, and holds no password. `now` is in epoch seconds.
    """

    place: str

    def get(self, key: str, now: float) -> Entry | None:
        """The entry that has not expired; it counts as used.

        One that was changed, or sealed with another key, is not there, and is deleted.
        """
        ...

    def put(self, entry: Entry) -> None:
        """Keep `entry` in place of the one before it, and drop what was used least lately."""
        ...

    def since(self, bucket: str, seq: int) -> list[tuple[int, str, bytes]]:
        """Number, key and embedding of what was put into `bucket` after number `seq`, in order.

        Entries without an embedding are left out; the number of one that is put again is new. Of
        many it may be the first only: whoever asks after the last of them is told the rest.
        """
        ...

    def delete(self, keys: Iterable[str]) -> int:
        """Delete entries; how many there were."""
        ...

    def select(self, selection: Selection, now: float) -> list[Entry]:
        """What is kept and selected, expired or not, without question, answer and embedding.

        Those may be sealed; who has entries forgotten need not have the key. One that can't be
        read is there with what is known of it, so that it can be deleted.
        """
        ...

    def learn(self, evidence: Evidence) -> None: ...

    def evidence(self, seq: int) -> list[tuple[int, Evidence]]:
        """What was learnt after number `seq`, in order; of old, only so much is kept."""
        ...

    def lease(self, key: str, owner: str, seconds: float, now: float) -> bool:
        """Whether `owner` alone may ask for `key`, for so long or until it releases it."""
        ...

    def release(self, key: str, owner: str) -> None:
        """End the lease, if it is the owner's."""
        ...

    def note(self, at: float, by: str, what: str, count: int) -> None:
        """Keep who had entries forgotten, when, which, and how many."""
        ...

    def notes(self, *, last: int | None = None) -> list[tuple[float, str, str, int]]:
        """What was noted, in order; only so much of it, the latest, where `last` says so."""
        ...

    def figures(self, now: float) -> list[tuple[str, str, int, int]]:
        """Kind of scope, role, entries and bytes of what has not expired, in alphabetical order."""
        ...

    def close(self) -> None:
        """Close the connections; they are opened again when needed."""
        ...


def store_at(
    address: str | PathLike[str],
    *,
    key: str | bytes | None = None,
    max_entries: int = 100_000,
    max_bytes: int = _GIGABYTE,
) -> Store:
    """The store at a path, `sqlite:///path`, `:memory:` or `redis://host:port/database`.

    With `key` its answers are sealed. `max_bytes` is for SQLite; Redis has a `maxmemory` of its
    own. Raises ConfigurationError where no answers can be kept there, and MissingExtraError.
    """
    text = resolved(fspath(address))
    seal = None if key is None else Seal(key)
    if _scheme(text) in _REDIS:
        from agno_portkey.cache.redis_store import RedisStore

        return RedisStore(text, max_entries=max_entries, seal=seal)
    from agno_portkey.cache.sqlite_store import SqliteStore

    return SqliteStore(text, max_entries=max_entries, max_bytes=max_bytes, seal=seal)


def resolved(address: str) -> str:
    """The address of a Redis, or the absolute path of a file; nothing is opened or looked for.

    Raises ConfigurationError for what can be no address, and repeats no password.
    """
    scheme = _scheme(address)
    if scheme is None:
        return place_of(address)
    if scheme == "sqlite":
        if "?" in address:
            raise ConfigurationError(
                "cache: sqlite:///path takes no options; leave out what is after ?"
            )
        return place_of(address[len("sqlite://") :].removeprefix("/") or MEMORY)
    if scheme not in _REDIS:
        # The rest of it may hold a password.
        raise ConfigurationError(
            f"cache: {scheme}:// keeps no answers; give a path, sqlite:///path or redis://host:port"
        )
    try:
        # Asking for the port reads it.
        urlsplit(address).port  # noqa: B018
    except ValueError:
        raise ConfigurationError(NO_REDIS) from None
    return address


def _scheme(address: str) -> str | None:
    return address.partition("://")[0].lower() if "://" in address else None


def totals(rows: Iterable[tuple[str, str, int, int]]) -> list[tuple[str, str, int, int]]:
    """What a store's figures are, of those of its scopes and roles."""
    entries: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for scope, role, count, size in rows:
        named = scope.partition(":")[0], role
        entries[named] += count
        sizes[named] += size
    return [(*named, entries[named], sizes[named]) for named in sorted(entries)]
