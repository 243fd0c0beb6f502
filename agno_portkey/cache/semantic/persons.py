"""Who speaks and who is spoken to, and which of them does something to the other."""

from __future__ import annotations

from dataclasses import dataclass

from agno_portkey.cache.semantic.english import listed

__all__ = ["Persons", "have_changed_places", "persons"]

_FIRST = frozenset(listed("first_person"))
_SECOND = frozenset(listed("second_person"))
# Who does something, not whose something is; "you" stands on either side of a verb.
_DOING = frozenset(("i", "we", "you"))
_DONE_TO = frozenset(("me", "us"))
_BEFORE_SUBJECT = frozenset(listed("before_subject"))


@dataclass(frozen=True, slots=True)
class Persons:
    """`order` is "I" and "you" in all their forms, whoever does it first.

    `roles` are pairs of 1 or 2 and "does" or "gets"; none where everybody is meant.
    """

    order: tuple[str, ...]
    roles: frozenset[tuple[int, str]]


def persons(said: list[str], plain: list[str], asked: str) -> Persons:
    """The persons of a question: its words before and after it was framed, and what it asks for."""
    spoken = tuple(word for word in said if _person(word))
    if asked != "howto":
        return Persons(spoken, frozenset(_roles(said)))
    # "How to pay you" leaves unsaid who pays.
    unsaid = len(spoken) <= sum(map(bool, map(_person, plain)))
    return Persons(("i", *spoken) if unsaid else spoken, frozenset())


def have_changed_places(one: Persons, two: Persons) -> bool:
    """Whether "I" and "you" do in one what they are done in the other: "do I pay you"."""
    for person in (1, 2):
        roles = _roles_of(person, one), _roles_of(person, two)
        if all(roles) and not roles[0] & roles[1]:
            return True
    a, b = one.order, two.order
    if not a or not b or _person(a[0]) == _person(b[0]):
        return False
    both = [len(set(map(_person, order))) == 2 for order in (a, b)]
    return all(both) or (any(both) and {a[0], b[0]} <= _DOING)


def _person(word: str) -> int:
    return 1 if word in _FIRST else 2 * (word in _SECOND)


def _roles(said: list[str]) -> set[tuple[int, str]]:
    found = set()
    for before, word in zip(["", *said], said, strict=False):
        if word in ("i", "we"):
            found.add((1, "does"))
        elif word == "you":
            found.add((2, "does" if not before or before in _BEFORE_SUBJECT else "gets"))
        elif word in _DONE_TO:
            found.add((1, "gets"))
    return found


def _roles_of(person: int, persons: Persons) -> set[str]:
    return {role for number, role in persons.roles if number == person}
