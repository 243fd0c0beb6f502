"""What a language model takes for a name or a place, and is none; and where its spans end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agno_portkey.guardrails.pii.names import PARTICLES, dated, known_names, versioned
from agno_portkey.guardrails.pii.spans import Span
from agno_portkey.guardrails.pii.words import (
    COUNTRIES,
    GROUPS,
    NOT_NAMES,
    NOT_PLACES,
    TECHNICAL,
    THINGS,
    listed,
)

__all__ = ["LABELS", "sound"]

# How the labels of spaCy's models are called here.
LABELS = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}

_EDGE = re.compile(r"^[\W_]+|(?<=[^\W_])[^\w.)]+$|\s+$")
_TITLE = re.compile(
    r"(?:mr|mrs|ms|miss|dr|prof|sir|hi|hello|hey|dear|thanks|regards|cc|attn)\b\.?,?\s+",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w.]+[ -]+")
# Words before a name that are none of it.
_LEADING = listed(
    """
    the ex a an producer songwriter director singer actor actress author writer professor doctor
    nurse agent speaker president senator chairman ceo cto cfo minister captain colonel general
    sergeant southern northern eastern western tennis player commenter guest user customer
    client patient manager engineer analyst bot hola bonjour hallo ciao olá merhaba hej ahoj cześć
    soy dear señor señora contact call remind ask tell email notify invite message cheers kontakt
    """
)
_CODE = re.compile(r"[/\\@#_=<>{}()$|%;:\[\]`\"]|\d|\w\.\w{2}|--|->")
_CAMEL = re.compile(r"[^\W\d_a-z]?[a-z]+[A-Z]\w*\Z")
_CAMEL_NAMES = re.compile(r"(?:Mc|Mac|De|Di|Du|La|Le|Van|O)[A-Z]")
_DAY = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:19|20)\d\d|"
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d|\d{1,2}(?:st|nd|rd|th)? "
    r"(?:of )?"
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december))\b",
    re.IGNORECASE,
)
_SPELL = re.compile(
    r"(?:the )?(?:last|next|this|first|past|every|each|a few|a couple) ", re.IGNORECASE
)
_POSSESSIVE = re.compile(r"['\u2019]s\s")
# A name ends with its line, with its cell and with its sentence.
_LINES = re.compile(r"[\n\r\t|]|\s{2,}|(?<=[^\W\d_A-Z]{4})[.;!?] ")
_INITIALS = re.compile(r"(?<![\w.])(?:[^\W\d_a-z]\. ?){1,3}\Z")
_STEP = re.compile(r"(?<![^ ])([^\W\d_]+) (?=[^\W\d_a-z])")


def sound(text: str, found: Iterable[tuple[int, int, str]]) -> list[Span]:
    """The spans to keep of what a model found, as (start, end, label of the model)."""
    spans: list[Span] = []
    for start, end, label in found:
        kind = LABELS.get(label)
        if kind is None:
            continue
        if kind == "DATE_TIME" and not _is_date(text[start:end]):
            continue
        for begin, stop in _lines(text, start, end):
            if kind in ("PERSON", "ORGANIZATION", "LOCATION", "NRP"):
                begin, stop = _trimmed(text, begin, stop)
            if kind == "PERSON":
                begin, stop = _of_a_name(text, begin, stop)
            if begin < stop and (span := _judged(text, begin, stop, kind)) is not None:
                spans.append(span)
    return spans


def _is_date(value: str) -> bool:
    """Whether a date is meant, and not how long something takes."""
    return _DAY.search(value) is not None and _SPELL.match(value) is None


def _lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The lines of a span: no name goes over the end of one."""
    parts, begin = [], start
    for gap in _LINES.finditer(text, start, end):
        parts.append((begin, gap.start()))
        begin = gap.end()
    parts.append((begin, end))
    return [(first, last) for first, last in parts if first < last]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without marks around it, a form of address before it, and a possessive after it."""
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not (text[end - 1].isalnum() or text[end - 1] == "."):
        end -= 1
    while (title := _TITLE.match(text, start, end)) is not None and title.end() < end:
        start = title.end()
    while (
        (word := _WORD.match(text, start, end)) is not None
        and word.end() < end
        and (word[0].strip(". ").lower() in _LEADING)
    ):
        start = word.end()
    if (owned := _POSSESSIVE.search(text, start, end)) is not None and owned.start() > start + 1:
        end = owned.start()
    if text[max(start, end - 2) : end].lower() in ("'s", "\u2019s") and end - start > 3:
        end -= 2
    return start, end


def _of_a_name(text: str, start: int, end: int) -> tuple[int, int]:
    """A name with the initials before it, and without words before it that belong to none."""
    for word in _STEP.finditer(text[start:end]):
        if word[1].islower() and word[1] not in PARTICLES:
            return start + word.end(), end
    if (initials := _INITIALS.search(text, max(0, start - 9), start)) is not None:
        start = initials.start()
    return start, end


def _judged(text: str, start: int, end: int, kind: str) -> Span | None:
    value = text[start:end]
    words = [word.strip(".,'\u2019-").lower() for word in value.split()]
    words = [word for word in words if word]
    if kind in ("PERSON", "LOCATION") and (
        _in_identifier(text, start, end) or _declared(text, start)
    ):
        return None
    if kind in ("PERSON", "LOCATION") and _of_things(text, start, end, words):
        return None
    if kind == "PERSON":
        return _person(value, words, start, end)
    if kind == "LOCATION":
        return _place(value, words, start, end)
    if kind == "ORGANIZATION" and (_CODE.search(value) or all(word in NOT_NAMES for word in words)):
        return None
    return Span(start, end, kind, 0.85 if kind != "ORGANIZATION" else 0.6)


_NEXT = re.compile(r" ([^\W\d_]+)")


def _of_things(text: str, start: int, end: int, words: list[str]) -> bool:
    """Whether a single word is a month, something with a version, or the name of a team."""
    if len(words) > 1:
        return False
    after = _NEXT.match(text, end)
    if after is not None and after[1].lower() in GROUPS and words[0] not in known_names().given:
        return True
    return dated(text, start, end) or versioned(text, end)


def _in_identifier(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before in tuple("_/@#=$\\.") and before != "") or (
        after in tuple("_/=\\({") and after != ""
    )


# A line of a program, which names things and not people, unless in quotes or a comment.
_PROGRAM = re.compile(
    r"\s*(?:import [\w.*{}, ]+(?: from\b|;|\Z)|from [\w.]+ import\b|#include\b|"
    r"(?:export |public |private |static |async |final |abstract )*"
    r"(?:class|interface|enum|struct|func|fn|def|function|const|let|var|namespace|package)"
    r" [\w$.]+(?:[^\n]*[;{}(=:,]\s*\Z))"
)
_LITERAL = re.compile(r"[\"'`]|//|#|/\*")


def _declared(text: str, start: int) -> bool:
    begin = text.rfind("\n", max(0, start - 200), start) + 1
    if _LITERAL.search(text, begin, start) is not None:
        return False
    end = text.find("\n", start, start + 200)
    return _PROGRAM.match(text, begin, end if end >= 0 else min(len(text), start + 200)) is not None


def _person(value: str, words: list[str], start: int, end: int) -> Span | None:
    names = known_names()
    words = [word for word in words if len(word) > 1] or words
    known = any(word in names.given or word in names.family for word in words)
    if known and words[-1] in THINGS and not names.may_be(words[-1]):
        return None
    if _CODE.search(value) or any(word in TECHNICAL for word in words):
        return None
    if " ".join(words) in COUNTRIES:
        return Span(start, end, "LOCATION", 0.8)
    if known:
        return Span(start, end, "PERSON", 0.85)
    if len(words) > 4 or value.islower() or all(word in NOT_NAMES for word in words):
        return None
    if any(word in NOT_NAMES for word in words):
        return None
    if _CAMEL.match(value) and not _CAMEL_NAMES.match(value):
        return None
    if value.isupper() and len(words) == 1 and len(value) < 6:
        return None
    return Span(start, end, "PERSON", 0.85)


def _place(value: str, words: list[str], start: int, end: int) -> Span | None:
    names = known_names()
    if _CODE.search(value) or any(word in TECHNICAL for word in words):
        return None
    if all(word in NOT_PLACES for word in words):
        return None
    if (value.islower() and len(value) < 4) or (value.isupper() and len(value) < 3):
        return None
    if len(words) == 1 and words[0] in names.given and not names.is_word(words[0]):
        return Span(start, end, "LOCATION", 0.5)
    return Span(start, end, "LOCATION", 0.8)
