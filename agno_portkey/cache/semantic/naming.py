"""How the words are called that stand in only one of two questions."""

from __future__ import annotations

from collections.abc import Sequence

from agno_portkey.cache.semantic.english import is_common, listed, tables
from agno_portkey.cache.semantic.numbers import is_number, months
from agno_portkey.cache.semantic.reading import STRONG, Word

__all__ = ["name_of"]

_BY_NAME = (
    ("negation", frozenset(listed("negations"))),
    ("scope", frozenset(listed("scopes")) | (STRONG - {"from"})),
    ("time", frozenset(listed("times")) | months()),
    ("modality", frozenset(listed("modals"))),
)
_GOVERNING = frozenset(listed("governing"))
_PREFIXES = listed("prefixes")


def name_of(left: Sequence[Word], right: Sequence[Word]) -> set[str]:
    """The names of the vetoes that `left` and `right` are; none if both are empty."""
    pairs = [(a.text, b.text) for a in left for b in right]
    opposed = {word for pair in pairs if _are_opposed(*pair) for word in pair}
    # "write", "write about".
    governing = {word for pair in pairs if _are_governed(*pair) for word in pair}
    found = {_of_word(w) for w in (*left, *right) if w.text not in opposed | governing}
    if opposed:
        found.add("polarity")
    if governing:
        found.add("role")
    if any(_alike(a, b) for a, b in pairs if not {a, b} & (opposed | governing)):
        found.add("entity")
    return found


def _of_word(word: Word) -> str:
    text = word.text
    parts = text.split()
    for name, known in _BY_NAME:
        if not known.isdisjoint(parts):
            return name
    if is_number(text):
        return "number"
    if text in tables().units:
        return "unit"
    known_to_all = not word.name and all(map(is_common, parts))
    return "word" if known_to_all or not any(map(str.isalpha, text)) else "entity"


def _are_governed(a: str, b: str) -> bool:
    return a.split()[0] == b.split()[0] and a.split()[0] in _GOVERNING


def _are_opposed(a: str, b: str) -> bool:
    return frozenset((a, b)) in tables().opposites or _by_prefix(a, b)


def _by_prefix(a: str, b: str) -> bool:
    """Whether they are one word but for what stands before it: "hypo-" and "hyper-", "un-"."""
    stems = [
        {word}
        | {word[len(p) :] for p in _PREFIXES if word.startswith(p) and len(word) - len(p) > 2}
        for word in (a, b)
    ]
    return bool(stems[0] & stems[1])


def _alike(a: str, b: str) -> bool:
    """Whether a hasty reader takes one for the other."""
    if is_number(a + b) or min(len(a), len(b)) < 4:
        return False
    start = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    ends = zip(
        a[: start - 1 : -1] if start else a[::-1],
        b[: start - 1 : -1] if start else b[::-1],
        strict=False,
    )
    end = 0
    for x, y in ends:
        if x != y:
            break
        end += 1
    return max(len(a), len(b)) - start - end <= 2
