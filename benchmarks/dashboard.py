"""How long the dashboard's panels take: p95 of each, at 10,000 and 100,000 spans.

On SQLite and on a Postgres server of its own; and how long it takes to catch up from nothing.
`python benchmarks/dashboard.py [--spans 10000,100000] [--goal 0.5]` ends with 1 where a goal is
missed.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from postgres_server import PostgresServer

from agno_portkey.telemetry.dashboard import Asked, Board
from agno_portkey.telemetry.dashboard.panels import PANELS

HOURS = 24
ROUNDS = 20
MODELS = (
    ("gpt-4o-mini", "openai", 420),
    ("claude-haiku-4-5", "anthropic", 610),
    ("gemini", "google", 380),
)
SWARMS = (("Release", "cc-42"), ("Support", "cc-7"))
ROLES = ("Planner", "Critic", "Judge", "Runner")
STATES = (("closed", "open"), ("open", "half_open"), ("half_open", "closed"))


class Made:
    """Spans as our telemetry writes them, of runs over some hours."""

    def __init__(self, until: datetime, hours: float, seed: int = 12) -> None:
        self._random = random.Random(seed)
        self._until, self._width = until, timedelta(hours=hours)
        self._ids = 0

    def runs(self, count: int) -> Iterator[dict[str, Any]]:
        """`count` spans, run by run."""
        left = count
        runs = max(1, count // 45)
        for number in range(runs * 2):
            at = self._until - self._width * (1 - (number + 0.5) / runs)
            for span in self._run(at):
                if not left:
                    return
                left -= 1
                yield span

    def _run(self, at: datetime) -> Iterator[dict[str, Any]]:
        pick = self._random
        swarm, cost_center = pick.choice(SWARMS)
        trace = f"{pick.getrandbits(128):032x}"
        of = {"swarm": swarm, "cost_center": cost_center, "environment": "staging"}
        root, ms = self._id(), 0.0
        inner: list[dict[str, Any]] = []
        for role in ROLES:
            for span in self._called(trace, root, at + timedelta(milliseconds=ms), of, role):
                inner.append(span)
            ms += inner[-1]["ms"] + 20
        failed = pick.random() < 0.01
        told = {"gen_ai.operation.name": "invoke_agent", "agno_portkey.outermost": True}
        told |= {"error.type": "error"} if failed else {}
        yield _row(trace, root, None, f"invoke_agent {swarm}", at, ms, {**told, **_tags(of, swarm)})
        yield from (_row(**span) for span in inner)

    def _called(
        self, trace: str, root: str, at: Any, of: Any, role: str
    ) -> Iterator[dict[str, Any]]:
        pick = self._random
        model, provider, usual = pick.choice(MODELS)
        tags = _tags(of, role)

        def span(
            name: str, parent: str, ms: float, told: dict[str, Any], after: float = 0
        ) -> dict[str, Any]:
            begun = at + timedelta(milliseconds=after)
            return {
                "trace": trace,
                "id": self._id(),
                "parent": parent,
                "name": name,
                "at": begun,
                "ms": ms,
                "said": {**told, **tags},
            }

        def ours(kind: str, **told: Any) -> dict[str, Any]:
            return {"agno_portkey.kind": kind, **{f"agno_portkey.{k}": v for k, v in told.items()}}

        hit = pick.random() < 0.46
        ms = pick.lognormvariate(0, 0.5) * usual if not hit else pick.uniform(2, 9)
        yield span("cache", root, 0.2, ours("cache", outcome="hit" if hit else "miss", model=model))
        for guard in ("PIIGuardrail", "PromptInjectionGuardrail", "ModerationGuardrail"):
            refused = pick.random() < 0.004
            verdict = "refused" if refused else "passed"
            yield span(
                f"guard {guard}",
                root,
                pick.uniform(0.5, 8),
                ours("guard", source=guard, mode="enforce", decision=verdict),
            )
        call = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True,
            **ours("call", attempts=0 if hit else 1),
        }
        if not hit:
            tokens = pick.randint(100, 2_000), pick.randint(10, 400)
            call |= {
                "gen_ai.usage.input_tokens": tokens[0],
                "gen_ai.usage.output_tokens": tokens[1],
            }
            call |= {"gen_ai.usage.cost": tokens[0] * 15e-8 + tokens[1] * 60e-8}
            call |= {"gen_ai.server.time_to_first_token": ms / 3_000}
        made = span(f"chat {model}", root, ms, call)
        yield made
        if not hit:
            target = f"{provider}-1"
            attempt = {
                **ours("attempt", attempt=1, target=target),
                "gen_ai.provider.name": provider,
            }
            if pick.random() < (0.05 if provider == "anthropic" else 0.01):
                yield span(
                    "attempt 1",
                    made["id"],
                    ms / 3,
                    {
                        **attempt,
                        "error.type": pick.choice(("UpstreamFailed", "RateLimited", "Timeout")),
                    },
                )
                yield span("attempt 2", made["id"], ms / 2, attempt, ms / 3)
            else:
                yield span("attempt 1", made["id"], ms, attempt)
            if pick.random() < 0.002:
                before, state = pick.choice(STATES)
                yield span(
                    f"circuit {target}",
                    root,
                    0,
                    ours("circuit", target=target, before=before, state=state),
                )
        yield span(
            "contract given",
            root,
            0.4,
            ours("contract", rung="given", decision="passed", source="contract Plan"),
        )
        if role == "Runner":
            passed = pick.random() < 0.9
            decided = {
                "gate.decision": "passed" if passed else "refused",
                "gate.score": pick.betavariate(9, 2) if passed else pick.betavariate(4, 4),
            }
            yield span(
                "gate release",
                root,
                1,
                {**ours("gate", mode="enforce", source="release"), **decided},
            )
            if passed:
                yield span(
                    "tool deploy", root, 12, ours("tool", tool="deploy", step=1, mode="enforce"), 2
                )
        yield made | {
            "id": self._id(),
            "name": "plan",
            "ms": ms + 6,
            "said": {**ours("plan"), **tags},
        }

    def _id(self) -> str:
        self._ids += 1
        return f"{self._ids:016x}"


def _tags(of: dict[str, str], role: str) -> dict[str, str]:
    return {f"agno_portkey.{name}": value for name, value in {**of, "role": role}.items()}


def _row(
    trace: str,
    id: str,
    parent: str | None,
    name: str,
    at: datetime,
    ms: float,
    said: dict[str, Any],
) -> dict[str, Any]:
    ended = at + timedelta(milliseconds=ms)
    return {
        "span_id": id,
        "trace_id": trace,
        "parent_span_id": parent,
        "name": name,
        "span_kind": "INTERNAL",
        "status_code": "ERROR" if "error.type" in said else "UNSET",
        "status_message": None,
        "start_time": at.isoformat(),
        "end_time": ended.isoformat(),
        "duration_ms": int(ms),
        "attributes": said,
        "created_at": ended.isoformat(),
    }


def write(db: Any, count: int, hours: float = HOURS, until: datetime | None = None) -> None:
    """Write `count` spans of runs of the last hours into `db`, as SpanTable does."""
    traces, spans = (
        db._get_table(name, create_table_if_not_found=True) for name in ("traces", "spans")
    )
    made = Made(until or datetime.now(UTC), hours)
    batch: list[dict[str, Any]] = []
    for row in made.runs(count):
        batch.append(row)
        if len(batch) >= 5_000:
            _write(db, traces, spans, batch)
            batch = []
    if batch:
        _write(db, traces, spans, batch)


def _write(db: Any, traces: Any, spans: Any, batch: list[dict[str, Any]]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    insert = (sqlite if isinstance(db, SqliteDb) else postgresql).insert
    named = {row["trace_id"]: row for row in batch}
    begun = [
        {
            "trace_id": id,
            "name": row["name"],
            "status": "OK",
            "start_time": row["start_time"],
            "end_time": row["end_time"],
            "duration_ms": row["duration_ms"],
            "created_at": row["created_at"],
        }
        for id, row in named.items()
    ]
    with db.Session() as session, session.begin():
        session.execute(insert(traces).on_conflict_do_nothing(), begun)
        session.execute(insert(spans), batch)


def measured(db: Any, count: int) -> dict[str, float]:
    """Seconds: to catch up from nothing, and p95 of each panel."""
    write(db, count)
    board = Board(db)
    began = time.perf_counter()
    while board.catch_up(60):
        pass
    found = {"catch up, cold": time.perf_counter() - began}
    until = int(time.time() * 1_000)
    asked = Asked(until - HOURS * 3_600_000, until)
    for name in PANELS:
        found[name] = _p95(lambda name=name: board.panel(name, asked))
    trace = board.runs("latency", asked)["runs"][0]["trace_id"]
    found["runs"] = _p95(lambda: board.runs("latency", asked))
    found["run"] = _p95(lambda: board.run(trace))
    found["filters"] = _p95(board.filters)
    return found


def _p95(ask: Any) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return statistics.quantiles(taken, n=20)[-1]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", default="10000,100000")
    parser.add_argument("--goal", type=float, default=0.5)
    parser.add_argument("--seed", help="only write spans of six hours into this SQLite file")
    given = parser.parse_args()
    counts = [int(each) for each in given.spans.split(",")]
    if given.seed:
        write(SqliteDb(db_file=given.seed), counts[0], hours=6)
        return 0
    tables: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        for count in counts:
            sqlite = SqliteDb(db_file=f"{folder}/{count}.db")
            tables[f"SQLite {count:,}"] = measured(sqlite, count)
            url = server.new_database().replace("postgresql://", "postgresql+psycopg://")
            postgres = PostgresDb(db_url=url)
            tables[f"Postgres {count:,}"] = measured(postgres, count)
            postgres.db_engine.dispose()
    print(f"seconds, p95 of {ROUNDS}, all of {HOURS} hours; goal of each panel: {given.goal:g}")
    print(f"processes that wanted a core, of {os.cpu_count()}: {os.getloadavg()[1]:.1f}")
    print(f"{'':16}" + "".join(f"{name:>18}" for name in tables))
    for row in next(iter(tables.values())):
        print(f"{row:16}" + "".join(f"{table[row]:18.3f}" for table in tables.values()))
    late = [
        f"{row} ({name})"
        for name, table in tables.items()
        for row, seconds in table.items()
        if row != "catch up, cold" and seconds > given.goal
    ]
    print(f"missed: {', '.join(late)}" if late else "met")
    return 1 if late else 0


if __name__ == "__main__":
    raise SystemExit(main())
