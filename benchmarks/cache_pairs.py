"""Pairs of questions that are worded alike: half to tune vetoes on, half held out.

`data/cache/tuned.txt` and `held.txt` hold templates. `[slot name] a | b/c` names what a slot can
be: each choice between bars has parts between slashes; `{name}` is the first part of the choice
drawn, `{name.1}` the second. `[kind different]` or `[kind same]` says what the lines below it are:
`one || two || ...`, of which each after the first makes a pair with the first.
`data/cache/polarity_pairs.json` holds pairs from elsewhere.
"""

import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "cache"
_HEAD = re.compile(r"\[(?P<name>\w+) (?P<what>\w+)\] ?(?P<rest>.*)")
_HOLE = re.compile(r"\{(?P<slot>\w+)(?:\.(?P<part>\d))?\}")

Slots = dict[str, list[list[str]]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions; `same` if one answer is right for both. `split`: shared, tuned or held."""

    kind: str
    a: str
    b: str
    same: bool
    split: str


def pairs(*, each: int = 5, seed: int = 20) -> list[Pair]:
    """Every pair, always the same for the same `seed`, at most `each` of a template's two lines."""
    shared = json.loads((FOLDER / "polarity_pairs.json").read_text("utf-8"))
    found = [
        Pair("shared", a, b, same, "shared")
        for name, same in (("different", False), ("same", True))
        for a, b in shared[name]
    ]
    for split in ("tuned", "held"):
        found.extend(_of_file(split, each, random.Random(f"{seed} {split}")))
    return found


def _of_file(split: str, each: int, draw: random.Random) -> Iterator[Pair]:
    slots: Slots = {}
    kind, same = "", False
    for line in (FOLDER / f"{split}.txt").read_text("utf-8").splitlines():
        if head := _HEAD.fullmatch(line):
            if head["name"] == "slot":
                slots[head["what"]] = [c.strip().split("/") for c in head["rest"].split("|")]
            else:
                kind, same = head["name"], head["what"] == "same"
        elif line and not line.startswith("#"):
            for a, b in _of_template(line.split(" || "), slots, each, draw):
                yield Pair(kind, a, b, same, split)


def _of_template(
    lines: list[str], slots: Slots, each: int, draw: random.Random
) -> Iterator[tuple[str, str]]:
    names = sorted({hole["slot"] for line in lines for hole in _HOLE.finditer(line)})
    every = list(itertools.product(*(slots[name] for name in names)))
    for choice in draw.sample(every, min(each, len(every))):
        filled = dict(zip(names, choice, strict=True))
        first, *others = (_fill(line, filled) for line in lines)
        for other in others:
            yield first, other


def _fill(line: str, filled: dict[str, list[str]]) -> str:
    return _HOLE.sub(lambda hole: filled[hole["slot"]][int(hole["part"] or 0)], line)
