"""`Vaults`: the vault of each session, kept and forgotten; and the keys that it is sealed with."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from agno_portkey.errors import ConfigurationError
from agno_portkey.guardrails.pii import marks
from agno_portkey.guardrails.pii.book import Book, kind_of
from agno_portkey.guardrails.pii.restore import KINDS
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE, Contents, Seal
from agno_portkey.guardrails.pii.shelf import Shelf
from agno_portkey.guardrails.pii.vault import FORGOTTEN, Vault
from agno_portkey.guardrails.pii.vault_store import MemoryStore, Row, VaultUnavailable, store_of

__all__ = ["Vaults"]

Key = tuple[str, str]
_CALLS = 1_000
# Of a user without a session: what is stored for one holds values of few sessions.
_OF_USER = 50
# Where nothing expires, `used` is for the order alone.
_TOUCH = 3_600.0


class Vaults:
    """The vaults of all sessions, which one process or several share.

    `database`: where they are kept, sealed: an address, a SQLite file, an Agno database on SQL, or
    a `Store`; without one they live in this process, `most` of them. `keys`: Fernet keys, the
    first of which seals and all of which open; else those of `AGNO_PORTKEY_VAULT_KEYS`.
    `lifetime`: seconds since its last use after which a vault is forgotten. `types`: entity types
    beyond Presidio's whose placeholders are known without angle brackets too.

    A store that fails, gives no answer within `timeout` seconds, or gives what it was not given,
    raises VaultUnavailable wherever values would be hidden, shown or stored.
    """

    def __init__(
        self,
        database: Any = None,
        *,
        keys: Sequence[str | bytes] | None = None,
        lifetime: float | None = None,
        most: int = 10_000,
        timeout: float = 2.0,
        types: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("lifetime", lifetime), ("most", most), ("timeout", timeout)):
            if value is not None and (isinstance(value, bool) or not 0 < value < float("inf")):
                raise ConfigurationError(f"{name}: a number above 0, not {value!r}")
        store = store_of(database, seconds=timeout, most=most)
        seal = Seal(None if isinstance(store, MemoryStore) else _keys(keys))
        self._shelf = Shelf(store, seal, timeout)
        self._lifetime, self._most = lifetime, most
        self._kinds = KINDS | {kind_of(type) for type in types}
        self._clock = clock
        self._open: OrderedDict[Key, Vault] = OrderedDict()
        self._calls: OrderedDict[str, Vault] = OrderedDict()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Vaults({self._shelf.place!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Vaults:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("Vaults stay in their process: make them from the database there")

    # Which vault

    def of(self, session_id: str | None, user_id: str | None = None) -> Vault:
        """The vault of a session of a user, or of the user alone, as it is now; blocks."""
        return self._of((_digest("session", session_id), user_key(user_id)))

    def of_call(self, call: str) -> Vault:
        """The vault of one call that has no session; it lives in this process."""
        if not call:
            # All that name none would share one.
            raise VaultUnavailable("whose values they are is not told: neither session nor call")
        with self._locked():
            vault = self._calls.get(call) or Vault(kinds=self._kinds)
            self._calls[call] = vault
            self._calls.move_to_end(call)
            while len(self._calls) > _CALLS:
                self._calls.popitem(last=False)
            return vault

    def end_call(self, call: str) -> None:
        """Forget what the call `call` has hidden."""
        with self._locked():
            self._calls.pop(call, None)

    def of_user(self, user_id: str | None) -> list[Vault]:
        """The user's own vault, and those of the sessions the user had last; blocks."""
        own = _digest("session", None), user_key(user_id)
        keys = [contents.key for contents in self._shelf.of_user(own[1], _OF_USER)]
        return [self._of(key) for key in dict.fromkeys([own, *keys])]

    def by_mark(self, mark: str, session_id: str | None, user_id: str | None) -> Vault | None:
        """The vault that stored placeholders name; None where it is not theirs who ask; blocks.

        With a session, only its own is: the user's, or from before it was anybody's.
        """
        contents = self._shelf.by_mark(mark)
        if contents is None or self._is_over(contents):
            return None
        session, user = contents.key
        users = {user_key(user_id)} if session_id is None else {user_key(user_id), user_key(None)}
        if user not in users or (session_id and session != _digest("session", session_id)):
            return None
        return self._of((session, user))

    def _of(self, key: Key) -> Vault:
        vault = self._known(key)
        mark, version = vault.seen if vault else (None, 0)
        kept = self._shelf.get(key)
        if kept is not None and self._is_over(kept):
            self._shelf.drop(mark=kept.mark)
            kept = None
        with self._locked():
            if vault is not None and mark is not None and (kept is None or kept.mark != mark):
                vault.forget()
                self._open.pop(key, None)
            vault = self._open.get(key) or Vault(
                keeper=_Keeper(self, self._shelf, key, self._clock), kinds=self._kinds
            )
            self._open[key] = vault
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        if kept is not None:
            if kept.mark == mark and kept.version < version:
                raise self._shelf.lie("an earlier version than it had before")
            if (kept.mark, kept.version) != (mark, version):
                vault.renew(kept.mark, kept.book(), kept.version)
            self._touch(kept)
        return vault

    def _known(self, key: Key) -> Vault | None:
        with self._locked():
            if (vault := self._open.get(key)) is not None:
                self._open.move_to_end(key)
            return vault

    # How long

    def forget(self, session_id: str) -> int:
        """Forget what a session has hidden: its stored placeholders can't be restored by anybody.

        Returns how many vaults there were; blocks.
        """
        digest = _digest("session", session_id)
        return self._drop(0, digest, self._shelf.drop(session=digest))

    def forget_user(self, user_id: str | None) -> int:
        """The same for all sessions of a user."""
        digest = user_key(user_id)
        return self._drop(1, digest, self._shelf.drop(user=digest))

    def _drop(self, which: int, digest: str, gone: int) -> int:
        with self._locked():
            for key in [key for key in self._open if key[which] == digest]:
                self._open.pop(key).forget()
        return gone

    def expire(self) -> int:
        """Delete every vault whose lifetime is over; returns how many there were; blocks.

        One that is over is never opened. New vaults bring this about as well.
        """
        if self._lifetime is None:
            return 0
        return self._shelf.drop(unused_since=int(self._clock() - self._lifetime))

    def _is_over(self, kept: Contents) -> bool:
        return self._lifetime is not None and kept.used < int(self._clock() - self._lifetime)

    def _touch(self, kept: Contents) -> None:
        now = self._clock()
        if now - kept.used >= min(_TOUCH, (self._lifetime or _TOUCH) / 10):
            self._shelf.touch(kept.mark, int(now))

    def rotate(self) -> int:
        """Seal every vault with the first key; returns how many there are; blocks.

        Then the older keys can be taken away.
        """
        return self._shelf.rotate()

    def _locked(self) -> threading.RLock:
        if os.getpid() != self._pid:
            self._begin_anew()
        return self._lock


class _Keeper:
    """Keeps one vault among the others."""

    def __init__(self, vaults: Vaults, shelf: Shelf, key: Key, clock: Callable[[], float]) -> None:
        self._vaults, self._shelf, self._key, self._clock = vaults, shelf, key, clock

    def save(self, mark: str | None, entries: list[list[object]], version: int) -> str | None:
        mark = mark or marks.new()
        if version == 0:
            self._vaults.expire()
        row = Row(*self._key, mark, version + 1, int(self._clock()), "")
        return mark if self._shelf.save(row, entries) else None

    def load(self, mark: str | None) -> tuple[str, Book, int]:
        contents = self._shelf.get(self._key)
        if contents is None or mark not in (None, contents.mark):
            raise VaultUnavailable(FORGOTTEN)
        return contents.mark, contents.book(), contents.version


def user_key(user_id: str | None) -> str:
    """The digest of a user; the host's memories are of `default` where there is none."""
    return _digest("user", user_id or "default")


def _digest(what: str, name: str | None) -> str:
    return hashlib.sha256(f"{what}:{name or ''}".encode(errors="surrogatepass")).hexdigest()


def _keys(given: Sequence[str | bytes] | None) -> Sequence[str | bytes]:
    if given is None:
        given = [key for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    if isinstance(given, str | bytes) or not given:
        raise ConfigurationError(
            f"keys: vaults are kept sealed; give keys=[...] or set {KEYS_VARIABLE} (commas between "
            "keys). A new one: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'"
        )
    return given
