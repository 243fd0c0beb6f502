"""E-mail addresses, phone numbers, network addresses and links."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from agno_portkey.guardrails.pii.detector import Detector, words_before

__all__ = ["EmailDetector", "IpDetector", "PhoneDetector", "UrlDetector"]


_SIGN = re.compile(r"@|%40|\\u0040|\\x40|&#64;|[(\[]at[)\]]", re.IGNORECASE)


class EmailDetector(Detector):
    """E-mail addresses of any domain, internal ones and percent-encoded ones as well."""

    type = "EMAIL_ADDRESS"
    gate = _SIGN
    # The local part is looked for backwards from the sign, no further than it may be long.
    _local = re.compile(r"[\w.!#$%&'*+/=?^`{|}~\-]{1,64} ?\Z")
    _domain = re.compile(
        r" ?((?:[^\W_](?:[\w\-]{0,61}[^\W_])?(?:\.| ?[(\[]dot[)\]] ?)){1,8}(?:[^\W\d_]{2,24}|"
        r"xn--[\w\-]{2,58}))(?![\w])",
        re.IGNORECASE,
    )
    _version = re.compile(r"[\d.]+\.\d|\d+\.\w+-")

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for sign in _SIGN.finditer(text):
            before = text[max(0, sign.start() - 65) : sign.start()]
            local, domain = self._local.search(before), self._domain.match(text, sign.end())
            if local is None or domain is None or self._version.match(domain[1]):
                continue
            name = local[0].strip()
            # What quotes and assigns is no part of the name, though the standard allows it.
            name = re.split(r"[=/|{}`?!&]|^['*#]+", name)[-1]
            name = name.removeprefix("mailto:").lstrip(".'-")
            if not name or (name == "git" and text[domain.end() : domain.end() + 1] == ":"):
                continue
            spaced = local[0] != local[0].strip() or domain[0][0] == " "
            if spaced and sign[0][0] not in "([":
                continue
            start = sign.start() - len(local[0]) + local[0].rindex(name)
            yield start, domain.end(), 1.0


_GOES_ON = re.compile(r",\d")
# Digits of a number with its area, which amounts seldom have.
_WHOLE = 10


class PhoneDetector(Detector):
    """Phone numbers: international ones, usual groupings, and any number said to be one."""

    type = "PHONE_NUMBER"
    gate = re.compile(r"\d[\d().\- /]{5}")
    _form = re.compile(
        r"(?<![\w.$€£#@/\\-])(?:\+ ?|%2B|\(\+?)?\d(?:[ ().\-/\u00a0]{0,3}\d){5,17}(?:[ ,]{0,2}(?:x|"
        r"ext\.?|extension) ?\d{1,6})?(?!\w)(?![./:\-]\d)"
    )
    _strong = re.compile(
        r"\(?\+ ?\d|%2B\d|(?:(?:\+|00)?1[ .\-])?\(\d{3}\) ?\d{3}[ .\-]\d{4}|(?:(?:00)?1[ "
        r".\-])?\d{3}([.\-])\d{3}\1\d{4}(?!\d)"
        r"|\d{3} \d{3}[ \-]\d{4}(?!\d)|\(\d{2,5}\) ?\d{3,4}[ \-]?\d{3,4}"
        r"|0\d{1,4}(?:([ .\-])\d{2,4})(?:\2\d{2,4}){1,4}\Z|0\d{1,3}-\d{2,3}(?: \d{2,3}){1,3}\Z"
        r"|\(0\d{1,4}\) ?\d{3,}"
        r"|00[1-9]\d{0,2}[ .\-/]\d{1,4}[ .\-/]\d{4,9}\Z"
        r"|\(\d{3}\)\d{3}-\d{4}|0\d{1,4}[ /\-]\d{6,8}\Z"
    )
    _context = re.compile(
        r"phone|mobile|caller|pager|\bcell|\btel\b|\btel[.:]|\bfax|call(?:ing|ed)?\b|\bdial|whatsapp|\bsms\b|"
        r"\btext(?:ed)? |"
        r"\bmobil\b|telefon|tel[eé]fono|t[eé]l[eé]phone|\bm[oó]vil|celular|cellulare|\bhandy\b|"
        r"landline|callback|durchwahl|puhelin|mobiel|\bgsm\b|komórk|numer|nummer|numéro|número|"
        r"@[\w.\-]+[\"']?[,;|\t] ?\Z|reach (?:me|him|her|us|them)|contact|\bdesk:|office:|"
        r"\bhome:|\bring\b|hotline|registered|messages? to|answering at|msisdn"
    )
    _after = re.compile(
        r"[ \-(]{0,2}(?:fax|office|mobile|cell|home|work|phone|tel)\b", re.IGNORECASE
    )
    _against = re.compile(
        r"(?:order|invoice|ticket|tracking|sku|isbn|case|ref(?:erence)?|version|part|serial|build|"
        r"commit|batch|model|lot|po|rfc|issue|card|iban|account|ssn|security|license|licence|zip|"
        r"passport|request|trace|job|run|session|transaction|timestamp|epoch|routing|firmware|created|"
        r"updated|modified|expires|amount|total|price|balance|size|score)"
        r"[ _]?(?:no\.?|number|id|#|code|at)?[\"']?\s?(?:is|:|#|=)?\s?[\"'#]?\Z"
    )
    _date = re.compile(
        r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ]\d{1,2}(?!\d)|\d{1,2}[-./ ]\d{1,2}[-./ "
        r"](?:19|20)\d\d\b|(?:\d{1,3}\.){3}\d{1,3}\Z"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            found = match[0]
            digits = sum(char.isdigit() for char in found.partition("x")[0].partition("e")[0])
            if not 7 <= digits <= 15 or self._date.match(found):
                continue
            before = words_before(text, match.start(), 44)
            strong = self._strong.match(found) is not None
            told = self._context.search(before) is not None or self._after.match(text, match.end())
            if self._against.search(before[-28:]) and not (told and found[0] in "+(0"):
                continue
            # A comma and a figure go on with an amount, or with the next cell of a row.
            if _GOES_ON.match(text, match.end()) and not (strong and digits >= _WHOLE):
                continue
            if told or strong:
                yield match.start(), match.end(), 0.9 if told and strong else 0.7


class IpDetector(Detector):
    """Network addresses of both versions, except those that mean no machine in particular."""

    type = "IP_ADDRESS"
    gate = re.compile(r"\d\.\d|:[0-9A-Fa-f:]")
    # One, or the first and the last of a range.
    _v4 = re.compile(
        r"(?<![\w.\-])(?<![A-Za-z]/)(?P<one>(?:\d{1,3}\.){3}\d{1,3})"
        r"(?:-(?P<last>(?:\d{1,3}\.){3}\d{1,3}))?(?![\w])(?!\.\d)(?!-\w)"
    )
    _v6 = re.compile(
        r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\.\d{1,3}){3})?"
        r"(?!\w|:[\w:])"
    )
    _version = re.compile(
        r"(?:section|clause|chapter|article|kernel|driver|schema|revision|\brev\.?|sdk|runtime|patch|"
        r"version|release|==|>=|~=|\bv|\bver\.?|firmware|build)\s?[\"':=]{0,3}\s?\Z"
    )

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._v4.finditer(text):
            if self._version.search(words_before(text, match.start(), 16)):
                continue
            for group in ("one", "last"):
                if match[group] and self._is_one(match[group]):
                    yield match.start(group), match.end(group), 0.95
        for match in self._v6.finditer(text):
            # `2001:db8::1: no route`: the last colon is the sentence's.
            found = re.sub(r"(?<!:):\Z", "", match[0])
            groups = [group for group in found.split(":") if group]
            clear = len(groups) >= 3 or any(char.isdigit() for char in found[:4])
            if clear and len(groups) > 1 and self._is_one(found):
                yield match.start(), match.start() + len(found), 0.95

    @staticmethod
    def _is_one(found: str) -> bool:
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            return False
        return not (address.is_loopback or address.is_unspecified or found.startswith("255."))


class UrlDetector(Detector):
    """Links with a scheme or `www.`."""

    type = "URL"
    gate = re.compile(r"://|www\.", re.IGNORECASE)
    _form = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"'`{}|\\^]{3,2000}", re.IGNORECASE)

    def look(self, text: str) -> Iterator[tuple[int, int, float]]:
        for match in self._form.finditer(text):
            yield match.start(), match.start() + len(match[0].rstrip(".,;:!?)]")), 0.8
