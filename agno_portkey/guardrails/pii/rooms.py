"""Hides and shows what a call of a database is about, each record with the vaults of its owner."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii import marks
from agno_portkey.guardrails.pii.records import is_record, mapped, owner_of
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.vault import FORGOTTEN, Vault
from agno_portkey.guardrails.pii.vaults import Vaults

__all__ = ["ANYBODY", "Find", "Owner", "Rooms", "named"]

Find = Callable[[str], Iterable[Span]]
Owner = tuple[str | None, str | None]
# Of what is read by the names of another program: its placeholders alone tell whose it is.
ANYBODY: Owner = ("", "")
# Arguments that a database looks up, and those that are a row of its own.
_LOOKED_UP = ("self", "id", "expected_status", "framework", "namespace", "subpath")
_ENDS = ("_id", "_ids", "_type", "_key")
_ROWS = ("approval_data", "row", "run")
# Sessions and users of whom is remembered what was read, and how much of each.
_MOST = 10_000
_OF_EACH = 50


def named(arguments: dict[str, Any]) -> Owner:
    """Whose a call is by its arguments."""
    session = arguments.get("agno_session_id") or arguments.get("session_id")
    return session or None, arguments.get("user_id") or None


class Rooms:
    """Hides what is written, and shows what is read.

    It remembers the marks of what was read: the texts go on in this process, into other sessions
    of the user too, and may be written when their own session has been forgotten.
    """

    def __init__(self, vaults: Vaults, find: Find | None) -> None:
        self.vaults = vaults
        self._find = find
        self._in_session, self._by_user = _Marks(), _Marks()

    def hide(self, bound: inspect.BoundArguments, owner: Owner) -> None:
        """Put hidden copies in the place of the arguments."""
        arguments = bound.arguments
        for name, value in arguments.items():
            if name not in _LOOKED_UP and not name.endswith(_ENDS):
                arguments[name] = self._hidden(value, owner, row=name in _ROWS)

    def _hidden(self, value: Any, owner: Owner, *, row: bool = False) -> Any:
        if isinstance(value, list) and any(is_record(item) for item in value):
            owners = _owners(value, owner)
            return [self._hidden(*each) for each in zip(value, owners, strict=True)]
        if row or is_record(value):
            owner = _either(owner_of(value), owner)
        vaults: list[Vault] = []
        read: list[Vault] = []

        def kept(text: str) -> str:
            if not vaults:
                # Only now: much of what is written holds no text at all.
                vaults.extend(self.vaults.all_of(*owner))
                read.extend(self._read_by(owner))
            return self._kept(text, vaults, read)

        return mapped(value, kept, writing=True)

    def _kept(self, text: str, vaults: Sequence[Vault], read: Sequence[Vault]) -> str:
        spans = [*self._find(text)] if self._find is not None else []
        for vault in read:
            spans += (Span(m.start, m.end, m.kind, 1.0) for m in vault.mentions(text))
        vaults[0].learn(text, spans)
        return marks.kept(text, vaults)

    def _read_by(self, owner: Owner) -> list[Vault]:
        """The vaults of what the user has read; raises where the session was forgotten since."""
        session, user = owner
        if session is None:
            return []
        if any(self.vaults.marked(mark) is None for mark in self._in_session.of(session)):
            raise VaultUnavailable(FORGOTTEN)
        found = map(self.vaults.marked, self._by_user.of(user))
        return [vault for vault in found if vault is not None]

    def shown(self, value: Any, owner: Owner) -> Any:
        """The same records with their values."""
        if isinstance(value, list | tuple):
            owners = _owners(value, owner)
            items = [self.shown(*each) for each in zip(value, owners, strict=True)]
            return items if isinstance(value, list) else tuple(items)
        if not isinstance(value, str | dict) and not is_record(value):
            return value
        session, user = owner if owner == ANYBODY else _either(owner_of(value), owner)
        known: dict[str, Vault | None] = {}

        def vault_of(mark: str) -> Vault | None:
            if mark not in known:
                known[mark] = self._opened(mark, session, user)
            return known[mark]

        return mapped(value, lambda text: marks.unkept(text, vault_of), writing=False)

    def _opened(self, mark: str, session: str | None, user: str | None) -> Vault | None:
        if (session, user) == ANYBODY:
            return self.vaults.marked(mark)
        if (vault := self.vaults.by_mark(mark, session, user)) is not None:
            if session is not None:
                self._in_session.add(session, mark)
            self._by_user.add(user, mark)
        return vault

    def read_anew(self, session: str | None) -> None:
        """Forget what was read in a session: it is about to be read again as it is now."""
        self._in_session.drop(session)


class _Marks:
    """Marks by name, the last ones; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str | None, OrderedDict[str, None]] = OrderedDict()

    def of(self, name: str | None) -> list[str]:
        with self._lock:
            return [*self._held.get(name, ())]

    def add(self, name: str | None, mark: str) -> None:
        with self._lock:
            held = self._held.setdefault(name, OrderedDict())
            self._held.move_to_end(name)
            held[mark] = None
            held.move_to_end(mark)
            for full, most in ((held, _OF_EACH), (self._held, _MOST)):
                if len(full) > most:
                    full.popitem(last=False)

    def drop(self, name: str | None) -> None:
        with self._lock:
            self._held.pop(name, None)


def _either(named: Owner, otherwise: Owner) -> Owner:
    """Whose a record is: what it says itself, else what its call says."""
    return named[0] or otherwise[0], named[1] or otherwise[1]


def _owners(records: Sequence[Any], owner: Owner) -> list[Owner]:
    """Whose each is: of the spans of a trace few say it, and the others go with those."""
    if owner != (None, None):
        return [owner] * len(records)
    first: dict[Any, Owner] = {}
    for record in records:
        if (isinstance(record, dict) or is_record(record)) and any(said := owner_of(record)):
            first.setdefault(_trace(record), said)
    return [first.get(_trace(record), owner) for record in records]


def _trace(record: Any) -> Any:
    return record.get("trace_id") if isinstance(record, dict) else getattr(record, "trace_id", None)
