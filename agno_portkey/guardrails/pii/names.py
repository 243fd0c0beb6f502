"""Names of people: after words that introduce one, as values of JSON keys, and by known names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.words import COMMON, NOT_NAMES, listed

__all__ = ["CueDetector", "NameDetector", "known_names"]

# A word of letters, with hyphens or apostrophes inside; an initial.
_WORD = r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*"
_LISTS = ("given", "family", "given_words", "family_words")
_PARTICLES = listed(
    """
    de da di do du dos das del della van von der den ter ten bin al el la le y e of
    """
)
_TITLES = listed(
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
                    end = _without_possessive(text, words[last].start, words[last].end)
                    yield words[first].start, end, score
                    place = last
            place += 1

    def _run(
        self, text: str, words: list[_Word], place: int, names: Names, small: bool
    ) -> tuple[int, int, float]:
        """The first and last word of the name at `place`, and how sure it is (0 if not at all)."""
        word = words[place]
        if _in_code(text, word):
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
        return first, last, self._score(text, words, first, place, last, names)

    @staticmethod
    def _may_begin(before: _Word) -> bool:
        return (
            before.capital
            and not before.text.isupper()
            and len(before.text) > 2
            and before.lower not in NOT_NAMES
            and before.lower not in _TITLES
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
        if after is not None and _follows(text, word, after) and not _in_code(text, after):
            family = after.lower in names.family and len(after.text) > 2
            worded = given and after.lower in names.family_words and after.lower not in COMMON
            if worded or (family and (given or word.lower in names.given_words)):
                return place, place + 1, 0.7
        return place, place, 0.5 if small and given else 0.0


def _in_code(text: str, word: _Word) -> bool:
    """Whether a word is part of an identifier, a path or an address."""
    return bool(
        _CODE.match(text[word.end : word.end + 1])
        or (word.start and _CODE.match(text[word.start - 1]))
        or text[word.end : word.end + 2] in ("()", "::")
        or (text[word.end : word.end + 1] == "." and text[word.end + 1 : word.end + 2].islower())
        or (word.start > 1 and text[word.start - 1] in ".-" and text[word.start - 2].isalnum())
    )


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
    if after.capital and not _in_code(text, after):
        here = words[last].lower
        named = here in names.given or here in names.given_words
        if after.lower not in NOT_NAMES or (named and after.lower in names.family_words):
            return 1
    if after.lower in _PARTICLES and last + 2 < len(words):
        beyond = words[last + 2]
        if beyond.capital and _follows(text, after, beyond) and beyond.lower not in NOT_NAMES:
            return 2
    return 0


def _without_possessive(text: str, start: int, end: int) -> int:
    return end - 2 if text[end - 2 : end] in ("'s", "\u2019s") and end - start > 3 else end


_CAP = r"(?:[^\W\d_a-zß-öø-ÿ][^\W\d_]{0,40}(?:['\u2019\-][^\W\d_]{1,40}){0,3}\.?)"
_NAME = r"(?:[^\W\d_]+(?:['\u2019\-][^\W\d_]+){0,3}\.?)"


_MARKED = re.compile(r"\b(?:Mrs?|Ms|Dr|Prof|Mx|Miss|Professor)\.? \Z")


class CueDetector(Detector):
    """What follows `my name is`, `Dear`, `Mr.` and the like, and the values of name keys."""

    type = "PERSON"
    _any = re.compile(
        r"(?:(?:my|your|his|her|their|the|whose|(?:first|last|middle|maiden|full|sur|given|"
        r"family) ?)"
        r" ?name(?: (?:is|was|on the account is))?:? |what(?:'s| is) your (?:first |last )?name\? |"
        r"\bcall(?:s|ed)? (?:me|him|her) |\bname[ds]? (?:him|her) |\bname:[ \t]{1,8}|under "
        r"(?:the )?name (?:of )?|partner's name )"
        rf"(?P<name>{_NAME}(?: {_NAME}){{0,3}})",
        re.IGNORECASE,
    )
    _capital = re.compile(
        r"(?:\b(?:[Mm]rs?|[Mm]s|[Dd]r|[Pp]rof|[Mm]x|[Ss]r|[Ss]ra)\. ?|\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|"
        r"Miss|Professor|Sir|Herr|Frau|Mme|Lady|Lord) |"
        r"\b(?:Dear|Hi|Hello|Hey|Regards|[Rr]egards|Sincerely|Cheers|Thanks|Best|Best wishes|"
        r"Signed|Yours)(?:,? ?\n{0,2}|,? )(?:(?:Mrs?|Ms|Mx|Dr|Prof)\.? )?(?=\S)|"
        r"\b(?:Cc|CC|Attn|Attention|From|To|Contact|[Aa]ssignee|[Aa]uthor|[Rr]eporter|"
        r"[Rr]eviewer|Reported by|[Oo]wner|[Aa]pprover|[Mm]anager|[Cc]ustomer|"
        r"[Pp]atient|Client|[Ee]mployee|Tenant|[Rr]ecipient|[Ss]ender|[Hh]older|[Bb]eneficiary|"
        r"Attendees|Caller|Name|Guest|Passenger|Applicant|Candidate|Ship to|"
        r"[Ss]hip to|[Bb]ill to|[Nn]ame|[Cc]ontact):[ \n]\s?|"
        r"\b(?:I'm|I am|[Tt]his is|it's|speaking with|spoke (?:to|with)|talk(?:ed)? (?:to|with)|"
        r"meet(?:ing)? with|"
        r"named|beneficiary|on behalf of|cc|ask|tell|email|ping|remind|assign(?:ed)? to|reported "
        r"by|signed by|written by|"
        r"directed by|Directed By:|starring|says|said|brother|sister|wife|husband|son|daughter|"
        r"mother|father|kid|boss|colleague|"
        r"manager|customer|client|patient|doctor|friend|nurse|neighbour|neighbor|partner|"
        r"landlord|tenant|cousin|uncle|aunt) {1,4})"
        rf"(?P<name>{_CAP}(?: (?:{_CAP}|(?:de|van|von|der|da|la|el|bin|al) ){{0,1}}{_CAP}){{0,3}})"
    )
    _acting = re.compile(
        rf"(?P<name>(?<!\w){_CAP}(?: {_CAP}){{0,2}}),? (?:lives|lived|said|says|told|asked|wrote|"
        rf"emailed|called|replied|thinks|works|worked|"
        r"reported|complained|prefers|signed|approved|(?:has |had )?(?:confirmed|requested|"
        r"mentioned)|spent|moved|is my|was born)\b"
    )
    _key = re.compile(
        r"[\"'](?:(?:full|first|last|middle|given|family|sur|maiden|customer|client|user|"
        r"employee|patient|contact|"
        r"card_?holder|account|billing|shipping|recipient|sender|display|legal|preferred|guest|"
        r"passenger|applicant|candidate|owner|author|"
        r"assignee|manager|tenant|member|beneficiary|holder|lead|caller|payee|payer|reviewer|"
        r"approver|insured|subscriber)_?-?(?:[nN]ame)?|name|"
        r"(?:reported|created|signed|approved|requested|assigned)_?(?:[bB]y|[tT]o)|attendee|"
        r"person|spouse|emergency_contact)"
        rf"[\"'] ?: ?[\"'](?P<name>{_NAME}(?:,? {_NAME}){{0,4}})[\"']",
        re.IGNORECASE,
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._any.finditer(text):
            yield from self._parts(text, match, loose=True)
        for pattern in (self._capital, self._acting):
            for match in pattern.finditer(text):
                yield from self._parts(text, match, loose=False)
        if '"' in text or "'" in text:
            for match in self._key.finditer(text):
                yield from self._value(match)

    @staticmethod
    def _value(match: re.Match[str]) -> Iterator[tuple[int, int, float]]:
        words = [word.lower().strip(".,") for word in match["name"].split()]
        names = known_names()
        known = any(word in names.given or word in names.family for word in words) or (
            len(words) > 1 and words[0] in names.given_words
        )
        key = match[0].lower()
        sure = not re.match(
            r"[\"'](?:name|owner|user|account|author|client|customer|manager|lead|display_?name|"
            r"member|person|contact|assignee|holder|tenant)[\"']",
            key,
        )
        if any(word in NOT_NAMES and not names.may_be(word) for word in words) and not known:
            return
        if sure or known:
            yield match.start("name"), match.end("name"), 0.92

    @staticmethod
    def _parts(text: str, match: re.Match[str], *, loose: bool) -> Iterator[tuple[int, int, float]]:
        """The words of the match up to the first that is no part of a name."""
        begin, names = match.start("name"), known_names()
        end = begin
        for word in _WORDS.finditer(text, begin, match.end("name")):
            lower = word[0].lower()
            capital = word[0][0].isupper()
            if lower in _TITLES:
                break
            titled = word.start() == begin and _MARKED.search(text[max(0, begin - 12) : begin])
            if lower in NOT_NAMES and not (capital and (titled or names.may_be(lower))):
                break
            if (
                loose
                and not capital
                and not (lower in names.given or lower in names.family or lower in _PARTICLES)
            ):
                break
            if _in_code(text, _Word(word[0], word.start(), word.end(), lower, capital)):
                break
            end = word.end()
        if end > begin + 1:
            yield begin, _without_possessive(text, begin, end), 0.9
