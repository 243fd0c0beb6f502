"""What a text is read as: without characters that hide others, with offsets that lead back."""

from __future__ import annotations

import html
import re
import unicodedata
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from agno_portkey.guardrails.pii.spans import Span

__all__ = ["Reading", "for_ner", "read"]

# All that is read as something else: a text without any of it is read as it stands.
_ODD = re.compile(r"[^\t-\r\x1c-\x7e]|\\(?:u[0-9A-Fa-f]{4}|[nrt])|&[#A-Za-z]|%[2-7CDcd][0-9A-Fa-f]")
# Letters and ends of lines that are written out, as JSON does, or JSON in JSON.
_WRITTEN = re.compile(r"\\{1,8}(?:u([0-9A-Fa-f]{4})|([nrt]))")
# Characters that HTML and links write as codes, twice over too: of the latter those that a name,
# an address or a number may be made of, and letters that take two bytes.
_CODED = re.compile(
    r"&(?:amp;){0,4}(?P<entity>#(?:[xX][0-9A-Fa-f]{1,6}|\d{1,7})|[A-Za-z]{2,8}\d{0,2});"
    r"|%(?:25){0,4}(?P<byte>2[DdEe]|3\d|4[0-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])"
    r"|%(?:25){0,4}(?P<one>[CDcd][0-9A-Fa-f])%(?:25){0,4}(?P<two>[89ABab][0-9A-Fa-f])"
)
# Words between the marks of Markdown that are letters elsewhere.
_STRESSED = re.compile(r"(?<!\w)(_{1,2})([^\W_][^_\n]{1,158}[^\W_])\1(?!\w)")
_BREAKS = {"n": "\n", "r": "\r", "t": "\t"}
# Zero-width and direction marks, soft hyphens, variation selectors, controls and the colours of a
# terminal: they are not seen, and split what is.
_UNSEEN = re.compile(
    "\x1b\\[[0-9;]{0,16}[A-Za-z]|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Marks on letters, of scripts that can be read without them; and whatever bears some.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_MARKED = re.compile(f"[^\\s{_MARKS}][{_MARKS}]+")
# Compatibility forms that are one character each, the digits of all scripts, and half of a
# surrogate pair.
_COMPATIBLE = re.compile(
    "(?![0-9])\\d|[\ud800-\udfff\u00a0\u2000-\u200a\u2024\u2010-\u2015\u202f\u3000\ufe50-\ufe6b"
    "\uff01-\uff5e\U0001d400-\U0001d7ff]"
)
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")

# A longer run without white space is hard for the tokenizer, which is quadratic in brackets.
LONGEST_RUN = 400
_RUN = re.compile(rf"\S{{{LONGEST_RUN},}}")
_MARK = re.compile(r"[^\w\s]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it is read.

    Its character `i` stands for what is from `starts[i]` up to `ends[i]` in the original.
    """

    text: str
    starts: array[int] | None = None
    ends: array[int] | None = None

    def back(self, span: Span) -> Span:
        """`span` in the original, with the unseen characters inside it."""
        if self.starts is None or self.ends is None:
            return span
        return Span(self.starts[span.start], self.ends[span.end - 1], span.type, span.score)

    def replaced(self, form: re.Pattern[str], instead: Callable[[re.Match[str]], str]) -> Reading:
        """This one with one character, or none, in the place of all that has `form`."""
        texts: list[str] = []
        starts, ends, at = array("q"), array("q"), 0
        for match in form.finditer(self.text):
            begin, end = match.span()
            if (said := instead(match)) == match[0]:
                continue
            texts += (self.text[at:begin], said)
            starts.extend((*range(at, begin), *[begin] * len(said)))
            ends.extend((*range(at + 1, begin + 1), *[end] * len(said)))
            at = end
        if not texts:
            return self
        texts.append(self.text[at:])
        starts.extend(range(at, len(self.text)))
        ends.extend(range(at + 1, len(self.text) + 1))
        if self.starts is not None and self.ends is not None:
            starts = array("q", [self.starts[place] for place in starts])
            ends = array("q", [self.ends[place - 1] for place in ends])
        return Reading("".join(texts), starts, ends)


def read(text: str) -> Reading:
    """`text` as a person reads it.

    Surrogates are replaced, compatibility forms made plain, letters joined with their marks, what
    is written out as an escape or a code is read as what it means, and unseen characters are left
    out.
    """
    if "_" in text:
        text = _STRESSED.sub(_unstressed, text)
    if _ODD.search(text) is None:
        return Reading(text)
    reading = Reading(text).replaced(_WRITTEN, _meant).replaced(_CODED, _decoded)
    plain = _COMPATIBLE.sub(_compatible, reading.text)
    reading = Reading(plain, reading.starts, reading.ends)
    return reading.replaced(_UNSEEN, lambda match: "").replaced(_MARKED, _joined)


def _meant(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else _BREAKS[match[2]]


def _decoded(match: re.Match[str]) -> str:
    if (entity := match["entity"]) is not None:
        plain = html.unescape(f"&{entity};")
        return plain if len(plain) == 1 else match[0]
    codes = (match["byte"], match["one"], match["two"])
    return unquote("".join(f"%{code}" for code in codes if code))


def _unstressed(match: re.Match[str]) -> str:
    """The same with other marks around it; a name of a program has no spaces, and stays."""
    marks = "*" * len(match[1])
    return f"{marks}{match[2]}{marks}" if " " in match[2] else match[0]


def _joined(match: re.Match[str]) -> str:
    """A letter with its marks as one character, without the marks that it can't be joined with."""
    return unicodedata.normalize("NFC", match[0])[0]


def _compatible(match: re.Match[str]) -> str:
    char = match[0]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    digit = unicodedata.decimal(char, None)
    plain = _DASHES.get(ord(char)) if digit is None else str(digit)
    plain = plain or unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char


def for_ner(text: str) -> str:
    """`text`, as long as it was, with the marks in overlong runs blanked."""
    return _RUN.sub(lambda run: _MARK.sub(" ", run[0]), text)
