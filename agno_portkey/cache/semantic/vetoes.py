"""What tells two questions apart though they are worded alike.

Each is reduced to what it asks for and its words of content (reading.py). A word that stands in
only one of them is a veto, and so is another order, unless prepositions say that it means the same.
What the words mean decides only how a veto is called. Signs and capitals that make another thing
of a word are compared as they are written (literal.py).
"""

from __future__ import annotations

from collections import defaultdict

from agno_portkey.cache.semantic.english import listed, tables
from agno_portkey.cache.semantic.literal import is_written_otherwise
from agno_portkey.cache.semantic.naming import name_of
from agno_portkey.cache.semantic.numbers import is_number
from agno_portkey.cache.semantic.persons import have_changed_places
from agno_portkey.cache.semantic.reading import Reading, Word, read

__all__ = ["vetoes"]

# Longer texts, in characters, are alike only if they are equal.
_LONG = 2000
# Beyond this many words of content, the order must be the same.
_MANY = 60
_FREE = frozenset(listed("free"))
_SOFT = frozenset(listed("soft"))
_COMING = frozenset(listed("coming"))
_WEAK = frozenset(("of", "in", "on", "for", "about", "with"))
_OF_FOR = frozenset(listed("of_for"))
_HOMOGRAPHS = frozenset(listed("homographs"))
# What stands on either side of these does not move.
_ARITHMETIC = frozenset(listed("arithmetic"))
# Ways to ask that may get the same answer.
_LIKE = [{"what", ""}, {"what", "which"}, {"list", ""}]
# A relation that has no direction.
_MUTUAL = frozenset(listed("mutual"))

Matched = list[tuple[int, int]]


def vetoes(asked: str, kept: str) -> tuple[str, ...]:
    """Names of what speaks against giving both the same answer, sorted; none if nothing does.

    "entity", "modality", "negation", "number", "person", "plural", "polarity", "question", "role",
    "scope", "spelling", "tense", "time", "unit" or "word". The order of the two does not matter.
    """
    if asked == kept:
        return ()
    if max(len(asked), len(kept)) > _LONG:
        return ("word",)
    one, two = read(asked), read(kept)
    matched, left, right = _match(one.words, two.words)
    found = name_of(left, right) | _of_sentences(one, two)
    if (not matched and one.plain != two.plain) or _doubled(one.words) != _doubled(two.words):
        found.add("word")
    if any(_other_name(one.words[here], two.words[there]) for here, there in matched):
        found.add("entity")
    if _other_tense(one, two, matched):
        found.add("tense")
    if _other_count(one, two, matched):
        found.add("plural")
    if is_written_otherwise(asked, kept):
        found.add("spelling")
    if not found and _other_roles(one.words, two.words, matched):
        found.add("role")
    return tuple(sorted(found))


def _of_sentences(one: Reading, two: Reading) -> set[str]:
    """What tells two questions apart whatever their words are."""
    found = set()
    if {one.asked, two.asked} not in ({one.asked}, *_LIKE) or _apart(one.kinds, two.kinds):
        found.add("question")
    if _apart(one.pointing, two.pointing) or have_changed_places(one.persons, two.persons):
        found.add("person")
    points = [[word for word in each.plain if word in ("this", "that")] for each in (one, two)]
    if sorted(points[0]) == sorted(points[1]) and points[0] != points[1]:
        found.add("person")
    ways = [[word for word in each.plain if word in ("and", "or")] for each in (one, two)]
    if ways[0] != ways[1] and "or" in (*ways[0], *ways[1]):
        found.add("scope")
    return found


def _apart(one: frozenset[str], two: frozenset[str]) -> bool:
    return bool(one and two) and one.isdisjoint(two)


def _match(one: tuple[Word, ...], two: tuple[Word, ...]) -> tuple[Matched, list[Word], list[Word]]:
    """Places of equal words, in pairs, and the words that only one of the two has."""
    places: dict[str, list[int]] = defaultdict(list)
    for place in reversed(range(len(two))):
        places[two[place].text].append(place)
    matched: Matched = []
    left = []
    for place, word in enumerate(one):
        if places[word.text]:
            matched.append((place, places[word.text].pop()))
        else:
            left.append(word)
    right = [two[place] for place in sorted(p for rest in places.values() for p in rest)]
    common = {one[place].text for place, _ in matched}
    return matched, _telling(left, common), _telling(right, common)


def _both(
    one: tuple[Word, ...], two: tuple[Word, ...], matched: Matched
) -> list[tuple[Word, Word]]:
    return [(one[here], two[there]) for here, there in matched]


def _doubled(words: tuple[Word, ...]) -> list[str]:
    """Words that mean the same beside each other: "the cost" and "the price" of one question."""
    ways: dict[str, set[str]] = defaultdict(set)
    for word in words:
        ways[word.text].add(word.stem)
    return [word.stem for word in words if len(ways[word.text]) > 1]


def _telling(words: list[Word], common: set[str]) -> list[Word]:
    implied = {what for known, what in tables().implied if known in common}
    return [word for word in words if word.text not in _SOFT and word.text not in implied]


def _other_name(a: Word, b: Word) -> bool:
    """Whether one is a name and the other the same letters: "Turkey", "turkey"."""
    other = a.name != b.name and not (a.first or b.first)
    return other and bool({a.text, a.stem} & _HOMOGRAPHS)


def _other_tense(one: Reading, two: Reading, matched: Matched) -> bool:
    both = _both(one.words, two.words, matched)
    # "Hired" and "hiring"; "open" and "opening".
    if one.asked != "howto" and any((a.going and b.past) or (a.past and b.going) for a, b in both):
        return True
    if one.asked == "yesno" and ("being" in one.plain) != ("being" in two.plain):
        return True
    if one.tense == two.tense:
        return one.asked == "yesno" and any(a.going != b.going for a, b in both)
    times = [{word.text for word in each.words} & _COMING for each in (one, two)]
    return "past" in (one.tense, two.tense) or not times[0] & times[1]


def _other_count(one: Reading, two: Reading, matched: Matched) -> bool:
    """Whether one says "the user" and the other "the users" or "a user", where this matters."""
    if one.asked not in ("", "yesno", "who", "when"):
        return False
    for a, b in _both(one.words, two.words, matched):
        single = b if a.plural else a
        if a.plural != b.plural and (single.definite or single.indefinite):
            return True
        if (a.definite and b.indefinite) or (a.indefinite and b.definite):
            return True
    return False


def _other_roles(one: tuple[Word, ...], two: tuple[Word, ...], matched: Matched) -> bool:
    if any(a.passive != b.passive and a.stem == b.stem for a, b in _both(one, two, matched)):
        return True
    if any(one[here].text in _MUTUAL for here, _ in matched) and _exchanged(one, two, matched):
        return False
    swapped = [
        (early, late)
        for early in range(len(matched))
        for late in range(early + 1, len(matched))
        if matched[early][1] > matched[late][1]
    ]
    if swapped and (len(matched) > _MANY or any(word.text in _ARITHMETIC for word in one)):
        return True
    if not all(_may_swap(one, two, matched[early], matched[late]) for early, late in swapped):
        return True
    moved = {place for pair in swapped for place in pair}
    alike = _of_for(one, matched)
    return any(
        _other_link(one[here], two[there], moved=place in moved, alike=alike)
        for place, (here, there) in enumerate(matched)
    )


def _of_for(words: tuple[Word, ...], matched: Matched) -> frozenset[str]:
    """Prepositions that say the same here."""
    prices = any(words[here].text in _OF_FOR for here, _ in matched)
    return frozenset(("of", "in", "for")) if prices else frozenset(("of", "in"))


def _exchanged(one: tuple[Word, ...], two: tuple[Word, ...], matched: Matched) -> bool:
    """Whether the order differs only in two sides of a comparison: "A and B", "B and A"."""
    order = [there for _, there in matched]
    goal = sorted(order)
    moved = [place for place, there in enumerate(order) if there != goal[place]]
    if not moved:
        return False
    start, end = moved[0], moved[-1] + 1
    turn = order.index(goal[start])
    return order[turn:end] + order[start:turn] == goal[start:end] and (
        _sides(one, matched[turn][0]) and _sides(two, matched[start][1])
    )


def _sides(words: tuple[Word, ...], place: int) -> bool:
    return words[place].joined or words[place].link == "with"


def _other_link(a: Word, b: Word, *, moved: bool, alike: frozenset[str]) -> bool:
    """Whether the prepositions that a word stands under make a difference."""
    if a.link == b.link:
        return False
    if a.link is None or b.link is None:
        return not (moved or a.text in _FREE or is_number(a.text))
    return not {a.link, b.link} <= alike


def _may_swap(
    one: tuple[Word, ...], two: tuple[Word, ...], first: tuple[int, int], last: tuple[int, int]
) -> bool:
    """Whether two words that change places mean the same in both orders."""
    a, b = (one[first[0]], one[last[0]]), (two[first[1]], two[last[1]])
    if (a[0].text in _FREE) != (a[1].text in _FREE):
        return True
    if a[0].link == b[0].link and a[1].link == b[1].link and a[0].link != a[1].link:
        return True
    between = _links(one, first[0], last[0]), _links(two, last[1], first[1])
    if bool(between[0]) != bool(between[1]):
        return (between[0] or between[1]) <= _WEAK
    if any(between) or _inside(one, first[0], last[0]) & _inside(two, last[1], first[1]):
        return False
    return _joined(one, first[0], last[0]) and _joined(two, last[1], first[1])


def _links(words: tuple[Word, ...], start: int, end: int) -> set[str]:
    """Prepositions that begin between two places, and govern the second."""
    return {
        str(words[place].link)
        for place in range(start + 1, end + 1)
        if words[place].link is not None and words[place].link != words[place - 1].link
    }


def _inside(words: tuple[Word, ...], start: int, end: int) -> set[str]:
    """The words between two places: "buy A and sell B" has a verb there, "A and B" has none."""
    return {word.text for word in words[start + 1 : end]}


def _joined(words: tuple[Word, ...], start: int, end: int) -> bool:
    return end - start <= 3 and any(words[place].joined for place in range(start + 1, end + 1))
