"""Later bare mentions of a name that was found before, in the same session."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice

from agno_portkey.guardrails.pii.reading import read
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.words import NOT_NAMES

__all__ = ["NamesOfSessions", "SeenNames"]

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*")
_GAP = re.compile(r"[ \u00a0]|\. ")
# A person's name on its own is not the only one of that person in a chat.
_SURE = 0.6


class SeenNames:
    """The parts of the names of one session; what is found again is a span of its own.

    `limit` is how many parts are remembered; the ones seen longest ago are forgotten first.
    Safe for use in several threads.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self._parts: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, text: str, spans: Iterable[Span]) -> None:
        """Remember the names that `spans` found in `text`."""
        for span in spans:
            if span.type != "PERSON" or span.score < _SURE:
                continue
            for word in _WORD.findall(read(text[span.start : span.end]).text):
                if len(word) >= 3 and word[0].isupper():
                    self._remember(_bare(word).casefold())

    def find(self, text: str) -> list[Span]:
        """Mentions in `text` of what was seen: capitalised, or as no other word is written."""
        with self._lock:
            parts = frozenset(self._parts)
        return _mentions(text, parts.__contains__) if parts else []

    def __contains__(self, part: str) -> bool:
        return part in self._parts

    def _remember(self, part: str) -> None:
        with self._lock:
            self._parts[part] = None
            self._parts.move_to_end(part)
            while len(self._parts) > self._limit:
                self._parts.popitem(last=False)


class NamesOfSessions:
    """The names that were seen, by session and user; those of the oldest sessions are forgotten.

    `lately` is how many sessions are the last ones.
    """

    def __init__(self, limit: int = 1_000, *, lately: int = 50) -> None:
        self._limit, self._lately = limit, lately
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str | None], SeenNames] = OrderedDict()

    def of(self, session_id: str | None, user_id: str | None) -> SeenNames:
        """Those of one session; without one they are kept nowhere."""
        if session_id is None:
            return SeenNames()
        key = (session_id, user_id)
        with self._lock:
            names = self._known.setdefault(key, SeenNames())
            self._known.move_to_end(key)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)
            return names

    def find(self, text: str) -> list[Span]:
        """Mentions in `text` of names of the last sessions, whosever they are."""
        with self._lock:
            last = [*islice(reversed(self._known.values()), self._lately)]
        return _mentions(text, lambda part: any(part in names for names in last)) if last else []

    def forget(self, *, session_id: str | None = None, user_id: str | None = None) -> None:
        """Know no name any more of a session, or of a user."""
        with self._lock:
            for key in [*self._known]:
                if session_id == key[0] or (session_id is None and user_id == key[1]):
                    del self._known[key]


def _mentions(text: str, is_one: Callable[[str], bool]) -> list[Span]:
    found: list[Span] = []
    reading = read(text)
    text = reading.text
    for word in _WORD.finditer(text):
        bare = _bare(word[0])
        part = bare.casefold()
        if not is_one(part) or (bare.islower() and part in NOT_NAMES):
            continue
        end = word.start() + len(bare)
        if found and _GAP.fullmatch(text, found[-1].end, word.start()):
            found[-1] = Span(found[-1].start, end, "PERSON", 0.8)
        else:
            found.append(Span(word.start(), end, "PERSON", 0.8))
    return [reading.back(span) for span in found]


def _bare(word: str) -> str:
    return word[:-2] if word[-2:].lower() in ("'s", "\u2019s") else word
