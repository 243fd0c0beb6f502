"""What describes a person: age, title, dates. Looked for only when asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector

__all__ = ["AgeDetector", "CompanyDetector", "DateDetector", "TitleDetector"]


class AgeDetector(Detector):
    """Numbers of years that a person is old."""

    type = "AGE"
    gate = re.compile(r"\d")
    _form = re.compile(
        r"(?P<a>\b(?:1[01]\d|\d{1,2}))(?=[ \-]?(?:years?|yrs?|months?)[ \-]old|[ \-]?y/?o\b)"
        r"|\b(?:turn(?:ed|s|ing)?|aged?|age of|age is|age:|[\"']age[\"']:|when (?:he|she|they) "
        r"(?:was|were)|(?:I'm|I am|he is|she is|he's|she's)) ?"
        r"(?P<b>1[01]\d|\d{2})\b(?!%|\.\d|[ \-]?(?:percent|minutes?|hours?|days?|weeks?|km|kg|"
        r"miles|items|am|pm)\b)",
        re.IGNORECASE,
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            group = "a" if match["a"] else "b"
            yield match.start(group), match.end(group), 0.9


class TitleDetector(Detector):
    """Forms of address before a name."""

    type = "TITLE"
    _form = re.compile(
        r"\b(?:Mrs?|Ms|Mx|Dr|Prof|Sr|Sra)\.(?= )|\b(?:Miss|Professor|Mr|Mrs|Ms|Dr)(?= "
        r"[^\W\d_a-z])|\bms\.(?= )"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start(), match.end(), 0.9


class DateDetector(Detector):
    """Dates and times in figures."""

    type = "DATE_TIME"
    gate = re.compile(r"\d")
    _form = re.compile(
        r"(?<![\w.\-/])(?:\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?|"
        r"\d{1,2}[/.\-]\d{1,2}[/.\-](?:\d{4}|\d{2})(?:[T "
        r"]\d{1,2}:\d{2}(?::\d{2})?)?)(?![\w/\-])(?!\.\d)"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start(), match.end(), 0.9


_CAP = r"[^\W\d_a-zß-öø-ÿ][\w&'\u2019.\-]{0,30}"
_FORM = (
    r"(?:Inc|Incorporated|LLC|L\.L\.C|Ltd|Limited|GmbH|AG|Corp|Corporation|PLC|plc|LLP|S\.A|B\.V|"
    r"Group|Holdings|Technologies|Solutions|Systems|"
    r"Partners|Associates|Consulting|Capital|Ventures|Sons|Investments|Insurance|Bank|Labs)\b\.?"
)


class CompanyDetector(Detector):
    """Companies by their legal form, by partners' names, and after words such as `work for`."""

    type = "ORGANIZATION"
    _forms = (
        re.compile(rf"(?<![\w])(?:{_CAP},? (?:and )?){{1,5}}{_FORM}"),
        re.compile(rf"(?<![\w])(?P<of>{_CAP}, {_CAP} and {_CAP})"),
        re.compile(
            r"(?:\b[Ww]ork(?:s|ed|ing)? (?:for|at)|\bemployed (?:by|at)|\baccording to the|"
            r"\byear at|\bCEO of|\bacquired by|\bbecame|\bat company)"
            rf" (?P<of>{_CAP}(?: (?:{_CAP}|of|and|&)){{0,3}})(?<![., ])(?! (?:of|and))"
        ),
        re.compile(
            rf"(?<![\w])(?P<of>{_CAP}(?: {_CAP}){{0,3}}) (?:is the brainchild|is a(?:n \w+)? "
            rf"(?:design|multinational|consult\w+|software|company|startup|non-profit))"
        ),
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for form in self._forms:
            for match in form.finditer(text):
                group = "of" if "of" in form.groupindex else 0
                begin = match.start(group) + 4 * match[group].startswith("The ")
                yield begin, match.end(group), 0.9
