"""The tables of english.toml, and the basic form of a word."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from agno_portkey.cache.semantic.tokens import vocabulary

__all__ = ["Basic", "Tables", "basic", "is_common", "listed", "tables"]

_VOWEL = re.compile(r"[aeiouy]")
# One syllable that ends in vowel and consonant: "hoping" is of "hope", "hopping" of "hop".
_SHORT = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")


@dataclass(frozen=True, slots=True)
class Basic:
    """A word without its ending, and what the ending said."""

    stem: str
    plural: bool = False
    past: bool = False
    going: bool = False


@dataclass(frozen=True, slots=True)
class Tables:
    """What english.toml says, ready to be looked up by basic forms."""

    words: dict[str, str]
    phrases: dict[str, tuple[tuple[tuple[str, ...], str], ...]]
    units: frozenset[str]
    cased: dict[str, str]
    agents: dict[str, str]
    measures: dict[str, str]
    implied: frozenset[tuple[str, str]]
    opposites: frozenset[frozenset[str]]


@cache
def tables() -> Tables:
    """The tables, read once."""
    raw = _raw()
    words: dict[str, str] = {}
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    units = set()
    for kind in ("same", "units"):
        for line in raw[kind]:
            ways = [tuple(basic(word).stem for word in way.split()) for way in line.split(" | ")]
            name = " ".join(ways[0])
            if kind == "units":
                units.add(name)
            for way in ways:
                if len(way) > 1:
                    phrases.setdefault(way[0], []).append((way, name))
                elif way != (name,):
                    words[" ".join(way)] = name
    cased = dict(line.split() for line in raw["cased"])
    return Tables(
        words=words,
        phrases={
            head: tuple(sorted(ways, key=lambda way: -len(way[0])))
            for head, ways in phrases.items()
        },
        units=frozenset(units).union(cased.values()),
        cased=cased,
        agents={
            agent: f"{aux} {verb}"
            for kind, aux in (("agents", "did"), ("holders", "does"))
            for agent, verb in (line.split() for line in raw[kind])
        },
        measures=dict(line.split() for line in raw["measures"]),
        implied=frozenset((a, b) for a, b in (line.split() for line in raw["implied"])),
        opposites=frozenset(_opposites(raw["opposites"], words)),
    )


@cache
def listed(name: str) -> tuple[str, ...]:
    """The words of one of the lists, in their order."""
    return tuple(_raw()["lists"][name].split())


@lru_cache(maxsize=65_536)
def basic(word: str) -> Basic:
    """The basic form of a lower-case English word; a word that is not known stays as it is."""
    whole, irregular = _exceptions()
    if word in irregular:
        return irregular[word]
    if len(word) < 4 or word in whole or not word.isascii() or not word.isalpha():
        return Basic(word)
    if word.endswith("s"):
        return _without_s(word)
    if word.endswith("ing"):
        return Basic(stem, going=True) if (stem := _verb(word[:-3])) else Basic(word)
    if word.endswith("ied") and len(word) > 4 and word[:-3] + "y" in _known():
        return Basic(word[:-3] + "y", past=True)
    if word.endswith("ed") and (stem := _verb(word[:-2])):
        return Basic(stem, past=True)
    return Basic(word)


def _without_s(word: str) -> Basic:
    ways = [word[:-1]]
    if word.endswith("ies"):
        ways = [word[:-3] + "y", word[:-1]]
    elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        ways = [word[:-1], word[:-2]]
    if not word.endswith(("ss", "us", "is")):
        for way in ways:
            if len(way) > 2 and way in _known():
                return Basic(way, plural=True)
    return Basic(word)


def _verb(base: str) -> str | None:
    if len(base) < 2 or not _VOWEL.search(base):
        return None
    known, mute = base in _known(), base + "e" in _known()
    if known and mute:
        return base + "e" if _SHORT.fullmatch(base) else base
    if known or mute:
        return base if known else base + "e"
    if base[-1] == base[-2] and base[:-1] in _known():
        return base[:-1]
    return None


@cache
def _known() -> frozenset[str]:
    """The words of the tables, and those that BERT's vocabulary holds whole, names among them."""
    raw = _raw()
    kinds = ("same", "units", "cased", "agents", "opposites")
    ours = " ".join(line for kind in kinds for line in raw[kind])
    return frozenset(
        word
        for word in f"{vocabulary().decode()} {ours}".split()
        if word.isalpha() and len(word) > 1
    )


@cache
def _raw() -> dict[str, Any]:
    return tomllib.loads(
        files("agno_portkey.cache.semantic").joinpath("english.toml").read_text("utf-8")
    )


@cache
def _exceptions() -> tuple[frozenset[str], dict[str, Basic]]:
    raw = _raw()
    forms: dict[str, Basic] = {}
    for line in raw["irregular"]:
        stem, *pasts = line.split()
        forms |= {past: Basic(stem, past=True) for past in pasts}
    for line in raw["plurals"]:
        stem, many = line.split()
        forms[many] = Basic(stem, plural=True)
    return frozenset(listed("whole")), forms


def _opposites(lines: list[str], words: dict[str, str]) -> list[frozenset[str]]:
    found = []
    for line in lines:
        parts = re.findall(r"log in|log out|\S+", line)
        found.append(frozenset(words.get(basic(p).stem, basic(p).stem) for p in parts))
    return found


def is_common(word: str) -> bool:
    """Whether `word` is in general use, as far as is known."""
    return word in _known()
