"""Errors and hits of a semantic cache on streams of questions, against its budget of errors.

    python benchmarks/cache_stream.py [--seeds 20] [--queries 8000] [--setting usual]

An exact repeat is a hit; else the nearest question that is kept decides, one that no veto speaks
against before others. What is not served is asked, compared with what would have been, and kept.
Errors are shares of all near look-ups, hits those of all queries. With a verifier, which is right
but where the setting says that comparisons come out wrong, what is not trusted is shown to it, and
served where it says the same: a hit that costs a comparison. A static threshold serves what is as
like and has no veto. Exits with 1 if a mean error is above its budget where nothing drifts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

# What is multiplied is small: threads would only wait for each other.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from cache_streams import SETTINGS, Setting, Stream, stream
from cache_texts import WORDS, words
from numpy.random import default_rng
from rich.console import Console
from rich.table import Table

from agno_portkey.cache.entry import Evidence
from agno_portkey.cache.semantic.trust import Trust

BUDGETS = (0.001, 0.005, 0.01, 0.05)
THRESHOLDS = (0.8, 0.9, 0.95)
VERIFIER = "0.01, verifier"
# As the cache looks up: so many neighbours, and none less like.
NEAREST, FLOOR = 4, 0.75
# Queries of one step in the course of errors.
STEP = 500
HEADS = (
    "",
    "error",
    "worst",
    "above",
    "of hits",
    "hits",
    "verified",
    "asked",
    "errors, in %, by 500 queries",
)


@dataclass
class Played:
    """What came of one stream."""

    counts: Counter[str] = field(default_factory=Counter)
    # Near look-ups and errors, by step.
    course: list[list[int]] = field(default_factory=list)

    @property
    def error(self) -> float:
        return self.counts["wrong"] / max(self.counts["near"], 1)

    @property
    def hits(self) -> float:
        return (self.counts["exact"] + self.counts["served"]) / self.counts["queries"]

    @property
    def false_hits(self) -> float:
        return self.counts["wrong"] / max(self.counts["served"], 1)

    @property
    def verified(self) -> float:
        return self.counts["verified"] / self.counts["queries"]

    @property
    def explored(self) -> float:
        return 1 - self.counts["served"] / max(self.counts["near"], 1)


class _Kept:
    """The questions that are kept, and which are nearest."""

    def __init__(self, asked: Stream) -> None:
        self._asked = asked
        self._matrix = np.zeros_like(asked.vectors)
        self._places: list[int] = []
        self.exact: dict[tuple[int, int], int] = {}

    def keep(self, at: int) -> None:
        self.exact[self._asked.asked[at]] = at
        self._matrix[len(self._places)] = self._asked.vectors[at]
        self._places.append(at)

    def near(self, at: int) -> tuple[int, float, str] | None:
        """The query whose answer would be served, its likeness, and the vetoes."""
        likeness = self._matrix[: len(self._places)] @ self._asked.vectors[at]
        count = min(NEAREST, len(likeness))
        if not count:
            return None
        found = []
        for place in np.argpartition(-likeness, count - 1)[:count]:
            if likeness[place] >= FLOOR:
                kept = self._places[place]
                stratum = self._asked.vetoes(self._asked.asked[at], self._asked.asked[kept])
                found.append((kept, min(float(likeness[place]), 1.0), stratum))
        return min(
            found, key=lambda each: (each[2].count("+") + bool(each[2]), -each[1]), default=None
        )


class Verified:
    """The policy of the cache."""

    def __init__(self, budget: float, *, verifies: bool = False) -> None:
        self.now, self.verifies = 0.0, verifies
        self.trust = Trust(budget, clock=lambda: self.now)

    def serves(self, entry: str, likeness: float, stratum: str, draw: float) -> bool:
        # As the cache does: what a veto speaks against is not served, whatever was learnt.
        return not stratum and self.trust.decide(stratum, entry, likeness, draw) == "serve"

    def learn(self, entry: str, likeness: float, stratum: str, same: bool, at: int) -> None:
        self.now = float(at)
        self.trust.add(Evidence(stratum, entry, likeness, same, self.now))


class Static:
    """A threshold, which learns nothing."""

    verifies = False

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def serves(self, entry: str, likeness: float, stratum: str, draw: float) -> bool:
        return likeness >= self.threshold and not stratum

    def learn(self, entry: str, likeness: float, stratum: str, same: bool, at: int) -> None:
        pass


def play(asked: Stream, policy: Verified | Static, seed: int) -> Played:
    """Play a stream through a cache."""
    draws = default_rng([seed, 21]).random(len(asked.asked)).tolist()
    kept, played = _Kept(asked), Played()
    counts, course = played.counts, played.course
    for at, question in enumerate(asked.asked):
        if at % STEP == 0:
            course.append([0, 0])
        counts["queries"] += 1
        if question in kept.exact:
            counts["exact"] += 1
            continue
        if (found := kept.near(at)) is not None:
            place, likeness, stratum = found
            entry, same = str(place), asked.answers[place] == asked.answers[at]
            counts["near"] += 1
            course[-1][0] += 1
            counts["right there"] += same
            said = same != asked.noisy[at]
            serves = policy.serves(entry, likeness, stratum, draws[at])
            if not serves:
                policy.learn(entry, likeness, stratum, said, at)
                counts["verified"] += policy.verifies
            if serves or (policy.verifies and said):
                counts["served"] += 1
                counts["wrong"] += not same
                course[-1][1] += not same
                continue
        kept.keep(at)
    return played


def _one(job: tuple[Setting, int, int]) -> dict[float | str, Played]:
    """All budgets and thresholds on one stream."""
    setting, seed, queries = job
    asked = words(seed, queries) if setting == WORDS else stream(setting, seed, queries)
    found: dict[float | str, Played] = {}
    for budget in BUDGETS:
        found[budget] = play(asked, Verified(budget), seed)
    found[VERIFIER] = play(asked, Verified(0.01, verifies=True), seed)
    for threshold in THRESHOLDS:
        found[f"static {threshold}"] = play(asked, Static(threshold), seed)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--queries", type=int, default=8_000)
    parser.add_argument("--setting", default="", help="only settings whose name holds this")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    settings = [each for each in (WORDS, *SETTINGS) if args.setting in each.name]
    kept = True
    with ProcessPoolExecutor(args.processes) as pool:
        for setting in settings:
            jobs = [(setting, seed, args.queries) for seed in range(args.seeds)]
            runs = list(pool.map(_one, jobs))
            table = Table(*HEADS, title=setting.name, title_justify="left")
            for name in runs[0]:
                rows = [run[name] for run in runs]
                table.add_row(str(name), *_cells(name, rows))
                mean = statistics.mean(each.error for each in rows)
                kept &= setting.drifts or isinstance(name, str) or mean <= name
            Console(width=150).print(table)
    return 0 if kept else 1


def _cells(name: float | str, rows: Sequence[Played]) -> Iterable[str]:
    errors = [each.error for each in rows]
    yield f"{statistics.mean(errors):.3%}"
    yield f"{max(errors):.3%}"
    yield "" if isinstance(name, str) else f"{sum(each > name for each in errors) / len(rows):.0%}"
    shares: list[Callable[[Played], float]] = [
        lambda each: each.false_hits,
        lambda each: each.hits,
        lambda each: each.verified,
        lambda each: each.explored,
    ]
    for share, form in zip(shares, (".2%", ".1%", ".1%", ".0%"), strict=True):
        yield format(statistics.mean(map(share, rows)), form)
    # The worst step after half-time tells how far a drift goes, and how soon it is over.
    steps = [
        sum(each.course[at][1] for each in rows) / max(sum(each.course[at][0] for each in rows), 1)
        for at in range(len(rows[0].course))
    ]
    yield " ".join(f"{100 * step:.1f}" for step in steps)


if __name__ == "__main__":
    sys.exit(main())
