"""Broken structured replies: how many are rescued without a second call, and how many wrongly.

Each reply is broken in a known way, so that the object that was meant is known; a rescue that
brings another one is wrong. Schemas are the roles' and a hundred others, made from a seed. First,
ours and Agno read the texts alone, in all classes. Then a sample in the same proportions is played
end to end by ours, Agno alone, Instructor and pydantic-ai, against a scripted model that breaks the
first reply and corrects itself when it is asked again. Exits with 1 if a goal is missed or, because
Instructor is not installed, not measured.

    python benchmarks/contracts_bench.py [--seed N] [--rounds N] [--played N | --all] [--settings]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"
sys.path.insert(0, str(Path(__file__).parent.parent))

from agno.utils.string import parse_response_model_str
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from agno_portkey.contracts import validate
from agno_portkey.errors import ContractError
from benchmarks.contracts.cases import Case, cases, sample
from benchmarks.contracts.goals import RESCUED, show_played
from benchmarks.contracts.peers import players
from benchmarks.contracts.played import play, why_not

CONSOLE = Console(width=130)


@dataclass
class Score:
    """What a reader made of the replies of one class."""

    rescued: int = 0
    wrong: int = 0
    seconds: float = 0.0


@dataclass
class Column:
    """A reader and its scores, by class."""

    name: str
    read: Callable[[type[BaseModel], str], BaseModel | None]
    scores: dict[tuple[str, bool], Score] = field(default_factory=lambda: defaultdict(Score))

    def total(self, *, lossless: bool) -> Score:
        found = [score for (_, plain), score in self.scores.items() if plain is lossless]
        return Score(
            sum(one.rescued for one in found),
            sum(one.wrong for one in found),
            sum(one.seconds for one in found),
        )


def ours(schema: type[BaseModel], text: str) -> BaseModel | None:
    try:
        return validate(schema, text)
    except ContractError:
        return None


def agno(schema: type[BaseModel], text: str) -> BaseModel | None:
    try:
        return parse_response_model_str(text, schema)
    except Exception:
        # The run ends in an error.
        return None


def measure(all_cases: list[Case], columns: list[Column]) -> None:
    for case in track(all_cases, "replies", console=Console(stderr=True)):
        for column in columns:
            begun = time.process_time()
            found = column.read(case.schema, case.text)
            score = column.scores[case.way.kind, case.way.lossless]
            score.seconds += time.process_time() - begun
            if found is not None:
                right = case.fits(found)
                score.rescued += right
                score.wrong += not right


def show(all_cases: list[Case], columns: list[Column]) -> None:
    table = Table(title=f"{len(all_cases)} broken replies; rescued without a call / wrongly")
    table.add_column("class")
    table.add_column("replies", justify="right")
    for column in columns:
        table.add_column(column.name, justify="right")
    for lossless in (True, False):
        kinds = sorted({case.way.kind for case in all_cases if case.way.lossless is lossless})
        for kind in kinds:
            count = sum(
                case.way.kind == kind and case.way.lossless is lossless for case in all_cases
            )
            cells = [_cell(column.scores[kind, lossless], count) for column in columns]
            table.add_row(kind if lossless else f"{kind} *", str(count), *cells)
        count = sum(case.way.lossless is lossless for case in all_cases)
        totals = [_cell(column.total(lossless=lossless), count) for column in columns]
        name = "nothing is lost" if lossless else "* part is lost"
        table.add_row(f"[bold]{name}", str(count), *totals, end_section=True)
    CONSOLE.print(table)
    for column in columns:
        seconds = sum(score.seconds for score in column.scores.values())
        CONSOLE.print(f"{column.name}: {seconds / len(all_cases) * 1000:.2f} ms of CPU a reply")


def _cell(score: Score, count: int) -> str:
    wrong = f"[red]{score.wrong}[/]" if score.wrong else "0"
    return f"{score.rescued / count:.3f} / {wrong}"


def texts_alone(all_cases: list[Case]) -> bool:
    """Print what is read out of the texts, without a model; whether ours meets its goal."""
    columns = [Column("ours", ours), Column("Agno", agno)]
    measure(all_cases, columns)
    show(all_cases, columns)
    best = columns[0].total(lossless=True)
    wrong = best.wrong + columns[0].total(lossless=False).wrong
    count = sum(case.way.lossless for case in all_cases)
    return best.rescued >= RESCUED * count and wrong == 0


def end_to_end(chosen: list[Case], *, every: bool) -> bool:
    """Print what each player makes of a scripted model's replies; whether ours meets its goals."""
    there, missing = [], []
    for player in players(every=every):
        if reason := why_not(player):
            missing.append(f"{player.name}: {reason}")
        else:
            there.append(player)
    bar = Progress(console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("end to end", total=len(there) * len(chosen))
        found = [(player, play(player, chosen, lambda: bar.advance(task))) for player in there]
    return show_played(CONSOLE, found, missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="rounds of 103 schemas")
    parser.add_argument("--played", type=int, default=1000, help="replies played end to end")
    parser.add_argument("--all", action="store_true", help="play every reply end to end")
    parser.add_argument("--settings", action="store_true", help="the others in all their settings")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # Clients that their event loop has outlived, and what the others say of their own future.
    warnings.simplefilter("ignore")
    all_cases = list(cases(options.seed, options.rounds))
    chosen = all_cases if options.all else sample(all_cases, options.played)
    met = [texts_alone(all_cases), end_to_end(chosen, every=options.settings)]
    return int(not all(met))


if __name__ == "__main__":
    raise SystemExit(main())
