"""What a question asks for, apart from what it asks about: "what are the steps to" is "how to"."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agno_portkey.cache.semantic.english import tables

__all__ = ["bare", "framed"]

# "Give me a summary of" asks for something to be done.
_DONE = re.compile(r"@list (?:a |an |the )?(summary|translation|explanation|comparison) of ")
_MEASURE = re.compile(r"@how (\w+) (is|are|was|were|do|does) (.+)")
_AGENT = re.compile(r"@who (?:is|are|was|were) (?:the )?(\w+) of (.+)")


@dataclass(frozen=True, slots=True)
class _Patterns:
    openings: tuple[re.Pattern[str], ...]
    closings: re.Pattern[str]
    rules: tuple[tuple[re.Pattern[str], str], ...]


def framed(text: str) -> str:
    """`text`, as `bare` leaves it, with `@` and what it asks for before it.

    A text that asks for nothing, such as an order, has no `@`.
    """
    for pattern, instead in _patterns().rules:
        if match := pattern.match(text):
            text = match.expand(instead) + text[match.end() :]
    return _by_agent(_by_measure(_DONE.sub(r"\1 ", text)))


def bare(text: str) -> str:
    """`text`, lower-case tokens between single spaces, without what is only said to who answers.

    Something is always left.
    """
    looking = True
    while looking:
        looking = False
        for pattern in _patterns().openings:
            match = pattern.match(text)
            if match and len(text) > match.end():
                text, looking = text[match.end() :], True
    return _patterns().closings.sub("", text)


def _by_measure(text: str) -> str:
    if match := _MEASURE.match(text):
        measure, aux, rest = match.groups()
        if measure in tables().measures:
            return f"@what {aux} {tables().measures[measure]} of {rest}"
    return text


def _by_agent(text: str) -> str:
    if match := _AGENT.match(text):
        agent, rest = match.groups()
        if agent in tables().agents:
            return f"@who {tables().agents[agent]} {rest}"
    return text


@cache
def _patterns() -> _Patterns:
    raw = tomllib.loads(
        files("agno_portkey.cache.semantic").joinpath("frames.toml").read_text("utf-8")
    )

    def compiled(pattern: str) -> re.Pattern[str]:
        return re.compile(re.sub(r"<([A-Z]+)>", lambda part: str(raw["parts"][part[1]]), pattern))

    bare = raw["bare"]
    return _Patterns(
        openings=tuple(compiled(pattern) for pattern in bare["openings"]),
        closings=compiled(bare["closings"]),
        rules=tuple((compiled(pattern), instead) for pattern, instead in bare["rules"]),
    )
