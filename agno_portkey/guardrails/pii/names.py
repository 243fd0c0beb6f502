"""Names of people by the names that are known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.words import COMMON, MONTHS, NOT_NAMES, THINGS, listed

__all__ = [
    "PARTICLES",
    "TITLES",
    "NameDetector",
    "Names",
    "dated",
    "in_code",
    "known_names",
    "versioned",
    "without_possessive",
]

# A word of letters, with hyphens or apostrophes inside; an initial.
_WORD = r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*"
_LISTS = ("given", "family", "given_words", "family_words")
PARTICLES = listed(
    """
    de da di do du dos das del della van von der den ter ten bin al el la le y e of
    """
)
TITLES = listed(
    """
    mr mrs ms miss mx dr prof professor sir madam herr frau mme monsieur señor señora sr sra
    """
)


@dataclass(frozen=True, slots=True)
class Names:
    """Names in lower case; those of `given_words` and `family_words` mean other things as well."""

    given: frozenset[str]
    family: frozenset[str]
    given_words: frozenset[str]
    family_words: frozenset[str]

    def may_be(self, word: str) -> bool:
        return word in self.given or word in self.family or self.is_word(word)

    def is_word(self, word: str) -> bool:
        return word in self.given_words or word in self.family_words


@lru_cache(maxsize=1)
def known_names() -> Names:
    """The names that come with the package."""
    raw = files("agno_portkey.guardrails.pii").joinpath("names.json").read_text("utf-8")
    data = json.loads(raw)
    return Names(*(frozenset(data[key].split()) for key in _LISTS))


@dataclass(slots=True)
class _Word:
    text: str
    start: int
    end: int
    lower: str
    capital: bool


def _words(text: str) -> list[_Word]:
    return [
        _Word(match[0], match.start(), match.end(), match[0].lower(), match[0][0].isupper())
        for match in _WORDS.finditer(text)
    ]


_WORDS = re.compile(_WORD)
# Between two parts of one name: a space, or a full stop after an initial and a space.
_GAP = re.compile(r"\.? |\.(?=[^\W\d_])|\u00a0")
_CODE = re.compile(r"[/\\@#_=<>{}\d$%]")


class NameDetector(Detector):
    """Runs of capitalised words that hold a known given name, or a word and a known family name.

    Lower-case names are found if both their parts are known and neither is a word.
    """

    type = "PERSON"

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        names, words = known_names(), _words(text)
        # Whoever writes without capitals writes names without them.
        small = not any(word.capital and word.text != "I" for word in words)
        place = 0
        while place < len(words):
            word = words[place]
            if names.may_be(word.lower):
                first, last, score = self._run(text, words, place, names, small)
                if score:
                    end = without_possessive(text, words[last].start, words[last].end)
                    yield words[first].start, end, score
                    place = last
            place += 1

    def _run(
        self, text: str, words: list[_Word], place: int, names: Names, small: bool
    ) -> tuple[int, int, float]:
        """The first and last word of the name at `place`, and how sure it is (0 if not at all)."""
        word = words[place]
        if in_code(text, word.start, word.end):
            return place, place, 0.0
        if not word.capital:
            return self._lower(text, words, place, names, small)
        last = place
        while last + 1 < len(words) and last - place < 4:
            step = _joined(text, words, last, names)
            if not step:
                break
            last += step
        first = place
        before = words[place - 1] if place else None
        if before is not None and _follows(text, before, word) and self._may_begin(before):
            # `Mail Anna`: before a given name, a capital may be that of the sentence.
            sentence = word.lower in names.given and _begins(text, before.start)
            first = place if sentence else place - 1
        if first == last and (
            dated(text, word.start, word.end)
            or versioned(text, word.end)
            or _is_a_thing(text, words, last)
        ):
            return first, last, 0.0
        return first, last, self._score(text, words, first, place, last, names)

    @staticmethod
    def _may_begin(before: _Word) -> bool:
        return (
            before.capital
            and not before.text.isupper()
            and len(before.text) > 2
            and before.lower not in NOT_NAMES
            and before.lower not in TITLES
        )

    @staticmethod
    def _score(
        text: str, words: list[_Word], first: int, place: int, last: int, names: Names
    ) -> float:
        lower = [words[at].lower for at in range(first, last + 1)]
        given = any(one in names.given for one in lower)
        family = lower[-1] in names.family and first != last
        if given and first != last:
            return 0.9
        if given:
            return 0.6
        if family:
            mid = first and text[words[first - 1].end : words[first].start] == " "
            known = names.may_be(lower[0])
            return 0.86 if known else (0.7 if mid else 0.5)
        if len(lower) > 1 and lower[0] in names.given_words and lower[-1] in names.family_words:
            return 0.6
        return 0.0

    @staticmethod
    def _lower(
        text: str, words: list[_Word], place: int, names: Names, small: bool
    ) -> tuple[int, int, float]:
        word = words[place]
        if len(word.text) < 4 or word.lower in COMMON:
            return place, place, 0.0
        given = word.lower in names.given
        after = words[place + 1] if place + 1 < len(words) else None
        if (
            after is not None
            and _follows(text, word, after)
            and not in_code(text, after.start, after.end)
        ):
            family = after.lower in names.family and len(after.text) > 2
            worded = given and after.lower in names.family_words and after.lower not in COMMON
            if worded or (family and (given or word.lower in names.given_words)):
                return place, place + 1, 0.7
        return place, place, 0.5 if small and given else 0.0


def in_code(text: str, start: int, end: int) -> bool:
    """Whether a word is part of an identifier, a path or an address."""
    after, before = text[end : end + 2], text[start - 1] if start else ""
    if _CODE.match(after) and after != "</":
        return True
    if before and _CODE.match(before) and not (before == ">" and _closes_tag(text, start - 1)):
        return True
    return bool(
        after in ("()", "::")
        or (after[:1] == "." and after[1:].islower())
        or (start > 1 and before in ".-" and text[start - 2].isalnum())
    )


def dated(text: str, start: int, end: int) -> bool:
    """Whether a word is a month: it has the name of one, and a number or another near it."""
    if text[start:end].rstrip(".").lower() not in MONTHS:
        return False
    return (
        _BEFORE_MONTH.search(text, max(0, start - 6), start) is not None
        or _AFTER_MONTH.match(text, end) is not None
        or _CALENDAR.search(text, max(0, start - 80), start) is not None
        or _CALENDAR.search(text, end, end + 80) is not None
    )


_BEFORE_MONTH = re.compile(r"\d(?:st|nd|rd|th|\.)?[ \-/]\Z", re.IGNORECASE)
_AFTER_MONTH = re.compile(r"\.?[ \-/]\d")
_CALENDAR = re.compile(
    r"\b(?:January|February|April|July|August|September|October|November|December|Monday|Tuesday|"
    r"Wednesday|Thursday|Friday|Saturday|Sunday|Q[1-4])\b"
)


def versioned(text: str, end: int) -> bool:
    """Whether the number of a version stands after a word."""
    return _VERSION.match(text, end) is not None


_VERSION = re.compile(r" v?\d+\.\d")


def _is_a_thing(text: str, words: list[_Word], last: int) -> bool:
    """Whether the name of a person is that of a thing: `Jasmine Tea`, `Harper Insurance`."""
    if last + 1 >= len(words):
        return False
    after = words[last + 1]
    return (
        after.capital
        and after.lower in THINGS
        and _follows(text, words[last], after)
        and text[after.end : after.end + 1] not in (":", "=")
    )


def _closes_tag(text: str, place: int) -> bool:
    """Whether the `>` at `place` ends a tag, and is no arrow or comparison."""
    opening = text.rfind("<", max(0, place - 120), place)
    return opening >= 0 and ">" not in text[opening:place] and text[place - 1] not in "-="


def _begins(text: str, start: int) -> bool:
    """Whether a sentence or line begins at `start`."""
    before = text[max(0, start - 3) : start].rstrip(" \"'(*>-")
    return not before or before[-1] in ".!?:\n"


def _follows(text: str, before: _Word, after: _Word) -> bool:
    gap = text[before.end : after.start]
    return gap == " " or gap == "\u00a0" or (len(before.text) == 1 and gap in (". ", "."))


def _joined(text: str, words: list[_Word], last: int, names: Names) -> int:
    """How many words further the name goes on: 0 if it ends here."""
    after = words[last + 1]
    if not _follows(text, words[last], after) or words[last].lower.endswith(("'s", "\u2019s")):
        return 0
    if after.capital and not in_code(text, after.start, after.end):
        here = words[last].lower
        named = here in names.given or here in names.given_words
        if after.lower not in NOT_NAMES or (named and after.lower in names.family_words):
            return 1
    if after.lower in PARTICLES and last + 2 < len(words):
        beyond = words[last + 2]
        if beyond.capital and _follows(text, after, beyond) and beyond.lower not in NOT_NAMES:
            return 2
    return 0


def without_possessive(text: str, start: int, end: int) -> int:
    return end - 2 if text[end - 2 : end] in ("'s", "\u2019s") and end - start > 3 else end
