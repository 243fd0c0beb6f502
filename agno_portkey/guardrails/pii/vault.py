"""`Vault`: the values that one session has hidden from its provider and its database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from agno_portkey.errors import VaultUnavailable
from agno_portkey.guardrails.pii import marks, restore
from agno_portkey.guardrails.pii.book import Book, Mention, kind_of
from agno_portkey.guardrails.pii.restore import KINDS, LITERAL, Restorer
from agno_portkey.guardrails.pii.spans import Span

__all__ = ["FORGOTTEN", "Keeper", "Vault"]

T = TypeVar("T")
FORGOTTEN = "the session was forgotten while its vault was in use: begin the run anew"
_TRIES = 20


class Keeper(Protocol):
    """Who keeps a vault beyond this process; each method blocks, and raises VaultUnavailable."""

    def save(self, mark: str | None, entries: list[list[object]], version: int) -> str | None:
        """Keep `entries` as the version after `version`, and return the mark.

        None where somebody else has written that one already.
        """
        ...

    def load(self, mark: str | None) -> tuple[str, Book, int]:
        """The mark, values and version that are kept now."""
        ...


class Vault:
    """Hides values behind `<PERSON_1>`, and shows them again; thread-safe.

    Nothing is hidden before it is kept: where that fails, `hide` raises VaultUnavailable, and so
    does every use after the session was forgotten.
    """

    def __init__(self, *, keeper: Keeper | None = None, kinds: Collection[str] = KINDS) -> None:
        self._keeper = keeper
        self._kinds = kinds
        self._lock = threading.RLock()
        self._book = Book()
        self._committed: list[list[object]] = []
        self._mark: str | None = None if keeper else marks.new()
        self._version = 0
        self._forgotten = False

    def __repr__(self) -> str:
        return f"Vault({len(self._book.meanings)} values)"

    def __deepcopy__(self, memo: dict[int, Any]) -> Vault:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Vault stays in its process: ask Vaults for it there")

    @property
    def seen(self) -> tuple[str | None, int]:
        """The mark that its placeholders bear at rest, none before there are any; its version."""
        with self._lock:
            return self._mark, self._version

    # Towards the provider

    def hide(self, text: str, spans: Iterable[Span] = ()) -> str:
        """`text` with placeholders for `spans`, for known values, and for what looks like one.

        What overlaps is hidden as one value. Blocks where a value is new, and the vault is kept.
        """
        found = [_checked(span, text) for span in spans]
        return self._change(lambda book: self._hidden(book, text, found))

    def _hidden(self, book: Book, text: str, found: Sequence[tuple[int, int, str]]) -> str:
        known = {(m.start, m.end): m for m in book.mentions(text, within=False)}
        stretches = [*found, *((m.start, m.end, m.kind) for m in known.values())]
        hidden: list[str] = []
        at = 0
        whole = set()
        for start, end, kind in marks.joined(stretches):
            whole.add((start, end))
            hidden.append(self._literal(book, text[at:start]))
            # A known value keeps its number, whatever type it is taken for this time.
            kind, number, _ = _entered(book, kind, text[start:end], known.get((start, end)))
            hidden.append(f"<{kind}_{number}>")
            at = end
        for start, end, kind in found:
            if (start, end) not in whole:
                # One that was hidden with its neighbour may stand alone another time.
                book.number(kind, text[start:end])
        return "".join((*hidden, self._literal(book, text[at:])))

    def _literal(self, book: Book, text: str) -> str:
        """`text` with what looks like a placeholder behind one: so it opens nothing."""
        hidden: list[str] = []
        at = 0
        for start, end in restore.look_alikes(text, self._kinds):
            number = book.number(LITERAL, text[start:end])
            hidden += (text[at:start], f"<{LITERAL}_{number}>")
            at = end
        return "".join((*hidden, text[at:]))

    def show(self, text: str) -> str:
        """`text` with the values in place of their placeholders, in any form a model gives them."""
        return restore.restored(text, self._open_book().meanings, self._kinds)

    def restorer(self) -> Restorer:
        """The same for a text that is streamed."""
        with self._lock:
            return Restorer(self._open_book().meanings, self._kinds)

    # Towards the database

    def keep(self, text: str) -> str:
        """`text` as it may be stored: with marked placeholders for every known value."""
        return marks.kept(text, [self])

    def restore(self, text: str) -> str:
        """The inverse of `keep`; what another vault has kept stays as it is."""
        return marks.unkept(text, lambda mark: self if mark == self.seen[0] else None)

    def learn(self, text: str, spans: Iterable[Span]) -> None:
        """Know the values of `spans` from now on."""
        found = [_checked(span, text) for span in spans]
        if found:
            self._change(lambda book: [book.number(k, text[a:b]) for a, b, k in found])

    def mentions(self, text: str) -> list[Mention]:
        """Where known values stand in `text`, inside of words too."""
        with self._lock:
            return [*self._open_book().mentions(text, within=True)]

    def placeholder(self, kind: str, spelling: str, known: Mention | None = None) -> str:
        """What is stored in place of `spelling`, one of `known`; blocks where that is new."""
        exact = self._open_book().exactly(spelling)
        if exact is None:
            exact = self._change(lambda book: _entered(book, kind, spelling, known))
        return marks.placeholder(self.seen[0] or "", *exact)

    def spelling(self, kind: str, number: int, which: int) -> str | None:
        """The spelling that a stored placeholder means."""
        known = self._open_book().spellings.get((kind, number), ())
        return known[which] if which < len(known) else None

    # How it is kept

    def _open_book(self) -> Book:
        if self._forgotten:
            raise VaultUnavailable(FORGOTTEN)
        return self._book

    def _change(self, work: Callable[[Book], T]) -> T:
        """What `work` makes of the values; those it adds are kept before anybody has them."""
        with self._lock:
            for _ in range(_TRIES):
                book = self._open_book()
                before = book.size
                try:
                    result = work(book)
                    if book.size == before or self._is_saved(book):
                        return result
                except BaseException:
                    self._book = Book(self._committed)
                    raise
        raise VaultUnavailable("too many write to the vault of this session at once: try again")

    def _is_saved(self, book: Book) -> bool:
        """Whether the values are kept now; else they are what somebody else has kept meanwhile."""
        entries = book.dump()
        if (keeper := self._keeper) is not None:
            mark = keeper.save(self._mark, entries, self._version)
            if mark is None:
                self._book = Book(self._committed)
                self.renew(*keeper.load(self._mark))
                return False
            self._mark = mark
        self._committed, self._version = entries, self._version + 1
        return True

    def renew(self, mark: str, book: Book, version: int) -> None:
        """Take over what somebody else has added."""
        with self._lock:
            if mark == self._mark and version <= self._version:
                return
            self._mark, self._book, self._version = mark, book, version
            self._committed = book.dump()

    def forget(self) -> None:
        """Hold no value any more; every use from now on raises VaultUnavailable."""
        with self._lock:
            self._forgotten = True
            self._book, self._committed = Book(), []


def _entered(book: Book, kind: str, said: str, known: Mention | None) -> tuple[str, int, int]:
    """The type, number and spelling of `said`: those of `known`, where that is given."""
    kind, number = (known.kind, known.number) if known else (kind, book.number(kind, said))
    return kind, number, book.spelled(kind, number, said)


def _checked(span: Span, text: str) -> tuple[int, int, str]:
    if not 0 <= span.start < span.end <= len(text):
        raise ValueError(f"a span of {span.type} that is not in its text ({len(text)} characters)")
    kind = kind_of(span.type)
    return span.start, span.end, "VALUE" if kind == LITERAL else kind
