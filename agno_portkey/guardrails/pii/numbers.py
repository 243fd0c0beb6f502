"""Cards, bank accounts, social security and other numbers that have a form or a check digit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector, words_before
from agno_portkey.guardrails.pii.words import listed

__all__ = ["CardDetector", "IbanDetector", "IdDetector", "ItinDetector", "SsnDetector"]

_DIGIT = re.compile(r"\d")
_SEPARATORS = re.compile(r"[\s\-._/]")
# With what stands between its digits, and what tells that it ends.
_LONGEST_CARD = 24


def luhn(digits: str) -> bool:
    """Whether the check digit of a card number is right."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


class CardDetector(Detector):
    """Payment cards of 12 to 19 digits, by issuer and check digit."""

    type = "CREDIT_CARD"
    gate = re.compile(r"\d{4}|\d[ \-]\d")
    _form = re.compile(r"(?<![\w.])(?<!\d[-])\d(?:[ \-.]?\d){11,18}(?![\d])(?!-\d)(?!\w)")
    # In fours with other marks between, or over two lines; much else is written so.
    _fours = re.compile(
        r"(?<![\w./])\d{4}(?:([_/])\d{4}(?:\1\d{4}){2}"
        r"|(?:(?:[ \-]|[ \t]?\r?\n[ \t]{0,8})\d{4}){3})(?![\w/])(?!-\d)"
    )
    # Beside other figures, as the month it expires in or its code; no quarter of a longer number.
    _within = re.compile(
        r"(?<![\w.])(?<!\d-)(?<!\d{4}[ \-])(?=(?P<card>\d{13,19}|\d{4}([ \-])\d{4}\2\d{4}\2\d{4}"
        r"|3\d{3}([ \-])\d{6}\3\d{5})(?!\w)(?!-\d)(?!\.\d))"
    )
    _issuer = re.compile(r"4|5|6[0-9]|3[0-9]|1800|2131|22[2-9]|2[3-6]|27[01]|2720|220[0-4]|9[0-9]")
    _context = re.compile(
        r"card|\bcc\b|visa|master ?card|maestro|amex|american express|diners|pan\b"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            digits = _SEPARATORS.sub("", match[0])
            known = self._is_known(digits)
            if known and luhn(digits):
                if digits[0] != "9":
                    yield match.start(), match.end(), 1.0
                continue
            yield from self._beside_others(text, match)
            if known and self._context.search(words_before(text, match.start(), 40)) is not None:
                yield match.start(), match.end(), 0.6
        for match in self._fours.finditer(text):
            digits = _SEPARATORS.sub("", match[0])
            if self._issuer.match(digits) is None or not luhn(digits):
                continue
            if self._context.search(words_before(text, match.start(), 40)) is not None:
                yield match.start(), match.end(), 0.9

    def _beside_others(self, text: str, match: re.Match[str]) -> Iterator[tuple[int, int, float]]:
        """Cards that begin within `match`, which as a whole is none."""
        for inner in self._within.finditer(text, match.start(), match.end() + _LONGEST_CARD):
            digits = _SEPARATORS.sub("", inner["card"])
            if self._is_known(digits) and luhn(digits) and digits[0] != "9":
                yield inner.start("card"), inner.end("card"), 1.0

    def _is_known(self, digits: str) -> bool:
        return self._issuer.match(digits) is not None and len(set(digits)) > 1


# How long an account number is, by country.
_LENGTHS = {
    code: int(length)
    for code, _, length in (
        pair.partition(":")
        for pair in listed(
            """
            AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21
            CR:22 CY:28 CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18
            FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 IE:22 IL:23 IQ:23
            IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27
            MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28
            PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27
            SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 XK:20 YE:30
            """
        )
    )
}


class IbanDetector(Detector):
    """International bank account numbers, by country and checksum."""

    type = "IBAN_CODE"
    gate = re.compile(r"[A-Za-z]{2}\d{2}")
    _form = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ \-.]?[A-Za-z0-9]){11,30}")
    _context = re.compile(r"iban|bank account|account (?:no|number)")

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        at = 0
        while (match := self._form.search(text, at)) is not None:
            # What goes on behind a number, or began before it, may hold the next one.
            at = match.start() + 2
            length = _LENGTHS.get(match[0][:2].upper(), 0)
            end = _end_of(text, match.start(), match.end(), length)
            if not length or not end or text[end : end + 1].isalnum():
                continue
            code = re.sub(r"[ \-.]", "", text[match.start() : end]).upper()
            turned = "".join(str(int(char, 36)) for char in code[4:] + code[:4])
            if int(turned) % 97 == 1:
                yield match.start(), end, 1.0
            elif self._context.search(words_before(text, match.start(), 40)) is not None:
                yield match.start(), end, 0.6


def _end_of(text: str, start: int, end: int, length: int) -> int:
    """Where the `length`th letter or digit from `start` ends; 0 if there are fewer."""
    for place in range(start, end):
        length -= text[place].isalnum()
        if length == 0:
            return place + 1
    return 0


class SsnDetector(Detector):
    """US social security numbers: grouped, or nine digits after words that say so."""

    type = "US_SSN"
    gate = re.compile(r"\d{3}.?\d{2}.?\d{4}")
    _form = re.compile(r"(?<![\w.-])(\d{3})([ \-.]?)(\d{2})\2(\d{4})(?![\w-])(?!\.\d)")
    _context = re.compile(r"\bssn\b|social|\bss ?#|\bssn?[_\"':]")

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            area, mark, group, serial = match.groups()
            told = self._context.search(words_before(text, match.start(), 40)) is not None
            if area == "000" or group == "00" or serial == "0000":
                continue
            if told or (mark == "-" and area != "666"):
                yield match.start(), match.end(), 1.0 if told else 0.85


class ItinDetector(Detector):
    """US taxpayer numbers after words that say so."""

    type = "US_ITIN"
    gate = re.compile(r"9\d{2}")
    _form = re.compile(r"(?<![\w.-])9\d{2}[ \-]?[5-9]\d[ \-]?\d{4}(?![\w-])")
    _context = re.compile(r"itin\b|tax(?:payer)? ?(?:id|number)")

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            if self._context.search(words_before(text, match.start())) is not None:
                yield match.start(), match.end(), 0.9


class IdDetector(Detector):
    """Numbers of a document, named by the words right before them."""

    def __init__(self, type_: str, words: str, form: str = r"[A-Za-z]{0,3}[\d\-]{5,17}\d") -> None:
        self.type = type_
        self._form = re.compile(
            rf"(?:{words})(?:['\u2019]?s)?[ _]?(?:no\.?|num(?:ber)?|id|#)?[\"']?(?: is|:|=|"
            rf"#)?\s{{0,3}}"
            rf"[\"']?(?P<id>{form})(?![\w])",
            re.IGNORECASE,
        )

    gate = _DIGIT

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start("id"), match.end("id"), 0.8
