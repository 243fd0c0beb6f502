"""What one session has hidden: its values, their types and numbers, and how each was spelled."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from agno_portkey.guardrails.pii.restore import LITERAL, LONGEST_KIND, MOST

__all__ = ["Book", "Mention", "kind_of"]

_NO_NAME = re.compile(r"[^A-Z0-9_]+")
# From here on a value is hidden at rest inside of words as well.
_WITHIN = 4
# Scripts that put no space between words begin here.
_UNSPACED = 0x2E80


@dataclass(frozen=True, slots=True)
class Mention:
    """A known value in a text: where, and which one it is."""

    start: int
    end: int
    kind: str
    number: int


class Book:
    """Values by type and number. Nothing is ever taken out or changed; not thread-safe."""

    def __init__(self, entries: list[list[object]] | None = None) -> None:
        # The first spelling of each is what is shown.
        self.meanings: dict[tuple[str, int], str] = {}
        self.spellings: dict[tuple[str, int], list[str]] = {}
        # Counts what was added.
        self.size = 0
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = {}
        self._exact: dict[str, tuple[str, int, int]] = {}
        self._needles: dict[str, tuple[str, int]] = {}
        for entry in entries or ():
            self._load(entry)

    def __repr__(self) -> str:
        return f"Book({len(self.meanings)} values)"

    def dump(self) -> list[list[object]]:
        """All of it as plain data; raises nothing, and holds the values."""
        return [[kind, *spelled] for (kind, _), spelled in self.spellings.items()]

    def _load(self, entry: list[object]) -> None:
        kind, *spelled = [part for part in entry if isinstance(part, str)]
        if len(spelled) != len(entry) - 1 or not spelled or kind_of(kind) != kind:
            raise ValueError("an entry that is none")
        number = self.number(kind, spelled[0])
        for spelling in spelled[1:]:
            self.spelled(kind, number, spelling)
        if self.spellings[kind, number] != spelled:
            raise ValueError("an entry that stands there twice")

    def number(self, kind: str, value: str) -> int:
        """The number of `value`, a new one if it has none."""
        key = (kind, value if kind == LITERAL else _folded(value))
        number = self._numbers.get(key)
        if number is None:
            number = self._last.get(kind, 0) + 1
            if number > MOST:
                raise OverflowError(f"more than {MOST} values of type {kind} in one session")
            self._last[kind] = self._numbers[key] = number
            self.meanings[kind, number] = value
            self.spellings[kind, number] = []
        self.spelled(kind, number, value)
        return number

    def spelled(self, kind: str, number: int, spelling: str) -> int:
        """Which spelling of the value this is, counted from 0; a new one if it is none yet."""
        known = self.spellings[kind, number]
        if spelling in known:
            return known.index(spelling)
        if len(known) > MOST:
            raise OverflowError(f"more than {MOST} spellings of one value in one session")
        known.append(spelling)
        self.size += 1
        self._exact.setdefault(spelling, (kind, number, len(known) - 1))
        if kind != LITERAL and any(map(str.isalnum, spelling)):
            for form in _written(spelling):
                self._needles.setdefault(form, (kind, number))
        return len(known) - 1

    def exactly(self, text: str) -> tuple[str, int, int] | None:
        """The type, number and spelling of a text that is just one known spelling."""
        return self._exact.get(text)

    def mentions(self, text: str, *, within: bool) -> Iterator[Mention]:
        """Where known values stand in `text`, in any case; they may overlap.

        They are words of their own, of two characters at least; with `within`, longer ones are
        found inside of words too, and short ones count.
        """
        folded = _plain(text)
        for needle, (kind, number) in self._needles.items():
            if needle not in folded or not (within or len(needle) > 1):
                continue
            size, at = len(needle), folded.find(needle)
            anywhere = within and size >= _WITHIN
            while at >= 0:
                if anywhere or _is_word(text, at, at + size):
                    yield Mention(at, at + size, kind, number)
                at = folded.find(needle, at + 1)


def kind_of(type: str) -> str:
    """The name in placeholders of an entity type: capitals, digits and underscores."""
    kind = _NO_NAME.sub("_", type.upper())[:LONGEST_KIND]
    return kind if kind[:1].isalpha() else "VALUE"


def _folded(value: str) -> str:
    return unicodedata.normalize("NFC", value).casefold()


def _plain(text: str) -> str:
    """`text` in one case, of the same length."""
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(c if len(f := c.casefold()) > 1 else f for c in text)


def _written(spelling: str) -> set[str]:
    """How a spelling may stand in a text: in either normal form, and escaped as in JSON."""
    forms = {spelling, *(unicodedata.normalize(form, spelling) for form in ("NFC", "NFD"))}
    escaped = {
        json.dumps(form, ensure_ascii=plain)[1:-1] for form in forms for plain in (False, True)
    }
    return {_plain(form) for form in forms | escaped}


def _is_word(text: str, start: int, end: int) -> bool:
    return not (
        (start and _joins(text[start - 1]) and _joins(text[start]))
        or (end < len(text) and _joins(text[end]) and _joins(text[end - 1]))
    )


def _joins(character: str) -> bool:
    return (character.isalnum() or character == "_") and ord(character) < _UNSPACED
