"""Streams of questions in classes, as `cache_stream.py` plays them.

Popular classes ask more often; what belongs to one class has one answer. Some classes have a twin,
whose questions are worded alike and whose answer is another. A question is a vector near that of
its class, so that likeness and neighbours are those of a space; what a veto tells is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

__all__ = ["SETTINGS", "Setting", "Stream", "drawn", "stream"]

CLASSES, WORDINGS, DIMENSIONS, INNER = 400, 150, 32, 8

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Setting:
    """What a stream is like; a realistic one does not change under the cache's feet."""

    name: str
    twins: float = 0.2
    # Cosine of a question and its twin in the same words, and pairs of twins that a veto tells.
    alike: float = 0.94
    told: float = 0.8
    # How often a veto speaks against a paraphrase, and against an unrelated question.
    false: float = 0.1
    unrelated: float = 0.6
    # Comparisons that come out wrong.
    noise: float = 0.0
    # Answers that change: at half-time those of a share of the classes; one of the most popular
    # class each so many queries.
    changes: float = 0.0
    popular: int = 0
    # The second ones of the twins ask from half-time on only.
    late: bool = False

    @property
    def drifts(self) -> bool:
        return bool(self.changes or self.popular or self.late)


SETTINGS = (
    Setting("mild", twins=0.1, alike=0.85, told=0.9),
    Setting("usual"),
    Setting("no vetoes", told=0.0, false=0.0, unrelated=0.0),
    Setting("twins liker than paraphrases", twins=0.3, alike=0.99, told=0.5),
    Setting("twins not to be told apart", twins=0.4, alike=0.9999, told=0.0),
    Setting("0.5 % of comparisons wrong", noise=0.005),
    Setting("a popular answer changes", popular=1_000),
    Setting("25 % of answers change", changes=0.25),
    Setting("twins come at half-time", twins=0.3, alike=0.97, told=0.0, late=True),
)


@dataclass
class Stream:
    """Queries: the class and wording of each, its vector, and its answer at that time."""

    setting: Setting
    asked: list[tuple[int, int]]
    vectors: Array
    answers: list[tuple[int, int]]
    twin_of: dict[int, int]
    told: set[int]
    salt: int = 0
    noisy: list[bool] = field(default_factory=list)

    def vetoes(self, asked: tuple[int, int], kept: tuple[int, int]) -> str:
        """What speaks against serving the answer of the one to the other; nothing if empty."""
        twins = self.twin_of.get(asked[0]) == kept[0]
        if twins and asked[0] in self.told:
            return "polarity"
        share = self.setting.false if twins or asked[0] == kept[0] else self.setting.unrelated
        # The same for the same two, whichever query they are asked in.
        return "word" * (hash((self.salt, asked, kept)) % 10_007 < share * 10_007)


def stream(setting: Setting, seed: int, queries: int) -> Stream:
    """A stream; the same one for the same arguments."""
    chance = default_rng([seed, 20])
    order = chance.permutation(CLASSES).tolist()
    pairs = int(CLASSES * setting.twins / 2)
    twins = list(zip(order[:pairs], order[pairs : 2 * pairs], strict=True))
    places = _places(chance, twins, math.sqrt(2 * (1 - setting.alike)))
    late = {other for _, other in twins} if setting.late else set()
    classes = drawn(chance, CLASSES, 0.9, queries)
    wordings = drawn(chance, WORDINGS, 0.3, queries)
    for at in range(queries // 2):
        while classes[at] in late:
            classes[at] = int(chance.integers(CLASSES))
    changing = set(chance.permutation(CLASSES)[: int(CLASSES * setting.changes)].tolist())
    asked = list(zip(classes, wordings, strict=True))
    answers = []
    for at, each in enumerate(classes):
        version = int(each in changing and at >= queries // 2)
        if setting.popular and each == 0:
            version = at // setting.popular
        answers.append((each, version))
    told = {each for pair in twins if chance.random() < setting.told for each in pair}
    both = dict(twins) | {other: one for one, other in twins}
    vectors = np.array([places[each] for each in asked], dtype=np.float32)
    noisy = (chance.random(queries) < setting.noise).tolist()
    return Stream(setting, asked, vectors, answers, both, told, seed, noisy)


def _places(chance: Generator, twins: list[tuple[int, int]], apart: float) -> Array:
    """Where each wording of each class lies: most of a class have cosines of 0.75 to 0.95."""
    centres = _unit(chance.normal(size=(CLASSES, 1, DIMENSIONS)))
    inner = chance.normal(size=(CLASSES, WORDINGS, INNER)) / math.sqrt(INNER)
    axes = chance.normal(size=(CLASSES, INNER, DIMENSIONS)) / math.sqrt(DIMENSIONS)
    spread = chance.lognormal(math.log(0.4), 0.35, size=(CLASSES, WORDINGS, 1))
    places = _unit(centres + spread * np.einsum("cwi,cid->cwd", inner, axes))
    for one, other in twins:
        places[other] = _unit(places[one] + apart * _unit(chance.normal(size=DIMENSIONS)))
    return places


def drawn(chance: Generator, of: int, steep: float, count: int) -> list[int]:
    """Numbers below `of`, small ones the more often the steeper."""
    shares = 1 / np.arange(1, of + 1) ** steep
    found: list[int] = chance.choice(of, size=count, p=shares / shares.sum()).tolist()
    return found


def _unit(vectors: Array) -> Array:
    found: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found
