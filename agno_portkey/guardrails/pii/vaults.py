"""`Vaults`: the vault of each session, kept and forgotten; and the keys that it is sealed with."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from agno_portkey.errors import ConfigurationError, VaultUnavailable
from agno_portkey.guardrails.pii import marks
from agno_portkey.guardrails.pii.book import Book, kind_of
from agno_portkey.guardrails.pii.restore import KINDS
from agno_portkey.guardrails.pii.sealing import KEYS_VARIABLE, Contents, Seal
from agno_portkey.guardrails.pii.session import NamesOfSessions
from agno_portkey.guardrails.pii.shelf import Shelf
from agno_portkey.guardrails.pii.vault import FORGOTTEN, Vault
from agno_portkey.guardrails.pii.vault_store import MemoryStore, Row, store_of

__all__ = ["Vaults"]

Key = tuple[str, str]
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
            if not (value is None and name == "lifetime") and not _is_positive(value):
                raise ConfigurationError(f"{name}: a number above 0, not {value!r}")
        if isinstance(types, str) or not all(isinstance(one, str) and one for one in types):
            raise ConfigurationError(f"types: a list of entity types, not {types!r}")
        if database is None and keys is not None:
            raise ConfigurationError(
                "keys: without a database nothing is kept that they would seal"
            )
        store = store_of(database, seconds=timeout, most=most)
        seal = Seal(None if isinstance(store, MemoryStore) else _keys(keys))
        self._shelf = Shelf(store, seal, timeout)
        self._lifetime, self._most = lifetime, most
        self._kinds = KINDS | {kind_of(type) for type in types}
        self._clock = clock
        self._open: OrderedDict[Key, Vault] = OrderedDict()
        # For logs: they can't wait for a vault.
        self.names = NamesOfSessions()
        self.in_process = isinstance(store, MemoryStore)
        self._told = False
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

    def warn_of_loss(self, database: str) -> None:
        """Log, once, that nobody can restore what `database` holds when this process has ended."""
        if self.in_process and not self._told:
            self._told = True
            logging.getLogger("agno_portkey").warning(
                "The values behind placeholders are kept in this process only. After a restart "
                "nobody can tell whom <PERSON_1> means in what %s holds (sessions, memories). To "
                'keep them: PIIGuardrail("pseudonymize", vaults=Vaults(database=..., '
                "keys=[...])), or in a policy pii: {mode: pseudonymize, vaults: <address>} with "
                "keys in %s",
                database,
                KEYS_VARIABLE,
            )

    def for_call(self) -> Vault:
        """The vault of one call that has no session: it is kept nowhere, and goes with the call."""
        return Vault(kinds=self._kinds)

    def all_of(self, session_id: str | None, user_id: str | None = None) -> list[Vault]:
        """Those that may know a value of what belongs to a session, or to a user alone; blocks.

        Of a session: those of the user and of nobody, or, where no user is told, of all its users.
        Of a user: the user's own, and those of the sessions the user had last. Their own is first.
        """
        own = _digest("session", session_id), user_key(user_id)
        if session_id is None:
            kept = self._shelf.rows(user=own[1], limit=_OF_USER)
        elif user_id is None:
            kept = self._shelf.rows(session=own[0], limit=_OF_USER)
        else:
            return [self._of(own), self._of((own[0], user_key(None)))]
        return [self._of(key) for key in dict.fromkeys([own, *(each.key for each in kept)])]

    def by_mark(self, mark: str, session_id: str | None, user_id: str | None) -> Vault | None:
        """The vault that stored placeholders name; None where it is not theirs who ask; blocks.

        A session opens its own: those of the user, if one is told, and of before it was anybody's.
        A user without a session opens all of the user's; and anybody, what belongs to nobody.
        """
        if (contents := self._marked(mark)) is None:
            return None
        (session, user), nobody = contents.key, (_digest("session", None), user_key(None))
        if session_id is None:
            theirs = user == user_key(user_id)
        else:
            theirs = session == _digest("session", session_id)
            theirs = theirs and (user_id is None or user in (user_key(user_id), nobody[1]))
        return self._of(contents.key) if theirs or contents.key == nobody else None

    def marked(self, mark: str) -> Vault | None:
        """The vault of a mark, whosever it is; None where there is none; blocks."""
        contents = self._marked(mark)
        return None if contents is None else self._of(contents.key)

    def _marked(self, mark: str) -> Contents | None:
        contents = self._shelf.by_mark(mark)
        return None if contents is None or self._is_over(contents) else contents

    def hand_over(self, session_id: str, user_id: str | None, to: str | None) -> bool:
        """Make what a session of one user has hidden another's; whether there was any; blocks."""
        key = _digest("session", session_id), user_key(user_id)
        contents = None if user_key(to) == key[1] else self._shelf.get(key)
        if contents is None:
            return False
        if not self._shelf.hand_over(contents, (key[0], user_key(to))):
            raise VaultUnavailable(
                "a session can't be handed over while it is in use, or where the other user has "
                "hidden values in it: forget one of them"
            )
        with self._locked():
            vault = self._open.pop(key, None)
        if vault is not None:
            vault.forget()
        return True

    def _of(self, key: Key) -> Vault:
        vault = self._known(key)
        mark, version = vault.seen if vault else (None, 0)
        kept = self._shelf.get(key)
        if kept is not None and self._is_over(kept):
            self._shelf.drop(mark=kept.mark)
            kept = None
        if vault is not None and mark is not None and (kept is None or kept.mark != mark):
            # Not with the lock of all: one that is kept at this moment is waited for.
            vault.forget()
            with self._locked():
                if self._open.get(key) is vault:
                    del self._open[key]
        with self._locked():
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
        self.names.forget(session_id=session_id)
        digest = _digest("session", session_id)
        return self._drop(0, digest, self._shelf.drop(session=digest))

    def forget_user(self, user_id: str | None) -> int:
        """The same for all sessions of a user."""
        self.names.forget(user_id=user_id)
        digest = user_key(user_id)
        return self._drop(1, digest, self._shelf.drop(user=digest))

    def _drop(self, which: int, digest: str, gone: int) -> int:
        with self._locked():
            vaults = [self._open.pop(key) for key in [*self._open] if key[which] == digest]
        for vault in vaults:
            vault.forget()
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


def _is_positive(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < float("inf")  # type: ignore[operator]


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
