"""Broken structured replies: how many are rescued without a second call, and how many wrongly.

Each reply is broken in a known way, so that the object that was meant is known; a rescue that
brings another one is wrong. Schemas are the roles' and a hundred others, made from a seed. Beside
ours stands what Agno alone makes of the same texts.

    python benchmarks/contracts_bench.py [--seed N] [--rounds N]
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from agno.utils.string import parse_response_model_str
from pydantic import BaseModel
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agno_portkey.contracts import validate
from agno_portkey.errors import ContractError
from benchmarks.contracts.breaking import BREAKS, Break
from benchmarks.contracts.schemas import objects, schemas

CONSOLE = Console(width=120)
# The parts of the goal: what can be rescued, and what is lost with the text.
GOAL = 0.95


@dataclass
class Case:
    """A broken reply, and the object that was meant."""

    way: Break
    schema: type[BaseModel]
    text: str
    meant: BaseModel


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


def cases(seed: int, rounds: int) -> Iterator[Case]:
    rng = random.Random(seed)
    for turn in range(rounds):
        for schema, make in schemas(seed + turn):
            for way in BREAKS:
                found = objects(schema, make, rng)
                text = way.apply(found, schema, rng)
                if text is not None:
                    yield Case(way, schema, text, schema.model_validate(found))


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
                right = found.model_dump() == case.meant.model_dump()
                score.rescued += right
                score.wrong += not right


def show(all_cases: list[Case], columns: list[Column]) -> None:
    table = Table(title=f"{len(all_cases)} broken replies; rescued without a call / wrongly")
    table.add_column("class")
    table.add_column("replies", justify="right")
    for column in columns:
        table.add_column(column.name, justify="right")
    for lossless in (True, False):
        kinds = sorted({c.way.kind for c in all_cases if c.way.lossless is lossless})
        for kind in kinds:
            count = sum(c.way.kind == kind and c.way.lossless is lossless for c in all_cases)
            cells = [_cell(column.scores[kind, lossless], count) for column in columns]
            table.add_row(kind if lossless else f"{kind} *", str(count), *cells)
        count = sum(c.way.lossless is lossless for c in all_cases)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1, help="rounds of 103 schemas")
    options = parser.parse_args()
    logging.getLogger("agno").setLevel(logging.CRITICAL)
    columns = [Column("ours", ours), Column("Agno", agno)]
    all_cases = list(cases(options.seed, options.rounds))
    measure(all_cases, columns)
    show(all_cases, columns)
    best = columns[0].total(lossless=True)
    wrong = best.wrong + columns[0].total(lossless=False).wrong
    count = sum(case.way.lossless for case in all_cases)
    return int(best.rescued < GOAL * count or wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
