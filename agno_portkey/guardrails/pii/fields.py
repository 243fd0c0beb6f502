"""Values that a key or the head of a column names: people, places and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.names import PARTICLES, known_names
from agno_portkey.guardrails.pii.words import NOT_NAMES

__all__ = ["BirthDetector", "ColumnDetector", "FieldDetector", "names_a_person"]

_PART = r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+){0,3}\.?"
_NAME = rf"{_PART}(?:(?:,? |\+|%20){_PART}){{0,4}}"
# Whoever has a name under such a key is a person.
_OF_PEOPLE = (
    r"(?:first|last|middle|given|family|sur|maiden|full|fore|legal|preferred|nick)[_ \-]?names?|"
    r"(?:customer|client|user|employee|patient|contact|card[_ ]?holder|account[_ ]?holder|account|"
    r"billing|shipping|recipient|sender|display|guest|passenger|applicant|candidate|owner|author|"
    r"assignee|manager|tenant|member|beneficiary|holder|lead|caller|payee|payer|reviewer|approver|"
    r"insured|subscriber|admin|agent|driver|student|doctor|buyer|seller|signer)[_ \-]?name|"
    r"(?:reported|created|signed|approved|requested|assigned|prepared)[_ \-]?(?:by|to)|"
    r"attendee|spouse|emergency[_ ]contact|next of kin|patient|passenger|applicant|candidate|"
    r"recipient|sender|guest|employee|card_?holder|payee|payer|reviewer|approver|insured|"
    r"subscriber|caller|requester|requestor|beneficiary|reporter|cn|fn|nom|pr[ée]nom|vorname|"
    r"nachname|apellidos?|cognome|imi[ęe]|nazwisko|sobrenome|voornaam|achternaam"
)
# Others name a thing as often.
_OF_ANYTHING = (
    r"name|owner|user|account|author|client|customer|manager|lead|member|person|contact|assignee|"
    r"holder|tenant|maintainer|organizer|organiser|deploy_owner|agent|nombre|nome"
)
_OF_PLACES = (
    r"(?:home|billing|shipping|postal|street|delivery|mailing|residential|work|current)?[_ \-]?"
    r"(?:address(?:[_ ]?line)?[_ ]?\d?|addr|city|town)|street|hometown|birth_?place|residence|"
    r"country|ship(?:ping)?_to|deliver_to|line1|line2|ville|ciudad|stadt|citt[àa]|direcci[óo]n|"
    r"adresse|indirizzo|endere[çc]o"
)
_OF_BIRTH = r"dob|d\.o\.b\.?|(?:date[_ ]?of[_ ]?birth)|birth[_ ]?(?:date|day)|born(?:[_ ]on)?"
# Between a key and its value, in JSON (in JSON in JSON), YAML, code, markup, forms and query
# strings.
_IS = r"\\{0,7}[\"']?(?:[ \t]?(?:=>|[:=])[ \t]?|[ \t]i?like[ \t]|[ \t]?\.{3,}[ \t]?|>)"
_QUOTE = r"\\{0,7}[\"']"
_ENDS = r"(?=[ \t]{0,8}(?:\\{0,7}[\"'<>\n\r,;|&)}\]]|\Z|\(|\\[nrt]))"
_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|januar|februar|märz|mai|juni|juli|"
    r"janv|févr|mars|avril|juin|juil|ene|abr|ago|dic)[^\W\d_]{0,7}\.?"
)
DATE = (
    r"(?:\d{4}[\-/.]\d{1,2}[\-/.]\d{1,2}|\d{1,2}[\-/.]\d{1,2}[\-/.]\d{2,4}|"
    rf"\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of |de )?{_MONTH},?(?: de)? \d{{4}}|"
    rf"{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})(?![\w\-/])"
)


def names_a_person(value: str, *, sure: bool) -> bool:
    """Whether the value of a key may be a person's name: `sure` if the key means people only."""
    words = [word.lower().strip(".,") for word in re.split(r"[ +]|%20", value)]
    names = known_names()
    known = any(word in names.given or word in names.family for word in words) or (
        len(words) > 1 and words[0] in names.given_words
    )
    if not known and any(word in NOT_NAMES and not names.may_be(word) for word in words):
        return False
    return sure or known


def _written_as_a_name(value: str) -> bool:
    """Whether there are two words or more, each with a capital or a particle of names."""
    words = value.split()
    return len(words) > 1 and all(
        word[0].isupper() or word.lower().strip(".") in PARTICLES for word in words
    )


_PLACE = r"[^\W_][\w .,'\u2019#/\-]{1,80}"
_FIELDS = {
    "PERSON": (f"(?P<sure>{_OF_PEOPLE})|(?:{_OF_ANYTHING})", _NAME),
    "LOCATION": (_OF_PLACES, _PLACE),
}


class FieldDetector(Detector):
    """Names and places as values of keys: `"name": "…"`, `surname = '…'`, `<city>…</city>`.

    What is not in quotes or tags has to be written as a name is.
    """

    def __init__(self, type_: str) -> None:
        self.type = type_
        key, value = _FIELDS[type_]
        self._form = re.compile(
            rf"(?<![^\W_])(?:{key}){_IS}(?P<quote>{_QUOTE})?(?P<value>{value}){_ENDS}",
            re.IGNORECASE,
        )

    gate = re.compile(r"[:=>]|\.\.\.|like ", re.IGNORECASE)

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            value = match["value"]
            closed = match["quote"] is not None or text[match.end() : match.end() + 2] == "</"
            if self.type == "LOCATION":
                if not (closed and (value[0].isupper() or " " in value)):
                    continue
                if not any(char.isalpha() for char in value):
                    continue
            elif not self._is_name(text, match, closed):
                continue
            yield match.start("value"), match.start("value") + len(value.rstrip()), 0.92

    @staticmethod
    def _is_name(text: str, match: re.Match[str], closed: bool) -> bool:
        value, sure = match["value"], match["sure"] is not None
        if names_a_person(value, sure=sure and closed):
            return closed or value[0].isupper()
        # A thing may have a name of its own, but it has no e-mail address and no phone.
        if not _written_as_a_name(value) or not names_a_person(value, sure=True):
            return False
        beside = text[max(0, match.start() - 160) : match.end() + 160]
        return (
            sure
            or not match[0].lower().startswith("name")
            or _OF_A_PERSON.search(beside) is not None
        )


_OF_A_PERSON = re.compile(r"@|phone|mobile|\btel\b|birth|\bdob\b", re.IGNORECASE)


class BirthDetector(Detector):
    """Dates that are said to be of someone's birth."""

    type = "DATE_OF_BIRTH"
    gate = re.compile(r"\d")
    _form = re.compile(
        rf"\b(?:{_OF_BIRTH}|née? le|nacid[oa] el|geb(?:oren)?\.?(?: am)?|fecha de nacimiento|"
        r"date de naissance|geburtsdatum|data di nascita|födelsedatum)"
        rf"\\?[\"']?(?: is| was|>)?[:=.\s(]{{0,16}}\\?[\"']?(?P<date>{DATE})",
        re.IGNORECASE,
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start("date"), match.end("date"), 0.9


_CELLS = {
    "PERSON": (
        re.compile(rf"(?:{_OF_PEOPLE}|{_OF_ANYTHING}|actor|payee)\Z", re.IGNORECASE),
        re.compile(rf"{_NAME}\Z"),
    ),
    "LOCATION": (
        re.compile(rf"(?:{_OF_PLACES})\Z", re.IGNORECASE),
        re.compile(rf"{_PLACE}\Z"),
    ),
    "DATE_OF_BIRTH": (
        re.compile(rf"(?:{_OF_BIRTH})\Z", re.IGNORECASE),
        re.compile(rf"{DATE}\Z", re.IGNORECASE),
    ),
}
_LEAST, _MOST = 2, 40


class ColumnDetector(Detector):
    """The cells below a head such as `name,dob,city`, and the rows of an INSERT."""

    gate = re.compile(r"[,;|\t][^\n]{0,400}\n|\bvalues\b", re.IGNORECASE)
    _insert = re.compile(
        r"\binsert\s+into\s+[\w.\"`]{1,80}\s*\((?P<head>[^()]{3,400})\)\s*values\s*", re.IGNORECASE
    )
    _row = re.compile(r"[\s,]*\((?P<row>[^()\n]{1,800})\)")

    def __init__(self, type_: str) -> None:
        self.type = type_
        self._head, self._value = _CELLS[type_]

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for begin, end, mark, columns in self._rows(text):
            cells = _cells(text, begin, end, mark)
            for place in columns:
                if place < len(cells):
                    start, stop = cells[place]
                    if self._fits(text[start:stop]):
                        yield start, stop, 0.9

    def _fits(self, value: str) -> bool:
        if self._value.match(value) is None:
            return False
        if self.type != "PERSON":
            return True
        return names_a_person(value, sure=_written_as_a_name(value))

    def _rows(self, text: str) -> Iterator[tuple[int, int, str, list[int]]]:
        """The rows of tables: start, end, what divides its cells, and the columns to look at."""
        for insert in self._insert.finditer(text):
            columns = self._columns(text, insert.start("head"), insert.end("head"), ",")
            place = insert.end()
            while columns and (row := self._row.match(text, place)) is not None:
                yield row.start("row"), row.end("row"), ",", columns
                place = row.end()
        place, mark, columns = 0, "", []
        for line in text.splitlines(keepends=True):
            end = place + len(line.rstrip("\r\n"))
            if columns and text.count(mark, place, end) >= _LEAST - 1:
                yield place, end, mark, columns
            else:
                mark = max(",;|\t", key=lambda one: text.count(one, place, end))
                columns = []
                if _LEAST - 1 <= text.count(mark, place, end) < _MOST:
                    columns = self._columns(text, place, end, mark)
            place += len(line)

    def _columns(self, text: str, start: int, end: int, mark: str) -> list[int]:
        """Where the head of a table has our keys; none if it is no head."""
        cells = [text[begin:stop] for begin, stop in _cells(text, start, end, mark)]
        filled = [cell for cell in cells if cell]
        if len(filled) < _LEAST or not all(_HEAD.fullmatch(cell) for cell in filled):
            return []
        return [place for place, cell in enumerate(cells) if self._head.match(cell)]


_HEAD = re.compile(r"[^\W\d][\w \-]{0,30}")


def _cells(text: str, start: int, end: int, mark: str) -> list[tuple[int, int]]:
    """The cells of a row, without the quotes and blanks around them."""
    cells = []
    place = start
    while place <= end:
        stop = _end_of_cell(text, place, end, mark)
        begin, last = place, stop
        while begin < last and text[begin] in " \t\"'`":
            begin += 1
        while last > begin and text[last - 1] in " \t\"'`":
            last -= 1
        cells.append((begin, last))
        place = stop + 1
    return cells


def _end_of_cell(text: str, start: int, end: int, mark: str) -> int:
    place = start
    while place < end and text[place] == " ":
        place += 1
    quote = text[place : place + 1]
    closed = text.find(quote, place + 1, end) if quote in ("'", '"') and quote else -1
    found = text.find(mark, closed + 1 if closed >= 0 else place, end)
    return end if found < 0 else found
