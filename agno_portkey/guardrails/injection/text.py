"""Brings a text into the one form in which it is scored, whatever it is dressed up as.

Deterministic on every platform, and linear in the length of the text.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata

__all__ = ["tokens", "views"]

# Words, numbers, and marks in twos or threes: `###` and `{{` say more than `#`.
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]{1,3}|_")
_WORD = re.compile(r"\w+")
_LEET = re.compile(r"[a-z0-9@$|!+]{3,30}")
_SPACED = re.compile(r"(?<!\w)(?:[a-z0-9][ .*_-]){3,}[a-z0-9](?!\w)")
_GAPS = re.compile(r"[ .*_-]")
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{20,}")
_HEX = re.compile(r"(?:(?:\\x|%|0x| )?[0-9a-fA-F]{2}){8,}")
_NOT_HEX = re.compile(r"\\x|%|0x| ")

# Characters that are written as entities of HTML or escapes of JSON, in a row.
_ESCAPED = re.compile(r"(?:&#x?[0-9a-fA-F]{2,5};|\\u[0-9a-fA-F]{4}){4}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
# What a terminal obeys and nobody reads.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")

_LETTERS = str.maketrans("01345789@$|!+", "oieastbgasiit")
_LEET_MARKS = frozenset("01345789@$|!+")
# Cyrillic and Greek letters that look like Latin ones.
_ALIKE = str.maketrans(
    "\u0430\u0432\u0441\u0501\u0435\u04bb\u0456\u0458\u043a\u04cf\u043c\u043e\u0440"
    "\u051b\u0455\u0442\u0443\u0445\u051d\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bd"
    "\u03bf\u03c1\u03c4\u03c5\u03c7\u03b3\u03c9\u03f2\u0437",
    "abcdehijklmopqstyxwabenikvoptuxywcz",
)
# Small capitals.
_SMALL = dict(
    zip(
        "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274"
        "\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
        "abcdefghijklmnoprstuvwyz",
        strict=True,
    )
)
# How many code points are remembered.
_KNOWN = 8_192


class _Folds(dict[int, str]):
    """What each character is read as: no case, accents, marks of width or direction."""

    def __missing__(self, code: int) -> str:
        if 0xE0020 <= code <= 0xE007E:  # invisible twins of ASCII
            return chr(code - 0xE0000).lower()
        if 0x1F1E6 <= code <= 0x1F1FF:  # the letters that flags are made of
            return chr(code - 0x1F1E6 + ord("a"))
        plain = unicodedata.normalize("NFKD", chr(code)).casefold()
        plain = unicodedata.normalize("NFKD", plain)
        kept = "".join(
            _SMALL.get(c, c)
            for c in plain
            if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cs")
        )
        if len(self) < _KNOWN:
            self[code] = kept
        return kept


_FOLDS = _Folds()


def views(text: str) -> list[str]:
    """`text` as it is read, and whatever is said in base64, hex or escapes within it.

    What was encoded twice is decoded twice.
    """
    once = _decoded(text)
    twice = [said for each in once for said in _decoded(each)]
    return [_folded(each) for each in (text, *once, *twice)]


def tokens(view: str) -> list[str]:
    """The words and marks of a view; every number counts as the same."""
    return ["0" if token[0].isdigit() else token[:40] for token in _TOKEN.findall(view)]


def _folded(text: str) -> str:
    text = _CONTROL.sub("", text)
    plain = text.lower() if text.isascii() else _WORD.sub(_unmixed, text.translate(_FOLDS))
    plain = _SPACED.sub(lambda found: _GAPS.sub("", found.group()), plain)
    return _LEET.sub(_spelled, plain)


def _unmixed(word: re.Match[str]) -> str:
    """A word with letters of two scripts, in one."""
    said = word.group()
    if said.isascii() or not any("a" <= c <= "z" for c in said):
        return said
    return said.translate(_ALIKE)


def _spelled(word: re.Match[str]) -> str:
    """A word that is written with digits and marks for letters, with letters."""
    said = word.group().rstrip("!+|")
    letters = sum(c.isalpha() for c in said)
    if letters == len(said) or letters < 2 or _LEET_MARKS.isdisjoint(said):
        return word.group()
    read = said.translate(_LETTERS)
    return read if read.isalpha() else word.group()


def _decoded(text: str) -> list[str]:
    """What stands in the text in base64 or hex, where that is words."""
    found = [_unescaped(text)] if _ESCAPED.search(text) is not None else []
    for pattern, decode in ((_ENCODED, _from_base64), (_HEX, _from_hex)):
        for run in pattern.finditer(text):
            if said := decode(run.group()):
                found.append(said)
    return found


def _unescaped(text: str) -> str:
    return html.unescape(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))


def _from_base64(run: str) -> str:
    run = run.replace("-", "+").replace("_", "/")
    # Most runs are none: their beginning tells.
    if not _words(_bytes(run[:24])):
        return ""
    return _words(_bytes(run))


def _bytes(run: str) -> bytes:
    run = run[: len(run) - 1] if len(run) % 4 == 1 else run
    return base64.b64decode(run + "=" * (-len(run) % 4))


def _from_hex(run: str) -> str:
    return _words(bytes.fromhex(_NOT_HEX.sub("", run)))


def _words(raw: bytes) -> str:
    """`raw` as a text, if it is one in letters and spaces; else nothing."""
    said = raw.decode("utf-8", errors="ignore")
    telling = sum(c.isalpha() or c.isspace() for c in said)
    return said if len(raw) >= 6 and telling > 0.8 * len(raw) else ""
