"""CPU of a governed run against the same run on bare Agno, on a stub model, in one process.

The stub stands in for the OpenAI client of both, so that neither the network nor a provider
counts. Both sides answer the same requests with the same completions. Rounds alternate, and
each figure is the median of the rounds' CPU time per run.

    python benchmarks/overhead.py [--runs 200] [--rounds 9]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from openai.types.chat import ChatCompletion
from rich.console import Console
from rich.table import Table

from agno_portkey import Gate, PortkeyModel, govern
from agno_portkey.testing import Request
from agno_portkey.testing.story import REQUEST, SOUND, Release, release_team, script_of

GOAL = 2.0


class StubClient:
    """An OpenAI client whose completions come from the story's script."""

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=self)
        self._script = script_of(plans=[SOUND])

    def create(self, **params: Any) -> ChatCompletion:
        body = {k: v for k, v in params.items() if k != "extra_headers"}
        request = Request("POST", "/v1/chat/completions", {}, body, 0.0)
        return ChatCompletion.model_validate(self._script(request))

    def is_closed(self) -> bool:
        return False


class StubLike(OpenAILike):
    def get_client(self) -> Any:
        return CLIENT


class StubPortkey(PortkeyModel):
    def get_client(self) -> Any:
        return CLIENT


CLIENT = StubClient()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="runs a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds a side")
    args = parser.parse_args()
    bare_model = StubLike(id="stub")
    ours = StubPortkey("stub", base_url="http://127.0.0.1:1/v1")
    agents = Agent(model=bare_model), govern(Agent(model=ours))
    teams = (
        release_team(bare_model, Release()),
        govern(release_team(ours, Release()), runner="Runner", gate=Gate(min_score=8)),
    )
    table = Table("run", "bare Agno, ms CPU", "governed, ms CPU", "ratio", f"goal {GOAL:g}x")
    worst = 0.0
    for name, sides, text in (
        ("agent, one call", agents, "Hi"),
        ("team: plan, critique, judgement, gate, two tools", teams, REQUEST),
    ):
        bare, governed = measure(
            [lambda s=s, t=text: s.run(t) for s in sides], args.runs, args.rounds
        )
        ratio = governed / bare
        worst = max(worst, ratio)
        met = "met" if ratio <= GOAL else "missed"
        table.add_row(name, f"{bare * 1e3:.3f}", f"{governed * 1e3:.3f}", f"{ratio:.2f}x", met)
    Console().print(table)
    return int(worst > GOAL)


def measure(sides: list[Callable[[], Any]], runs: int, rounds: int) -> list[float]:
    """Median CPU seconds per run of each side, the sides taking turns."""
    for side in sides:
        out = side()
        assert out.status.value == "COMPLETED", out.content
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, times, strict=True):
            started = time.process_time()
            for _ in range(runs):
                side()
            taken.append((time.process_time() - started) / runs)
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    raise SystemExit(main())
