"""When two names are one: what case and joints do not tell apart, and slips in long words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["is_choice", "is_near", "renamed"]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Between letters, or a letter and a digit: "-1", "C-" and "1-2" mean what they say.
_JOINT = re.compile(r"(?<=[^\W_])(?:\s+|_+|-)(?=[^\W\d_])|(?<=[^\W\d_])(?:\s+|_+|-)(?=\d)")
_WORDS = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
# Shorter words are units and signs as well, in which case says which.
_SHORTEST = 3
_SHORT_WORDS = frozenset({"no", "ok", "on", "up"})
# In shorter words one letter makes another word.
_LONG = 5


def is_choice(text: str, choice: str) -> bool:
    """Whether `text` is `choice` but for joints, and for case where that means nothing.

    It means nothing in five letters or more, in three or four if both are all lower, all upper or
    capitalised, and in a few short words such as "no"; so that "MW" is not "mW", nor "1M" "1m".
    """
    one, other = _spelled(text), _spelled(choice)
    if one == other:
        return True
    if one.casefold() != other.casefold():
        return False
    letters = sum(map(str.isalpha, one))
    if letters >= _LONG and _WORDS.fullmatch(one):
        return True
    if letters >= _SHORTEST:
        return _has_one_case(one) and _has_one_case(other)
    return one.casefold() in _SHORT_WORDS


def renamed(
    keys: Sequence[str], names: Sequence[str], due: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """What `keys` stand for: those of `names` but for case and joints, those of `due` by a slip."""
    found = _one_to_one({key: _alike(key, names) for key in keys})
    taken = {*found.values()}
    free = [name for name in due if name not in taken]
    slips = {key: [n for n in free if _is_slip(key, n)] for key in keys if key not in found}
    return found, _one_to_one(slips)


def _alike(key: str, names: Iterable[str]) -> list[str]:
    """Which of `names` is `key` but for case and joints."""
    spelled, bare = _spelled(key).casefold(), _bare(key)
    return [
        name
        for name in names
        if _spelled(name).casefold() == spelled
        # A name of one case has no `mW` in it that a joint would tell from `MW`.
        or (_bare(name) == bare and (name.islower() or name.isupper()))
    ]


def _is_slip(key: str, name: str) -> bool:
    """Whether one slip, not in its first letter, in one word of five letters or more made `key`."""
    ones, others = _spelled(key).casefold().split("_"), _spelled(name).casefold().split("_")
    if len(ones) != len(others):
        return False
    differing = [pair for pair in zip(ones, others, strict=True) if pair[0] != pair[1]]
    if len(differing) != 1:
        return False
    one, other = differing[0]
    return len(other) >= _LONG and (one + other).isalpha() and _within_one_edit(one, other)


def is_near(key: str, name: str) -> bool:
    """Whether `key` may be `name` misspelt, so that nobody knows if it is meant."""
    one, other = _bare(key), _bare(name)
    return max(len(one), len(other)) >= _LONG and _within_one_edit(one, other)


def _spelled(name: str) -> str:
    return _JOINT.sub("_", _HUMP.sub("_", name.strip()))


def _bare(name: str) -> str:
    return _JOINT.sub("", name.strip()).casefold()


def _has_one_case(text: str) -> bool:
    return text in (text.lower(), text.upper(), text.capitalize())


def _within_one_edit(one: str, other: str) -> bool:
    """Whether a letter more, less or other, or two swapped, but not the first, make them equal."""
    if abs(len(one) - len(other)) > 1 or one[:1] != other[:1]:
        return False
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    a, b = one[same:], other[same:]
    swapped = len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0] and a[2:] == b[2:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or swapped


def _one_to_one(found: Mapping[str, list[str]]) -> dict[str, str]:
    """Of keys with the names that each may stand for, those that are clear."""
    taken = Counter(name for names in found.values() for name in names)
    return {
        key: names[0] for key, names in found.items() if len(names) == 1 and taken[names[0]] == 1
    }
