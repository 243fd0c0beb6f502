"""Names of people after words that introduce one, and as values of the keys of data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector
from agno_portkey.guardrails.pii.fields import names_a_person
from agno_portkey.guardrails.pii.names import (
    PARTICLES,
    TITLES,
    in_code,
    known_names,
    without_possessive,
)
from agno_portkey.guardrails.pii.words import COMPANIES, NOT_NAMES

__all__ = ["CueDetector"]

_WORDS = re.compile(r"[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*")
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
        r"(?:the )?name (?:of )?|partner's name |\bim |\bi'?m |\bi am |\bthis is |\bit'?s |"
        r"\bspeaking (?:with|to) |"
        r"\bsoy |\bje suis |je m'appelle |\bich (?:bin|hei(?:ß|ss)e) |me llamo |mi chiamo |\bmet |"
        r"\bjag heter |\bjeg heter |meu nome é |chamo-me |mam na imię )"
        rf"(?P<name>{_NAME}(?: {_NAME}){{0,3}})",
        re.IGNORECASE,
    )
    _capital = re.compile(
        r"(?:\b(?:[Mm]rs?|[Mm]s|[Dd]r|[Pp]rof|[Mm]x|[Ss]r|[Ss]ra)\. ?|\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|"
        r"Miss|Professor|Sir|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Signora?|Doctor|Mister|"
        r"Shri|Smt\.?|Lady|Lord) |"
        r"\b(?:Dear|Hi|Hello|Hey|Regards|[Rr]egards|Sincerely|Cheers|Thanks|Best|Best wishes|"
        r"Signed|Yours)(?:,? ?\n{0,2}|,? )(?:(?:Mrs?|Ms|Mx|Dr|Prof)\.? )?(?=\S)|"
        r"\b(?:Cc|CC|Attn|Attention|From|To|Contact|[Aa]ssignee|[Aa]uthor|[Rr]eporter|"
        r"[Rr]eviewer|Reported by|[Oo]wner|[Aa]pprover|[Mm]anager|[Cc]ustomer|"
        r"[Pp]atient|Client|[Ee]mployee|Tenant|[Rr]ecipient|[Ss]ender|[Hh]older|[Bb]eneficiary|"
        r"Attendees|Caller|Name|Guest|Passenger|Applicant|Candidate|Ship to|"
        r"[Ss]hip to|[Bb]ill to|[Nn]ame|[Cc]ontact):[ \n]\s?|"
        r"\b(?:I'm|I am|[Tt]his is|it's|speaking with|spoke (?:to|with)|talk(?:ed)? (?:to|with)|"
        r"meet(?:ing)? with|"
        r"named|beneficiary|on behalf of|cc|[Aa]sk|[Tt]ell|[Ee]mail|[Pp]ing|[Rr]emind|"
        r"[Nn]otify|[Ii]nvite|[Tt]hank|meet|recommend|forward to|deliver to|assign(?:ed)? to|"
        r"reported by|signed by|written by|"
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

    # Who speaks, in the lines of a chat.
    _speaker = re.compile(
        r"^[ \t>*\-]{0,4}(?:\[?\d[\d:. apmAPMTZ/\-]{3,25}\]?[ \-]{1,3})?\*{0,2}"
        rf"(?P<name>{_NAME}(?: {_NAME})?)\*{{0,2}}:\*{{0,2}} (?=\S)",
        re.MULTILINE,
    )
    # A name right before an address or a number where its owner is reached.
    _beside = re.compile(
        rf"(?<![\w@/.\-])(?P<name>{_CAP}(?: {_CAP}){{1,3}})[ \"'*]{{0,3}}[,(<|:\[;][ \"'*|]{{0,4}}"
        r"(?:[\w.+%\-]{1,64}@|\+\d|\(?0\d[\d ()\-]{5}|\(\d{3}\) ?\d{3}|\d{3}[.\-]\d{3}[.\-]\d{4})"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._any.finditer(text):
            yield from self._parts(text, match, loose=True)
        yield from self._speakers(text)
        yield from _turned(text)
        for match in self._beside.finditer(text):
            if names_a_person(match["name"], sure=True):
                yield match.start("name"), match.end("name"), 0.85
        for pattern in (self._capital, self._acting):
            for match in pattern.finditer(text):
                yield from self._parts(text, match, loose=False)

    def _speakers(self, text: str) -> Iterator[tuple[int, int, float]]:
        given = known_names().given
        for match in self._speaker.finditer(text):
            if match["name"].split()[0].lower() in given:
                yield match.start("name"), match.end("name"), 0.8

    @staticmethod
    def _parts(text: str, match: re.Match[str], *, loose: bool) -> Iterator[tuple[int, int, float]]:
        """The words of the match up to the first that is no part of a name."""
        begin, names = match.start("name"), known_names()
        end = begin
        for word in _WORDS.finditer(text, begin, match.end("name")):
            lower = word[0].lower()
            capital = word[0][0].isupper()
            if lower in TITLES:
                break
            if end > begin and lower in COMPANIES:
                return
            titled = word.start() == begin and _MARKED.search(text[max(0, begin - 12) : begin])
            if lower in NOT_NAMES and not (capital and (titled or names.may_be(lower))):
                break
            known = lower in names.given or lower in names.family or lower in PARTICLES
            if loose and not capital and not known and not _introduced(text, match, word, end):
                break
            if in_code(text, word.start(), word.end()):
                break
            end = word.end()
            if len(lower) > 3 and text[end : end + 2] == ". ":
                break
        if end > begin + 1:
            yield begin, without_possessive(text, begin, end), 0.9


# Nothing but a name comes after these.
_SELF = re.compile(
    r"my name(?: is|'s) |me llamo |mi chiamo |je m'appelle |ich hei(?:ß|ss)e |heter |chamo-me ",
    re.IGNORECASE,
)
_AFTER_NAME = re.compile(r"[ ]?(?:[,.;!?\n)]|\Z|(?:and|from|at|in|with|und|et|y|e|but) )")


def _introduced(text: str, match: re.Match[str], word: re.Match[str], end: int) -> bool:
    """Whether a word in lower case, of no name that is known, is one where it stands."""
    first = word.start() == match.start("name")
    if first and _SELF.search(match[0]) is not None:
        return True
    return not first and word.start() == end + 1 and _AFTER_NAME.match(text, word.end()) is not None


# `Lee, Ann` and `LEE, Ann`; `first="Ann", last="Lee"`.
_TURNED = re.compile(
    rf"(?<=\")(?P<a>{_CAP}, (?P<given>{_CAP})(?: {_CAP}){{0,2}})(?=\")"
    rf"|(?<![^\W_])(?P<b>[^\W\d_a-z]{{3,30}}, (?P<other>[^\W\d_a-z][^\W\d_A-Z]{{1,30}}))\b"
)
_PAIR = re.compile(
    rf"\bfirst[\"']? ?[:=] ?[\"']{_NAME}[\"'],\s*[\"']?last[\"']? ?[:=] ?"
    rf"[\"'](?P<name>{_NAME})[\"']"
)


def _turned(text: str) -> Iterator[tuple[int, int, float]]:
    given = known_names().given
    for match in _TURNED.finditer(text):
        group = "a" if match["a"] else "b"
        if (match["given"] or match["other"]).lower() in given:
            yield match.start(group), match.end(group), 0.85
    for match in _PAIR.finditer(text):
        yield match.start("name"), match.end("name"), 0.85
