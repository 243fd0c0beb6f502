"""Proof that a repaired JSON value is what its text says, and by which edits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agno_portkey.contracts.spelling import (
    CLOSERS,
    decoded,
    ends_here,
    is_word,
    skipped,
)
from agno_portkey.contracts.strict import Unclear, number

__all__ = ["Edit", "Unproved", "proved"]

Path = tuple[str | int, ...]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# No number of a model's has more; Python reads only so many.
_MAX_DIGITS = 400
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_LITERALS = {True: "true", False: "false", None: "null"}
_PYTHON = {True: "True", False: "False", None: "None"}
_COLON = re.compile(r":|=>|=")
_COMMAS = re.compile(r"[,;]")


@dataclass(frozen=True, slots=True)
class Edit:
    """One difference between a text and the JSON it was meant to be; `path` says where."""

    kind: str
    path: Path = ()


class Unproved(Exception):
    """The value holds something else than the text, or the text may mean something else."""


def proved(
    value: Any, text: str, start: int, declared: Callable[[Path], frozenset[str]]
) -> tuple[list[Edit], int]:
    """The edits that lead from `text`, from `start` on, to `value`, and where the value ends.

    Every character of the text's keys, strings and numbers is accounted for, in order: only
    commas, colons, quotes, brackets, comments and the spelling of literals may differ. Raises
    `Unproved` where that is not so, or where the edit is one of several that may be meant.
    `declared` names the keys that the schema knows at a path.
    """
    proof = _Proof(text, declared)
    end = proof.value(value, start, ())
    return proof.edits, end


class _Proof:
    def __init__(self, text: str, declared: Callable[[Path], frozenset[str]]) -> None:
        self._text = text
        self._declared = declared
        self.edits: list[Edit] = []

    def _edit(self, kind: str, path: Path) -> None:
        self.edits.append(Edit(kind, path))

    def _skip(self, at: int, path: Path) -> int:
        end, kinds = skipped(self._text, at)
        for kind in kinds:
            self._edit(kind, path)
        return end

    def value(self, value: Any, at: int, path: Path) -> int:
        at = self._skip(at, path)
        if isinstance(value, Mapping):
            return self._items(value, at, path, "{}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            return self._items(dict(enumerate(value)), at, path, "[]")
        if isinstance(value, str):
            return self._string(value, at, path, is_key=False)
        if value is None or isinstance(value, bool):
            return self._literal(value, at, path)
        return self._number(value, at, path)

    def _items(self, items: Mapping[Any, Any], at: int, path: Path, brackets: str) -> int:
        opener, closer = brackets[0], brackets[1]
        if not self._text.startswith(opener, at):
            raise Unproved(f"no {opener} for it")
        at += 1
        last: Any = None
        for place, (key, value) in enumerate(items.items()):
            are_numbers = opener == "[" and _is_number(last) and _is_number(value)
            at, last = self._commas(at, path, wanted=min(place, 1), due=are_numbers), value
            if opener == "{":
                at = self._key(key, at, path)
            at = self.value(value, at, (*path, key))
        at = self._commas(at, path, wanted=0)
        if self._text.startswith(closer, at):
            return at + 1
        if at < len(self._text) and self._text[at] not in CLOSERS:
            raise Unproved("what follows is not accounted for")
        self._edit("cut", path)
        return at

    def _commas(self, at: int, path: Path, *, wanted: int, due: bool = False) -> int:
        at, found = self._skip(at, path), 0
        while (comma := _COMMAS.match(self._text, at)) is not None:
            found += 1
            if comma.group() != ",":
                self._edit("comma", path)
            at = self._skip(comma.end(), path)
        if due and not found:
            raise Unproved("two numbers without a comma may be one")
        if found != wanted:
            self._edit("comma", path)
        return at

    def _key(self, key: str, at: int, path: Path) -> int:
        at = self._skip(self._string(key, at, path, is_key=True), path)
        if (colon := _COLON.match(self._text, at)) is None:
            raise Unproved("no colon behind a key")
        if colon.group() != ":":
            self._edit("colon", path)
        return colon.end()

    def _string(self, value: str, at: int, path: Path, *, is_key: bool) -> int:
        opener = _quote_at(self._text, at)
        begin = at + len(opener)
        end = self._content(value, begin, opener, path, is_key=is_key)
        if not opener:
            return self._bare(value, begin, end, path, is_key=is_key)
        closer = CLOSERS_OF[opener]
        if not self._text.startswith(closer, end):
            return self._unclosed(value, end, path, is_key=is_key)
        if opener != '"':
            self._edit("quote", path)
        return end + len(closer)

    def _content(self, value: str, at: int, opener: str, path: Path, *, is_key: bool) -> int:
        """Where the content ends that `value` was read from."""
        matched, text = 0, self._text
        while matched < len(value):
            found, end, how = decoded(text, at)
            if not value.startswith(found, matched) or not found:
                raise Unproved("the text says something else")
            if how == "raw" and opener and text.startswith(CLOSERS_OF[opener], at):
                if is_key or ends_here(text, end):
                    raise Unproved("a quote may end the text or stand in it")
                how = "inner quote"
            if how not in ("raw", "escape"):
                self._edit(how, path)
            matched, at = matched + len(found), end
        return at

    def _bare(self, value: str, begin: int, end: int, path: Path, *, is_key: bool) -> int:
        """A text without an opening quote: a word, or a key that the schema knows."""
        if self._text[end : end + 1] in ('"', "'"):
            if not (is_key and value in self._declared(path)):
                raise Unproved("a quote is missing, and it is not clear where")
            end += 1
        elif not is_word(self._text, begin, end) or self._text[begin:end] != value:
            raise Unproved("a text without quotes")
        self._edit("quote", path)
        return end

    def _unclosed(self, value: str, end: int, path: Path, *, is_key: bool) -> int:
        """A text whose closing quote is missing: clear only where a known key follows."""
        rest = self._text[end:]
        if is_key:
            if value not in self._declared(path) or not rest.lstrip().startswith(":"):
                raise Unproved("a quote is missing, and it is not clear where")
        else:
            follows = re.match(r'\s*,\s*"((?:[^"\\]|\\.)*)"\s*:', rest)
            if follows is None or follows.group(1) not in self._declared(path[:-1]):
                raise Unproved("a quote is missing, and it is not clear where")
        self._edit("quote", path)
        return end

    def _literal(self, value: bool | None, at: int, path: Path) -> int:
        for name, is_plain in ((_LITERALS[value], True), (_PYTHON[value], False)):
            if self._text.startswith(name, at) and not _goes_on(self._text, at + len(name)):
                if not is_plain:
                    self._edit("literal", path)
                return at + len(name)
        raise Unproved("no such literal")

    def _number(self, value: int | float, at: int, path: Path) -> int:
        found = _NUMBER.match(self._text, at)
        if found is None or _goes_on(self._text, found.end()) or not _same(found.group(), value):
            raise Unproved("no such number")
        if _PLAIN_NUMBER.fullmatch(found.group()) is None:
            self._edit("number", path)
        if found.end() == len(self._text):
            raise Unproved("a number at the end of the text may go on")
        return found.end()


# The quotes that models put round texts, and what closes each.
CLOSERS_OF = {'\\"': '\\"', '"': '"', "'": "'", "`": "`"}
CLOSERS_OF |= {"\u201c": "\u201d", "\u201d": "\u201d", "\u2018": "\u2019", "": ""}


def _quote_at(text: str, at: int) -> str:
    return next(quote for quote in CLOSERS_OF if text.startswith(quote, at))


def _goes_on(text: str, at: int) -> bool:
    return at < len(text) and (text[at].isalnum() or text[at] in "._%+-$€")


def _same(text: str, value: int | float) -> bool:
    if len(text) > _MAX_DIGITS:
        return False
    try:
        return number(text) == value
    except Unclear:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
