"""Numbers, units and dates of a text in one spelling each: "ten %" is "10 percent"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from agno_portkey.cache.semantic.english import listed, tables

__all__ = ["is_number", "months", "spelt"]

_ONES = listed("ones")
_TENS = listed("tens")
_ORDINALS = listed("ordinals")
_VALUES = {word: n for n, word in enumerate(_ONES)} | {
    word: 10 * n for n, word in enumerate(_TENS, start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_SHORT_SCALES = {"k": 1000, "bn": 10**9}
_MONTHS = listed("months")
_MONTH = {name[:size]: n for n, name in enumerate(_MONTHS, 1) for size in (3, len(name))} | {
    "sept": 9
}
_SIGNS = frozenset(["$", "€", "£", "¥", "₹"])
# Behind these, "one" is no number.
_BEFORE_ONE = [[w] for w in ("no", "this", "that", "which", "the", "any", "every", "some", "each")]
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}


def is_number(word: str) -> bool:
    """Whether `word` says how many, which one, or when."""
    return any(char.isdigit() for char in word)


def months() -> frozenset[str]:
    """Every way to write a month but "may" and "march", which are other words too."""
    return frozenset(_MONTH) - {"may", "march", "mar"}


def spelt(words: list[str]) -> list[str]:
    """`words` with every number, ordinal and date in digits, each with its unit behind it."""
    return list(_dates(list(_signs(list(_numbers(list(_parts(words))))))))


def _parts(words: list[str]) -> Iterator[str]:
    for word in words:
        if match := re.fullmatch(r"(?:v|\+)(\d[\d.,]*)", word):
            yield match[1]
        elif match := re.fullmatch(r"(\d[\d.,]*?)([a-zµμ%°]+)", word):
            yield from _with_suffix(match[1], match[2], word)
        else:
            yield _ROMAN.get(word, word)


def _with_suffix(number: str, suffix: str, word: str) -> Iterator[str]:
    if suffix in ("st", "nd", "rd", "th"):
        yield f"{number}th"
    elif suffix in _SHORT_SCALES:
        value = Fraction(number.replace(",", "")) if _real(number) else None
        yield word if value is None else _plain(value * _SHORT_SCALES[suffix])
    elif tables().words.get(suffix, suffix) in tables().units and suffix not in ("l", "c", "f"):
        yield from (number, suffix)
    else:
        yield word


def _real(number: str) -> bool:
    return re.fullmatch(r"\d+(,\d{3})*(\.\d+)?", number) is not None


def _plain(value: Fraction) -> str:
    """All digits of `value`, a decimal fraction."""
    places = 0
    while value.denominator > 1:
        value, places = value * 10, places + 1
    digits = str(value.numerator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def _numbers(words: list[str]) -> Iterator[str]:
    place = 0
    while place < len(words):
        word = words[place]
        value, used = _value(words, place)
        if used:
            yield _plain(value)
            place += used
            continue
        if word in _ORDINALS and not (word == "second" and place and is_number(words[place - 1])):
            yield f"{_ORDINALS.index(word) + 1}th"
        elif re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", word):
            yield word.replace(",", "")
        else:
            yield word
        place += 1


def _value(words: list[str], start: int) -> tuple[Fraction, int]:
    """The number that begins at `start`, and how many words it takes; 0 if there is none."""
    place, total, group, seen = start, Fraction(0), Fraction(0), False
    if words[start] == "one" and (
        start + 1 == len(words) or words[start - 1 : start] in _BEFORE_ONE
    ):
        return total, 0
    while place < len(words):
        word = words[place]
        if word in _VALUES and _fits(group, _VALUES[word]):
            group += _VALUES[word]
        elif not seen and _real(word) and place + 1 < len(words) and words[place + 1] in _SCALES:
            group = Fraction(word.replace(",", ""))
        elif word in _SCALES and seen:
            group *= _SCALES[word]
            if word != "hundred":
                total, group = total + group, Fraction(0)
        else:
            break
        seen, place = True, place + 1
    return total + group, place - start


def _fits(group: Fraction, value: int) -> bool:
    """Whether `value` can be said behind `group`: "five" behind "twenty"."""
    return group % 100 == 0 or (group % 10 == 0 and group % 100 >= 20 and value < 10)


def _signs(words: list[str]) -> Iterator[str]:
    """A currency that stands before its number goes behind it."""
    place = 0
    while place < len(words):
        word, after = words[place], words[place + 1] if place + 1 < len(words) else ""
        unit = tables().words.get(word, word) in tables().units
        code = word in _SIGNS or (len(word) == 3 and unit)
        if code and after[:1].isdigit() and not (place and is_number(words[place - 1])):
            yield from (after, word)
            place += 2
        else:
            yield word
            place += 1


def _dates(words: list[str]) -> Iterator[str]:
    """A day and a month, in either order, with a year or without, are one word."""
    place = 0
    while place < len(words):
        for size, found in _date_at(words[place : place + 6]):
            yield found
            place += size
            break
        else:
            yield words[place]
            place += 1


_DATE = re.compile(
    r"(?:(?:the )?(?P<d1>\d{1,2})(?:th)? (?:of )?(?P<m1>[a-z]+)"
    r"|(?P<m2>[a-z]+) (?:the )?(?P<d2>\d{1,2})(?:th)?)"
    r"(?: ,)?(?: (?P<y>\d{4}))?(?= |$)"
)


def _date_at(words: list[str]) -> Iterator[tuple[int, str]]:
    if words and re.fullmatch(r"\d{4}-\d\d-\d\d", words[0]):
        yield 1, words[0]
    match = _DATE.match(" ".join(words))
    month = _MONTH.get((match["m1"] or match["m2"]) or "") if match else None
    if match and month:
        day = int(match["d1"] or match["d2"])
        yield len(match[0].split()), f"{match['y'] or ''}-{month:02}-{day:02}"
