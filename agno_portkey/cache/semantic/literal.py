"""What of a text counts letter by letter: signs that are no punctuation, options, single letters.

The model and the reading as English see neither brackets nor capitals; code and formulas are made
of them. Punctuation that only parts sentences, and quotes round a word, count for nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agno_portkey.cache.semantic.spelling import normal, shouted

__all__ = ["Literal", "is_written_otherwise", "literal"]

# "C++" and "Disney+" are words.
_PIECE = re.compile(r"\w+(?:\+\+|#|\+(?!\S))?|\s+|\.+|[!?]+|-+|[^\w\s]")
_SMILEY = re.compile(r"(?<!\S)[:;]-?[()DP](?!\S)")
# "TCP/IP" is "tcp/ip", but "/etc/X11" is a path.
_EITHER = re.compile(r"(?<!\S)[^\W\d_]{2,}/[^\W\d_]{2,}(?=[.,;:!?]*(?:\s|$))")
# Space inside brackets says nothing.
_INNER = re.compile(r"(?<=[(\[{])\s+|\s+(?=[)\]}])")
_LIST = re.compile(r"[(\[{][^()\[\]{}]*[)\]}]")
_BRACKETS = frozenset("()[]{}")
_ALWAYS = _BRACKETS | {"/", ";"}
_QUOTES = frozenset("'\"`")
_STOPS = frozenset(".,;:!?")
_CLOSING = _QUOTES | frozenset(")],;:")
# A word that touches one of these is a name in code; so is a letter that stands beside one.
_OPERATORS = frozenset("$=<>+*^|~\\%")
_PREFIXES = frozenset("^*&~|<>+")
# In prose too these stand alone.
_WORDS = frozenset(("a", "A", "i", "I"))


@dataclass(frozen=True, slots=True)
class Literal:
    """`marks` are signs with what they touch, `names` words with an operator beside them.

    `letters` stand alone, `symbols` have two letters or digits, and a capital; a text in nothing
    but small or mostly capital letters says nothing of either, and is not `cased`.
    """

    marks: tuple[str, ...]
    names: tuple[str, ...]
    letters: tuple[str, ...]
    symbols: frozenset[str]
    cased: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word or sign; `left` and `right` touch it, `before` and `after` are the nearest ones."""

    text: str
    left: str
    right: str
    before: str
    after: str

    @property
    def is_first(self) -> bool:
        return not self.before or (self.before[0] in ".!?:" and not self.left)


def is_written_otherwise(one: str, two: str) -> bool:
    """Whether the two differ in signs, or in capitals that make another thing of a name."""
    a, b = literal(one), literal(two)
    if a.marks != b.marks or _recased(a.names, b.names):
        return True
    if not (a.cased and b.cased):
        return False
    return _recased(a.letters, b.letters) or _other_symbol(a.symbols, b.symbols)


@lru_cache(maxsize=4096)
def literal(text: str) -> Literal:
    """What counts letter by letter in `text`."""
    text = normal(text)
    pieces = list(_pieces(text))
    marks = [f"{_beside(p.left)}{p.text}{_beside(p.right)}" for p in pieces if _is_mark(p)]
    options = [p.text + p.right for p in pieces if _is_option(p)]
    minuses = [p.before + p.text + p.after for p in pieces if _is_minus(p)]
    found = [*marks, *options, *minuses]
    if found:
        found += [p.text for p in pieces if _is_quote(p)]
        found += [","] * sum(inner.count(",") for inner in _LIST.findall(text))
    alone = [p.text for p in pieces if _stands_alone(p)]
    return Literal(
        marks=tuple(sorted(found)),
        names=tuple(sorted(p.text for p in pieces if _is_name(p))),
        letters=tuple(sorted(filter(_is_letter, alone))),
        symbols=frozenset(word for word in alone if _is_symbol(word)),
        cased=not shouted(text) and text != text.lower(),
    )


def _pieces(text: str) -> Iterator[_Piece]:
    text = _EITHER.sub(lambda match: match[0].lower(), _SMILEY.sub("", text).strip())
    found = ["", *_PIECE.findall(_INNER.sub("", text)), ""]
    for place, piece in enumerate(found):
        if piece.strip():
            left, right = found[place - 1], found[place + 1]
            yield _Piece(
                piece,
                left.strip(),
                right.strip(),
                left.strip() or found[max(place - 2, 0)],
                right.strip() or found[min(place + 2, len(found) - 1)],
            )


def _recased(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    """Whether both are the same words, in other capitals; other words are told apart elsewhere."""
    return one != two and sorted(map(str.lower, one)) == sorted(map(str.lower, two))


def _other_symbol(one: frozenset[str], two: frozenset[str]) -> bool:
    """Whether both have a symbol of the same letters in other capitals: "Co" and "CO"."""
    ways: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for side, symbols in enumerate((one, two)):
        for symbol in symbols:
            ways[symbol.lower()][side].add(symbol)
    return any(here and there and here != there for here, there in ways.values())


def _beside(piece: str) -> str:
    """What a sign touches; the end of a sentence, or a quote, is as good as nothing."""
    return "" if piece[:1] in _STOPS or piece in _QUOTES else piece


def _is_mark(piece: _Piece) -> bool:
    """Whether this sign belongs to a name or a formula."""
    sign, touched = piece.text, piece.left + piece.right
    if sign in _ALWAYS:
        return True
    if sign in _QUOTES:
        return _is_quote_of_code(piece)
    if sign[0] in _STOPS:
        return _is_no_stop(piece)
    # "^a" is not "a^"; with a number it is read elsewhere.
    alone = bool(piece.left) != bool(piece.right)
    return sign in _PREFIXES and alone and _is_word(touched) and not touched[0].isdigit()


def _is_no_stop(piece: _Piece) -> bool:
    """Whether what may end a sentence or a part of it does not: ".env", "5!", "[1:]"."""
    sign, left, right = piece.text, piece.left, piece.right
    if not left and not right and piece.before and piece.after[:1].islower():
        return len(sign) < 3
    if sign == ":":
        return bool(right)
    closes = not right or right[0] in _CLOSING
    if sign[0] in "!?":
        # "5!", "n!"; but "Hi!".
        factorial = left.isdigit() or left == ")" or _is_letter(left)
        return not closes or ("!" in sign and factorial)
    if sign[0] == "." and closes:
        return not left and len(sign) < 3 and bool(piece.before)
    return sign[0] == "." and (len(sign) > 1 or not _is_between_words(piece))


def _is_quote_of_code(piece: _Piece) -> bool:
    """Whether this is a quote round nothing, or round more than words."""
    if piece.text in (piece.left, piece.right):
        return True
    touches = _is_of_code(piece.left) or _is_of_code(piece.right)
    return touches and not _is_between_words(piece)


def _is_of_code(touched: str) -> bool:
    """Whether a quote that touches this is more than a quote round words."""
    if not touched or touched[0] in _STOPS or touched in _QUOTES:
        return False
    if _is_word(touched):
        return touched[0].isdigit() or touched[-1].isdigit() or _is_letter(touched)
    return True


def _is_between_words(piece: _Piece) -> bool:
    """Whether this is an apostrophe, or the point of "node.js"."""
    return _is_word(piece.left) and _is_word(piece.right)


def _is_quote(piece: _Piece) -> bool:
    """Whether this is a quote that counts only where the text is of code."""
    return piece.text in _QUOTES and not _is_between_words(piece) and not _is_mark(piece)


def _is_option(piece: _Piece) -> bool:
    """Whether this begins an option: "-v", "--all"."""
    named = _is_word(piece.right) and not piece.right[0].isdigit()
    return piece.text[0] == "-" and named and not _is_word(piece.left)


def _is_minus(piece: _Piece) -> bool:
    """Whether this stands between two operands; of two numbers it is told elsewhere."""
    sides = (piece.before, piece.after)
    if piece.text != "-" or bool(piece.left) != bool(piece.right):
        return False
    return all(map(_is_operand, sides)) and not all(map(str.isdigit, sides))


def _is_operand(piece: str) -> bool:
    return piece.isdigit() or piece in _BRACKETS or _is_letter(piece)


def _is_name(piece: _Piece) -> bool:
    if not _is_word(piece.text) or piece.text.isdigit():
        return False
    if {piece.left, piece.right} & _OPERATORS:
        return True
    return _is_letter(piece.text) and bool({piece.before, piece.after} & _OPERATORS)


def _stands_alone(piece: _Piece) -> bool:
    """Whether this is a word of letters whose capital is not that of a sentence, nor of a part."""
    if not piece.text.isalnum() or piece.is_first:
        return False
    return not {piece.left, piece.right} & {"'", "-", "&"}


def _is_symbol(word: str) -> bool:
    """Whether `word` has two letters, or digits, and a capital."""
    return word != word.lower() and (len(word) == 2 or any(map(str.isdigit, word)))


def _is_letter(piece: str) -> bool:
    """Whether `piece` is a letter that stands for something: no article, and not "I"."""
    return len(piece) == 1 and piece.isalpha() and piece not in _WORDS


def _is_word(piece: str) -> bool:
    return piece[:1].isalnum() or piece[:1] == "_"
