"""How often a gate's decision flips on identical input, for a noisy judge; what that costs.

    python benchmarks/gates_bench.py [--quick] [--cells]

A judge gives a plan's true score plus normal noise, kept to 0-10; one that gives whole points
rounds it. `flips`: of two runs on the same plan, one passes and the other fails it. `open/closed`:
one passes it and the other does not. Distances from the threshold are in SDs of the noise of one
score, with what the rounding adds; true scores outside 0-10 are left out.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"
sys.path.insert(0, str(Path(__file__).parent.parent))

from gates_clearance import stored_clearance
from gates_evidence import evidence
from gates_history import DECISIONS, history_query
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agno_portkey.gates.checks.base import Outcome
from agno_portkey.gates.sampling import Sampling

THRESHOLD = 7.0
NOISES = (0.5, 1.0, 1.5, 2.0)
DISTANCES = (-4, -3, -2, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 1.5, 2, 3, 4)
# The goals.
FLIPS, DECIDED, SAMPLES = 0.05, 0.9, 2.0
# From here on a plan is to be decided, and from there on it is a clear case.
APART, CLEAR = 1, 3

# What a run makes of the scores that it would be given: the outcome, and how many it used.
Rule = Callable[[Sequence[float]], tuple[Outcome, int]]


@dataclass(frozen=True)
class Judge:
    """A judge's noise, and whether it gives whole points."""

    noise: float
    whole: bool

    @property
    def sd(self) -> float:
        """The SD of one score; rounding adds that of a uniform distribution one point wide."""
        return math.sqrt(self.noise**2 + self.whole / 12)

    def score(self, true: float, chance: random.Random) -> float:
        drawn = chance.gauss(true, self.noise)
        return min(10.0, max(0.0, round(drawn) if self.whole else drawn))


@dataclass(frozen=True)
class Player:
    """A rule, what is known to it of the judge, and which goals it is held to."""

    name: str
    rule: Callable[[Judge], Rule]
    goals: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cell:
    """What a player made of one plan, over all trials."""

    player: Player
    judge: Judge
    distance: float
    trials: int
    passed: int
    failed: int
    samples: float

    @property
    def flips(self) -> float:
        return self._pairs(self.passed, self.failed)

    @property
    def opened(self) -> float:
        return self._pairs(self.passed, self.trials - self.passed)

    @property
    def decided(self) -> float:
        return (self.passed + self.failed) / self.trials

    def _pairs(self, one: int, other: int) -> float:
        return 2 * one * other / (self.trials * (self.trials - 1))


def naive(judge: Judge) -> Rule:
    return lambda scores: (_held(scores[0]), 1)


def majority(judge: Judge) -> Rule:
    def decide(scores: Sequence[float]) -> tuple[Outcome, int]:
        passed = sum(score >= THRESHOLD for score in scores[:3])
        return (Outcome.PASS if passed >= 2 else Outcome.FAIL), 3

    return decide


def _held(score: float) -> Outcome:
    return Outcome.PASS if score >= THRESHOLD else Outcome.FAIL


def sampled(settings: Callable[[Judge], Sampling]) -> Callable[[Judge], Rule]:
    """The rule of a `Sampling` that is set for the judge."""

    def rule(judge: Judge) -> Rule:
        sampling = settings(judge)

        def decide(scores: Sequence[float]) -> tuple[Outcome, int]:
            for count in range(sampling.least, len(scores) + 1):
                poll = sampling.poll(scores[:count], THRESHOLD, plan=False)
                if poll.done:
                    break
            return poll.outcome, poll.samples

        return decide

    return rule


PLAYERS = (
    Player("one score", naive),
    Player("majority of 3", majority),
    Player(
        "ours",
        sampled(lambda judge: Sampling(noise=judge.sd)),
        frozenset({"flips", "decided", "samples"}),
    ),
    Player("ours, noise unmeasured", sampled(lambda judge: Sampling()), frozenset({"flips"})),
    Player(
        "ours, sequential",
        sampled(lambda judge: Sampling(noise=judge.sd, margin=judge.sd, sequential=True)),
        frozenset({"flips"}),
    ),
    Player(
        "ours, as `calibrate` proposes",
        sampled(lambda judge: Sampling(noise=judge.sd, margin=judge.sd)),
        frozenset({"flips", "decided", "samples"}),
    ),
    Player("ours, told half the noise", sampled(lambda judge: Sampling(noise=judge.sd / 2))),
    Player(
        "ours, told half, least 2",
        sampled(lambda judge: Sampling(noise=judge.sd / 2, least=2)),
        frozenset({"flips"}),
    ),
)


def cells(trials: int, seed: int) -> Iterator[Cell]:
    """All players on the same scores, for each judge and distance."""
    most = Sampling().most
    plans = [
        (Judge(noise, whole), distance)
        for whole in (False, True)
        for noise in NOISES
        for distance in DISTANCES
        if 0 <= THRESHOLD + distance * Judge(noise, whole).sd <= 10
    ]
    for judge, distance in track(plans, "flips", console=Console(stderr=True), transient=True):
        true = THRESHOLD + distance * judge.sd
        chance = random.Random(f"{seed} {judge} {distance}")
        drawn = [[judge.score(true, chance) for _ in range(most)] for _ in range(trials)]
        for player in PLAYERS:
            rule = player.rule(judge)
            found = [rule(scores) for scores in drawn]
            outcomes = [outcome for outcome, _ in found]
            yield Cell(
                player,
                judge,
                distance,
                trials,
                outcomes.count(Outcome.PASS),
                outcomes.count(Outcome.FAIL),
                sum(used for _, used in found) / trials,
            )


def flips(console: Console, *, trials: int, seed: int, every: bool) -> bool:
    """Print how often each player's decisions flip, and whether ours meet their goals."""
    found = list(cells(trials, seed))
    console.print(_worst(found, trials))
    if every:
        console.print(_by_distance(found))
    judged = [goal for player in PLAYERS for goal in _goals(player, found)]
    for text, met in judged:
        console.print(f"{'met' if met else '[bold red]missed[/]'}: {text}")
    return all(met for _, met in judged)


def _goals(player: Player, found: list[Cell]) -> Iterator[tuple[str, bool]]:
    own = [cell for cell in found if cell.player is player]
    flipped = max(cell.flips for cell in own)
    decided = min(cell.decided for cell in _from(own, APART))
    samples = max(cell.samples for cell in _from(own, CLEAR))
    if "flips" in player.goals:
        text = f"{player.name}: at most {flipped:.1%} flips (goal: under {FLIPS:.0%})"
        yield text, flipped < FLIPS
    if "decided" in player.goals:
        text = f"{player.name}: at least {decided:.1%} decided from {APART} SD (goal {DECIDED:.0%})"
        yield text, decided >= DECIDED
    if "samples" in player.goals:
        text = f"{player.name}: at most {samples:.2f} samples from {CLEAR} SD (goal {SAMPLES:g})"
        yield text, samples <= SAMPLES


def _from(own: list[Cell], distance: float) -> list[Cell]:
    return [cell for cell in own if abs(cell.distance) >= distance]


def _worst(found: list[Cell], trials: int) -> Table:
    table = Table(
        title=f"The worst of all distances from -4 to 4 SD, {trials} trials each",
        caption="samples: the mean, at the threshold and at its worst on clear cases",
    )
    for name in ("judge", "noise", "rule"):
        table.add_column(name)
    for name in ("flips", "open/closed", "decided from 1 SD", "samples at 0", "from 3 SD"):
        table.add_column(name, justify="right")
    for judge in dict.fromkeys(cell.judge for cell in found):
        for player in PLAYERS:
            own = [cell for cell in found if cell.judge == judge and cell.player is player]
            kind = "whole points" if judge.whole else "real-valued"
            table.add_row(
                kind,
                f"{judge.noise:g}",
                player.name,
                f"{max(cell.flips for cell in own):.1%}",
                f"{max(cell.opened for cell in own):.1%}",
                f"{min(cell.decided for cell in _from(own, APART)):.1%}",
                f"{next(cell.samples for cell in own if cell.distance == 0):.1f}",
                f"{max((cell.samples for cell in _from(own, CLEAR)), default=math.nan):.2f}",
                end_section=player is PLAYERS[-1],
            )
    return table


def _by_distance(found: list[Cell]) -> Table:
    table = Table(title="By distance, over all judges: flips / decided / samples")
    table.add_column("SDs")
    for player in PLAYERS:
        table.add_column(player.name, justify="right")
    for distance in DISTANCES:
        row = []
        for player in PLAYERS:
            own = [c for c in found if c.player is player and c.distance == distance]
            row.append(
                " / ".join(
                    [
                        f"{sum(c.flips for c in own) / len(own):.1%}",
                        f"{sum(c.decided for c in own) / len(own):.0%}",
                        f"{sum(c.samples for c in own) / len(own):.1f}",
                    ]
                )
            )
        table.add_row(f"{distance:+g}", *row)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer trials")
    parser.add_argument("--cells", action="store_true", help="also by distance from the threshold")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(width=130)
    trials = 300 if options.quick else 2000
    met = [
        flips(console, trials=trials, seed=options.seed, every=options.cells),
        evidence(console),
        stored_clearance(console),
        history_query(console, 20_000 if options.quick else DECISIONS),
    ]
    return int(not all(met))


if __name__ == "__main__":
    raise SystemExit(main())
