"""What a text is read as: without characters that hide others, with offsets that lead back."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agno_portkey.guardrails.pii.spans import Span

__all__ = ["Reading", "for_ner", "read"]

# Zero-width and direction marks, soft hyphens and variation selectors: they are not seen, and
# split what is.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Compatibility forms that are one character each: full-width digits and letters, and the like.
_COMPATIBLE = re.compile(
    "[\u00a0\u2000-\u200a\u2024\u2010-\u2015\u202f\u3000\ufe50-\ufe6b\uff01-\uff5e\U0001d400-\U0001d7ff]"
)
_DASHES = dict.fromkeys(range(0x2010, 0x2016), "-")

# A longer run without white space is hard for the tokenizer, which is quadratic in brackets.
LONGEST_RUN = 400
_RUN = re.compile(rf"\S{{{LONGEST_RUN},}}")
_MARK = re.compile(r"[^\w\s]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it is read; `places[i]` is where its character `i` stands in the original."""

    text: str
    places: list[int] | None = None

    def back(self, span: Span) -> Span:
        """`span` in the original, with the unseen characters inside it."""
        if self.places is None:
            return span
        start, end = self.places[span.start], self.places[span.end - 1] + 1
        return Span(start, end, span.type, span.score)


def read(text: str) -> Reading:
    """`text` with surrogates replaced, compatibility forms made plain and unseen ones left out."""
    if text.isascii():
        return Reading(text)
    plain = _SURROGATE.sub("\ufffd", text)
    plain = _COMPATIBLE.sub(_compatible, plain)
    if _UNSEEN.search(plain) is None:
        return Reading(plain)
    unseen = {match.start() for match in _UNSEEN.finditer(plain)}
    places = [place for place in range(len(plain)) if place not in unseen]
    return Reading("".join([plain[place] for place in places]), places)


def _compatible(match: re.Match[str]) -> str:
    char = match[0]
    plain = _DASHES.get(ord(char)) or unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 else char


def for_ner(text: str) -> str:
    """`text`, as long as it was, with the marks in overlong runs blanked."""
    return _RUN.sub(lambda run: _MARK.sub(" ", run[0]), text)
