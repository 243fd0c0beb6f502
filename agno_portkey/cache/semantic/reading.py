"""A question reduced to what it asks for and the words that carry its content, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from agno_portkey.cache.semantic.english import basic, is_common, listed, tables
from agno_portkey.cache.semantic.frames import bare, framed
from agno_portkey.cache.semantic.numbers import is_number, spelt
from agno_portkey.cache.semantic.persons import Persons, persons
from agno_portkey.cache.semantic.spelling import tokens

__all__ = ["STRONG", "Reading", "Word", "read"]

_SILENT = frozenset(listed("silent"))
STRONG = frozenset(listed("strong"))
_DEFINITE = frozenset(listed("definite"))
_PRESENT = frozenset(listed("present"))
_JOINS = frozenset(listed("joins"))
_CLASSES = frozenset(listed("classes"))
_GOVERNING = frozenset(listed("governing"))
_BEFORE_TO = frozenset(listed("before_to"))
_BEING = frozenset(("am", "is", "are", "was", "were", "be", "been", "being"))
_CLAUSES = frozenset(("who", "which", "that", "and", "or", ","))
# Left by frames.py: what kind of time is asked for, and that all of them are.
_KINDS = frozenset(("?all", "?time", "?year", "?date", "?day", "?month"))
_TENSE = {"was": "past", "were": "past", "did": "past", "will": "future", "shall": "future"}
_POINTING = {
    "i": "i", "me": "i", "my": "i", "mine": "i", "we": "we", "us": "we", "our": "we", "you": "you",
    "your": "you", "yours": "you", "this": "this", "these": "this", "that": "that", "those": "that",
    "?all": "all",
}  # fmt: skip
# Prepositions, by what they say; those that are not here are words like any other.
_LINKS = {
    "of": "of", "for": "for", "about": "about", "regarding": "about", "concerning": "about",
    "in": "in", "on": "on", "at": "in", "with": "with", "by": "by", "to": "to", "into": "to",
    "onto": "to", "as": "as",
}  # fmt: skip
# Where "I", "we" and "you" stand for anybody.
_GENERIC = frozenset(("how", "howto", "where", "when", "why", "what", "which"))
# "Tell me a joke" does not ask what a joke is.
_SOME = frozenset(("a", "an", "some", "one"))


@dataclass(frozen=True, slots=True)
class Word:
    """A word that carries content, in its basic form, and how it stands in its sentence."""

    text: str
    link: str | None = None  # the preposition it stands under
    stem: str = ""  # before others of the same meaning were put in its place
    past: bool = False
    going: bool = False
    plural: bool = False
    definite: bool = False
    indefinite: bool = False  # behind "a"
    name: bool = False
    first: bool = False  # where a small word has a capital too
    joined: bool = False  # "and" or "or" stands before it
    passive: bool = False  # what is done to something: "was hired"


@dataclass(frozen=True, slots=True)
class Reading:
    """`asked` is "how", "what", ... or "" for no question.

    `pointing` says whose things are meant and which, `kinds` what kind of time is asked for.
    """

    asked: str
    tense: str
    words: tuple[Word, ...]
    pointing: frozenset[str]
    persons: Persons
    kinds: frozenset[str]
    plain: tuple[str, ...]


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    """`text`, read as English; of another language every word is content."""
    found = tokens(text)
    names = frozenset(token.text for token in found if token.name)
    first = frozenset(token.text for token in found if token.first)
    said = bare(" ".join(token.text for token in found))
    plain = framed(said).split()
    asked = plain.pop(0)[1:] if plain and plain[0].startswith("@") else ""
    if asked == "list" and not _SOME.intersection(plain[:1]):
        asked = "what"
    kinds = frozenset(word for word in plain if word in _KINDS)
    words = list(_merged(_basics(spelt([w for w in plain if w not in kinds]), names)))
    content = tuple(replace(w, first=w.text in first) for w in _content(words, asked))
    return Reading(
        asked=asked,
        tense=_tense([word for word in plain if word not in names], content, asked),
        words=content,
        pointing=_pointing(plain, asked),
        persons=persons(said.split(), plain, asked),
        kinds=kinds,
        plain=tuple(plain),
    )


def _tense(plain: list[str], content: tuple[Word, ...], asked: str) -> str:
    for place, word in enumerate(plain):
        # "It will not start" says that it does not.
        if word == "will" and plain[place + 1 : place + 2] == ["not"]:
            continue
        if word in _TENSE:
            return _TENSE[word]
    if asked == "howto" or _PRESENT.intersection(plain):
        return "present"
    return "past" if any(word.past for word in content) else "present"


def _pointing(plain: list[str], asked: str) -> frozenset[str]:
    anybody = ("i", "we", "you") if asked in _GENERIC else ()
    return frozenset(_POINTING[w] for w in plain if w in _POINTING and w not in anybody)


def _basics(words: list[str], names: frozenset[str]) -> Iterator[Word]:
    for word in words:
        if word in names:
            stem = tables().words.get(word, word)
            yield Word(stem, stem=word, name=True)
        elif is_number(word):
            yield Word(word, stem=word)
        else:
            form = basic(word)
            yield Word(
                form.stem, stem=form.stem, past=form.past, going=form.going, plural=form.plural
            )


def _merged(words: Iterator[Word]) -> Iterator[Word]:
    """Phrases and synonyms by one name; "turn it off" as "turn off it"."""
    held = _particles(list(words))
    place = 0
    while place < len(held):
        for way, name in tables().phrases.get(held[place].text, ()):
            if tuple(word.text for word in held[place : place + len(way)]) == way:
                last = held[place + len(way) - 1]
                past = any(word.past for word in held[place : place + len(way)])
                yield replace(last, text=name, stem=" ".join(way), past=past)
                place += len(way)
                break
        else:
            word = held[place]
            yield replace(word, text=tables().words.get(word.text, word.text))
            place += 1


def _particles(words: list[Word]) -> list[Word]:
    for place, word in enumerate(words):
        if word.text in ("turn", "switch"):
            for far in range(place + 2, min(place + 7, len(words))):
                if words[far].text in ("on", "off") and (
                    far + 1 == len(words) or words[far + 1].text in _LINKS
                ):
                    moved = words[far]
                    return [*words[: place + 1], moved, *words[place + 1 : far], *words[far + 1 :]]
    return words


def _content(words: list[Word], asked: str) -> Iterator[Word]:
    link: str | None = None
    definite = indefinite = joined = being = False
    for place, word in enumerate(words):
        text = word.text
        being = text in _BEING or (being and text not in _CLAUSES)
        if text in _DEFINITE:
            definite = True
        indefinite |= text in ("a", "an")
        if text in _JOINS:
            joined = True
        elif text in _LINKS and place + 1 < len(words):
            link = _LINKS[text]
        elif not _silent(text, asked, last=place + 1 == len(words)):
            if text in STRONG:
                link = text
            if text in _CLASSES and _is_class_of(words[:place]):
                continue
            after = words[place + 1].text if place + 1 < len(words) else ""
            if (text in _BEFORE_TO and after == "to") or (text in _GOVERNING and after in _LINKS):
                word = replace(word, text=f"{text} {after}")
            passive = being and word.past
            yield replace(
                word,
                link=link,
                definite=definite,
                indefinite=indefinite,
                joined=joined,
                passive=passive,
            )
            definite = indefinite = joined = False


def _silent(text: str, asked: str, *, last: bool) -> bool:
    if text == "do" and last:
        return False
    if text in _SILENT or text in _TENSE or text in _POINTING:
        return True
    if text == "can":
        return asked == "where"
    return False


def _is_class_of(before: list[Word]) -> bool:
    """Whether `before` ends in a name of its own: "the numpy" of "the numpy package"."""
    if len(before) < 2 or before[-2].text != "the":
        return False
    name = before[-1].text
    return not (is_common(name) or is_number(name))
