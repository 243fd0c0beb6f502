"""How long the history of gates takes to read, where 100,000 decisions are kept."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from uuid import UUID

from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from rich.console import Console
from rich.table import Table
from sqlalchemy import MetaData, create_engine
from sqlalchemy import Table as SqlTable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from postgres_server import PostgresServer

from agno_portkey.gates.history import Decided, History, Scored
from agno_portkey.gates.history.store import row_of

__all__ = ["history_query"]

DECISIONS = 100_000
GOAL = 50.0
_ROUNDS = 15
_END = datetime(2026, 5, 1, tzinfo=UTC)


def history_query(console: Console, decisions: int = DECISIONS) -> bool:
    """Print what each query takes in SQLite and Postgres; whether all are within 50 ms."""
    table = Table(title=f"A query of {decisions:,} decisions, ms (goal: under {GOAL:g})")
    for column in ("query", "rows", "SQLite median", "max", "Postgres median", "max"):
        table.add_column(column, justify="left" if column == "query" else "right")
    rows: dict[str, list[str]] = {}
    slowest = 0.0
    for opened in (_sqlite, _postgres):
        with opened() as database:
            history = _filled(database, decisions)
            for name, ask in _queries(history).items():
                found, taken = _timed(ask)
                cells = rows.setdefault(name, [name, str(found)])
                cells += [f"{median(taken):.1f}", f"{max(taken):.1f}"]
                slowest = max(slowest, median(taken))
    for cells in rows.values():
        table.add_row(*cells)
    console.print(table)
    return slowest < GOAL


def _queries(history: History) -> dict[str, Callable[[], list[Decided]]]:
    week = _END - timedelta(days=7)
    return {
        "the default: newest of all gates": history.series,
        "newest of a gate": lambda: history.series(gate="release"),
        "newest of a gate and a swarm": lambda: history.series(gate="release", swarm="Swarm 3"),
        "a gate since 7 days": lambda: history.series(gate="release", since=week),
        "newest failures of a gate": lambda: history.series(gate="release", outcome="fail"),
        "a gate, half a year back": lambda: history.series(
            gate="release", until=_END - timedelta(days=180), limit=100
        ),
        "a gate that there is not": lambda: history.series(gate="none"),
    }


def _timed(ask: Callable[[], list[Decided]]) -> tuple[int, list[float]]:
    found, taken = len(ask()), []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1e3)
    return found, taken


def _filled(database: SqliteDb | PostgresDb, decisions: int) -> History:
    """A history of a year, of three gates in ten swarms; the first goes in as all others would."""
    history, chance = History(database), Random(7)
    history.put(_decided(0, chance, decisions))
    engine = create_engine(database.db_engine.url)
    schema = getattr(database, "db_schema", None)
    table = SqlTable("agno_eval_runs", MetaData(schema=schema), autoload_with=engine)
    rows = (_plain(_decided(number, chance, decisions)) for number in range(1, decisions))
    with engine.begin() as connection:
        while several := [row for _, row in zip(range(5000), rows, strict=False)]:
            connection.execute(table.insert(), several)
    with engine.begin() as connection:
        # As Postgres does by itself a minute later.
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()
    return history


def _plain(decided: Decided) -> dict[str, Any]:
    row = row_of(decided)
    kind, at = row.eval_type.value, row.created_at
    return {**row.model_dump(), "eval_type": kind, "updated_at": at}


def _decided(number: int, chance: Random, decisions: int) -> Decided:
    score = min(1.0, max(0.0, chance.gauss(0.8, 0.1)))
    outcome = "pass" if score >= 0.7 else "fail"
    digest = f"sha256:{number:064x}"
    return Decided(
        id=str(UUID(int=chance.getrandbits(128))),
        gate=chance.choice(("release", "budget", "safety")),
        passed=outcome == "pass",
        outcome=outcome,
        score=score,
        reasons=() if outcome == "pass" else ("the plan has no way back",),
        checks=(
            Scored(check="judgement", outcome=outcome, score=score, threshold=0.7, samples=2),
            Scored(check="critique", outcome="pass", score=1.0, threshold=1.0),
        ),
        at=_END - timedelta(days=365) * (1 - number / decisions),
        swarm=f"Swarm {number % 10}",
        team_id=f"team-{number % 10}",
        run_id=f"run-{number}",
        session_id=f"session-{number // 5}",
        user_id="kim",
        tenant=None,
        plan_digest=digest,
        fingerprint=digest,
        versions={"Judge.model": "gpt-4o-mini", "Planner.prompt": digest[:15]},
        evidence={"critique": digest, "judgement": digest},
        cost=0.002,
        tokens=2000,
        seconds=3.2,
    )


@contextmanager
def _sqlite() -> Iterator[SqliteDb]:
    with tempfile.TemporaryDirectory() as folder:
        yield SqliteDb(db_file=f"{folder}/agno.db")


@contextmanager
def _postgres() -> Iterator[PostgresDb]:
    with PostgresServer() as server:
        url = server.new_database().replace("postgresql://", "postgresql+psycopg://")
        database = PostgresDb(db_url=url)
        yield database
        database.db_engine.dispose()


if __name__ == "__main__":
    sys.exit(not history_query(Console()))
