"""How long a gate takes to decide from evidence, where no model and no database is asked.

The evidence is in memory: a plan, a critique, and a judgement, of one sample or of twelve. Beside
Critic and Judge the gate holds the run to a budget, to its guards and to the plan's tools.

    python benchmarks/gates_evidence.py [--rounds 5000]
"""

from __future__ import annotations

import argparse
import statistics
import time

from rich.console import Console
from rich.table import Table

from agno_portkey.contracts import Critique, Issue, Judgement, Plan, Step
from agno_portkey.gates import BudgetCheck, Charter, Gate, GuardCheck, ReliabilityCheck, Sampling

# Milliseconds, at the median.
GOAL = 0.2
PLAN = Plan(
    goal="Ship 2.1 to staging",
    steps=tuple(
        Step(action=f"Step {number}", tool="deploy", inputs={"part": number})  # type: ignore[arg-type]
        for number in range(1, 6)
    ),
)
MORE = (BudgetCheck(tokens=9000), GuardCheck(), ReliabilityCheck(of="plan", expected=("deploy",)))
GATES = {
    "Critic and Judge": Gate(min_score=7),
    "with three more checks": Gate(min_score=7, checks=MORE),
    "the Judge sampled, 12 times": Gate(
        min_score=7, checks=MORE, sampling=Sampling(most=12, noise=1)
    ),
}


def evidence(console: Console, rounds: int = 5000) -> bool:
    """Print the table; whether the goal is met."""
    table = Table("a gate of", title="Decisions from evidence, without a model")
    for name in ("median, ms", "p95", f"goal {GOAL} ms"):
        table.add_column(name, justify="right")
    held = True
    for name, gate in GATES.items():
        times = _times(gate, rounds)
        median = statistics.median(times)
        held = held and median < GOAL
        p95 = statistics.quantiles(times, n=20)[-1]
        table.add_row(name, f"{median:.3f}", f"{p95:.3f}", "met" if median < GOAL else "missed")
    console.print(table)
    return held


def _times(gate: Gate, rounds: int) -> list[float]:
    charter = Charter(gate, swarm="Team", tools=frozenset({"deploy"}), has_critic=True)
    run = charter.runs.open("team", "Team")
    run.propose(PLAN)
    critic = charter.runs.join("critic", run, "critic", "Critic")
    run.show("critic")
    charter.heard(critic, "critic", Critique(issues=(Issue(severity="minor", description="so"),)))
    judge = charter.runs.join("judge", run, "judge", "Judge")
    shown = run.show("judge")
    assert shown is PLAN
    said = [Judgement(decision="approve", score=9 + number / 20) for number in range(12)]
    if gate.sampling is not None:
        run.poll(str(run.plan_digest), said)
    charter.heard(judge, "judge", said[0])
    assert charter.decide(run).passed
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        charter.decide(run)
        times.append(1000 * (time.perf_counter() - began))
    return times


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5000)
    raise SystemExit(not evidence(Console(width=110), parser.parse_args().rounds))
