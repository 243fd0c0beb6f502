"""Puts values back in the place of placeholders: in a whole text, and in one that is streamed.

A model gives `<PERSON_1>` back in many forms: escaped for JSON or HTML, in other brackets, with
none, with one that is missing. All of them are known here, and nowhere else: what hides a text
looks for the same ones in it, so that none that a user typed is ever opened.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

from agno_portkey.guardrails.placeholders import BEGINS, BEGUN, LONGEST, OPEN

__all__ = ["KINDS", "LITERAL", "LONGEST_KIND", "MOST", "Restorer", "look_alikes", "restored"]

# What stands behind a placeholder, by its type and number.
Meanings: TypeAlias = Mapping[tuple[str, int], str]

# What a user typed that looks like a placeholder.
LITERAL = "LITERAL"
LONGEST_KIND = 20
# Of one type in one session: six digits.
MOST = 999_999
# Types whose placeholders are known without angle brackets too. The list is fixed before the
# first text: a type that came later could open what an earlier text of the same call holds.
_KINDS = """
ADDRESS AGE CREDIT_CARD CRYPTO DATE_TIME EMAIL_ADDRESS IBAN_CODE ID IN_AADHAAR IN_PAN
IP_ADDRESS LITERAL LOCATION MAC_ADDRESS MEDICAL_LICENSE NRP ORGANIZATION PASSWORD PERSON
PHONE_NUMBER SECRET TITLE UK_NHS UK_NINO URL USERNAME US_BANK_NUMBER US_DRIVER_LICENSE US_ITIN
US_PASSPORT US_SSN VALUE ZIP_CODE
"""
KINDS = frozenset(_KINDS.split())

_KIND = r"[A-Z][A-Z0-9_]{0,19}"
_ANY_CASE = r"[A-Za-z][A-Za-z0-9_]{0,19}"
_NUMBER = r"[1-9][0-9]{0,5}"
_CLOSE = r"(?: ?(?:>|\\u003[eE]|&gt;))"
# No letter, digit or `@` follows: `PERSON_12` is another one, and with a mark it is at rest.
_ENDS = r"(?![\w@])"
_FORMS = re.compile(
    rf"(?P<open>{OPEN})(?:(?P<k1>{_ANY_CASE})_(?P<n1>{_NUMBER})(?:{_CLOSE}|{_ENDS})"
    rf"| (?P<k2>{_ANY_CASE})_(?P<n2>{_NUMBER}){_CLOSE})"
    rf"|\[(?P<k3>{_KIND})_(?P<n3>{_NUMBER})\](?!\()"
    rf"|{BEGINS}(?P<k4>{_KIND})_(?P<n4>{_NUMBER}){_ENDS}"
)
# How much `BEGINS` looks at.
_CONTEXT = 6


def _named(found: re.Match[str]) -> tuple[str, int, bool]:
    """The type and number of one that was found, and whether it stands in angle brackets."""
    kinds, numbers = found.group("k1", "k2", "k3", "k4"), found.group("n1", "n2", "n3", "n4")
    kind, number = next(filter(None, kinds)), next(filter(None, numbers))
    return kind.upper(), int(number), found.group("open") is not None


def look_alikes(text: str, kinds: Collection[str] = KINDS) -> Iterator[tuple[int, int]]:
    """Where something stands in `text` that could be opened, now or later."""
    if "_" not in text:
        return
    for found in _FORMS.finditer(text):
        kind, _, in_angles = _named(found)
        if in_angles or kind in kinds:
            yield found.span()


def restored(text: str, meanings: Meanings, kinds: Collection[str] = KINDS) -> str:
    """`text` with values in the place of the placeholders that have a meaning."""
    return _FORMS.sub(_opener(meanings, kinds), text) if "_" in text else text


def _opener(meanings: Meanings, kinds: Collection[str]) -> Callable[[re.Match[str]], str]:
    def opened(found: re.Match[str]) -> str:
        kind, number, in_angles = _named(found)
        value = meanings.get((kind, number)) if in_angles or kind in kinds else None
        if value is None:
            return found.group()
        opening = found.group("open")
        if opening == "&lt;":
            return html.escape(value, quote=False)
        return value if opening in ("<", None) else json.dumps(value)[1:-1]

    return opened


class Restorer:
    """Restores one text that comes in chunks; however it is cut, the result is the same.

    It holds back at most 40 characters: what could be the beginning of a placeholder. What the
    placeholders mean is fixed when it is made.
    """

    def __init__(self, meanings: Meanings, kinds: Collection[str] = KINDS) -> None:
        self._opened = _opener(dict(meanings), kinds)
        self._before = ""
        self._rest = ""

    def __repr__(self) -> str:
        return f"Restorer({len(self._rest)} characters held)"

    def behind(self, before: str) -> Restorer:
        """This one, for a text that goes on behind `before`, which was shown."""
        self._before = before[-_CONTEXT:]
        return self

    def feed(self, chunk: str) -> str:
        """What can be shown after `chunk`."""
        text = self._before + self._rest + chunk
        begin = len(self._before)
        tail = max(begin, len(text) - LONGEST)
        found = BEGUN.search(text, tail)
        return self._let_go(text, begin, found.start() if found else len(text))

    def end(self) -> str:
        """The rest; the next chunk begins another text."""
        text, begin = self._before + self._rest, len(self._before)
        shown = self._let_go(text, begin, len(text))
        self._before = self._rest = ""
        return shown

    def _let_go(self, text: str, begin: int, until: int) -> str:
        shown: list[str] = []
        at = begin
        for found in _FORMS.finditer(text, begin):
            start, end = found.span()
            if end > until:
                break
            shown += (text[at:start], self._opened(found))
            at = end
        shown.append(text[at:until])
        self._before, self._rest = text[max(0, until - _CONTEXT) : until], text[until:]
        return "".join(shown)
