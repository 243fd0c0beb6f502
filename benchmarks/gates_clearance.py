"""How long it takes to know that a stored clearance holds, in SQLite.

One process and one file, in which Agno's own tables and other clearances are too. A decision is
what a continuation in any process asks: whose clearance is it, is it whole, does it fit, has it
not run out, and is its step open. Beside it what a claim and a step take, which are written.

    python benchmarks/gates_clearance.py [--rounds 2000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"

from agno.db.sqlite import SqliteDb
from rich.console import Console
from rich.table import Table

from agno_portkey.contracts import Plan, Step, digest
from agno_portkey.gates.clearance import Asking, Clearances, Grant, MemoryClearances, new_id

# Milliseconds, at the median.
GOAL = 0.5
OTHERS = 1000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(
    goal="Ship 2.1 to staging",
    steps=tuple(
        Step(action=f"Step {number}", tool="deploy", inputs={"part": number})  # type: ignore[arg-type]
        for number in range(1, 6)
    ),
)


def stored_clearance(console: Console, rounds: int = 2000) -> bool:
    """Print the table; whether the goal is met."""
    table = Table(title=f"A stored clearance, among {OTHERS:,} (ms, median and 95th of 100)")
    for heading in ("", "decide", "p95", "claim", "take a step"):
        table.add_column(heading, justify="right" if heading else "left")
    with tempfile.TemporaryDirectory() as folder:
        database = SqliteDb(db_file=str(Path(folder, "agno.db")))
        database._create_all_tables()
        figures = {"SQLite": _measured(Clearances(database), rounds)}
    figures["in memory"] = _measured(MemoryClearances(), rounds)
    for name, row in figures.items():
        table.add_row(name, *(f"{figure:.3f}" for figure in row))
    console.print(table)
    met = figures["SQLite"][0] < GOAL
    console.print(f"Goal: under {GOAL} ms to decide from SQLite: {'met' if met else 'MISSED'}")
    return met


def _measured(clearances: Clearances, rounds: int) -> tuple[float, float, float, float]:
    grants = [_grant() for _ in range(OTHERS)]
    for grant in grants:
        clearances.put(grant)
    asking = Asking(
        runner_run_id=new_id(), plan_digest=digest(PLAN), fingerprint="sha256:ab", swarm="Release"
    )
    held = clearances.claim(grants[0].id, asking, NOW)

    def decide() -> None:
        found = clearances.held_by(asking.runner_run_id, NOW)
        assert found is not None
        assert 1 not in found.taken

    decided = _times(decide, rounds)
    others = iter(grants[1:])
    claimed = _times(
        lambda: clearances.claim(next(others).id, replace(asking, runner_run_id=new_id()), NOW),
        100,
    )

    def step() -> None:
        clearances.take_step(held.id, 1, NOW)
        stepped.append(time.perf_counter())
        clearances.release_step(held.id, 1)

    stepped: list[float] = []
    taken = []
    for _ in range(100):
        began = time.perf_counter()
        step()
        taken.append((stepped[-1] - began) * 1000)
    return (
        statistics.median(decided),
        statistics.quantiles(decided, n=20)[-1],
        statistics.median(claimed),
        statistics.median(taken),
    )


def _grant() -> Grant:
    return Grant(
        id=new_id(),
        gate="gate",
        swarm="Release",
        tenant=None,
        session_id=None,
        user_id=None,
        plan=PLAN,
        plan_digest=digest(PLAN),
        fingerprint="sha256:ab",
        issued_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )


def _times(call: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each of `rounds` calls, after one that warms up."""
    call()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    sys.exit(not stored_clearance(Console(), parser.parse_args().rounds))
