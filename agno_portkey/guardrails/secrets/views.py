"""Other readings of a text: what is broken over lines, encoded, or laced with marks."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

__all__ = ["View", "encoded", "views"]

# A reading, and where in the text each of its characters begins, and the text ends.
View = tuple[str, list[int]]

# A break in a long run of characters, the next line being nothing but its rest; what marks a
# quotation or sets a line in goes with it.
# Two quotes that one text was cut at are such a break as well.
_WRAP = re.compile(
    r"(?<=[\w-]{12})(?P<quote>[\"'])\s{0,20}\+?\s{0,20}(?P=quote)(?=[\w-])"
    r"|(?<=[\w.~+/%-]{40})\\?\r?\n[ \t]{0,12}(?:[>|][ \t]?)?"
    r"(?=[A-Za-z_.~+/%-]{0,80}\d)(?=[\w.~+/%-]{8,400}={0,2}[\"'`]?[ \t]{0,4}(?:[\r\n]|\Z))"
)
# What is not seen: soft hyphens, zero widths, marks of direction, variation selectors.
_UNSEEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]+")
_WIDE = re.compile("[\uff01-\uff5e]")
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){16,}(?![0-9A-Za-z])")


def views(text: str) -> Iterator[View]:
    """The other readings of `text`; none if it has nothing of the kind. Linear in its length."""
    if _UNSEEN.search(text) is not None:
        yield _without(text, _UNSEEN)
    if _WRAP.search(text) is not None:
        yield _without(text, _WRAP)
    if _WIDE.search(text) is not None:
        yield text.translate(_NARROW), [*range(len(text) + 1)]
    if _PERCENT.search(text) is not None:
        yield _decoded(text)


def encoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Where words stand in base64 or hex, and which."""
    for run in _BASE64.finditer(text):
        said = run.group().rstrip("=").replace("-", "+").replace("_", "/")
        # Most runs are none: their beginning tells.
        if _words(_bytes(said[:24])) and (words := _words(_bytes(said))):
            yield *run.span(), words
    for run in _HEX.finditer(text):
        if words := _words(bytes.fromhex(run.group())):
            yield *run.span(), words


def _bytes(run: str) -> bytes:
    run = run[:-1] if len(run) % 4 == 1 else run
    return base64.b64decode(run + "=" * (-len(run) % 4))


def _words(said: bytes) -> str:
    """What was encoded, if that is a text in ASCII."""
    plain = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in said)
    return said.decode("ascii") if plain else ""


def _without(text: str, marks: re.Pattern[str]) -> View:
    kept, places, end = [], list[int](), 0
    for mark in marks.finditer(text):
        kept.append(text[end : mark.start()])
        places += range(end, mark.start())
        end = mark.end()
    return "".join([*kept, text[end:]]), [*places, *range(end, len(text) + 1)]


def _decoded(text: str) -> View:
    kept, places, end = [], list[int](), 0
    for code in _PERCENT.finditer(text):
        kept += [text[end : code.start()], chr(int(code.group()[1:], 16))]
        places += range(end, code.start() + 1)
        end = code.end()
    return "".join([*kept, text[end:]]), [*places, *range(end, len(text) + 1)]
