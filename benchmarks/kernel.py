"""CPU of a run with 0, 1, 10 and 100 guards that do nothing, over the same run on bare Agno.

One process, no network and no provider. The sides take turns; each figure is the median of the
rounds' CPU time per run. Two tables: of whole runs, in which both sides make their requests with
the OpenAI client, whose transport answers on the spot; and, harsher, with a stub in place of the
client, so that nothing but the host is in the run that is compared with. Two kinds of guard:
inline ones, run on the spot, and those that get a thread and a time limit.

    python benchmarks/kernel.py [--runs 100] [--rounds 9]
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

import httpx
from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from openai.types.chat import ChatCompletion
from rich.console import Console
from rich.table import Table

from agno_portkey import PortkeyModel, govern
from agno_portkey.guardrails import Guard, Passage

# A whole governed run with ten inline guards, over a bare one.
GOAL = 1.5
URL = "http://127.0.0.1:1/v1"
COUNTS = (0, 1, 10, 100)

_ANSWER = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 0,
    "model": "stub",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "All is well."},
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


class StubClient:
    """An OpenAI client that always says the same."""

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=self)

    def create(self, **params: Any) -> ChatCompletion:
        return ChatCompletion.model_validate(_ANSWER)

    def is_closed(self) -> bool:
        return False


CLIENT = StubClient()


class StubLike(OpenAILike):
    def get_client(self) -> Any:
        return CLIENT


class StubPortkey(PortkeyModel):
    def get_client(self) -> Any:
        return CLIENT


def _through_the_client(kind: type[Any]) -> Any:
    answers = httpx.MockTransport(lambda request: httpx.Response(200, json=_ANSWER))
    http = httpx.Client(transport=answers)
    return kind("stub", api_key="none", base_url=URL, http_client=http)


def _with_a_stub(kind: type[Any]) -> Any:
    return (StubPortkey if kind is PortkeyModel else StubLike)("stub", base_url=URL)


class Inline(Guard):
    """Looks at everything and says nothing, on the spot."""

    inline = True

    def inspect(self, passage: Passage) -> None:
        return None


class Beside(Guard):
    """The same, on a thread and within its time."""

    def inspect(self, passage: Passage) -> None:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="runs a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds a side")
    args = parser.parse_args()
    with_stub = measure(sides(_with_a_stub), args.runs, args.rounds)
    whole = measure(sides(_through_the_client), args.runs, args.rounds)
    show(with_stub, "A stub in place of the client of both sides")
    reached = show(whole, "Whole runs, through the client")
    Console().print(f"a whole run with ten inline guards: {reached:.2f}x of bare, goal {GOAL:g}x")
    return int(reached > GOAL)


def sides(model: Callable[[type[Any]], Any]) -> dict[str, Callable[[], Any]]:
    """The runs to compare, with models as `model` makes them."""
    made = {
        "bare": _side(Agent(model=model(OpenAILike))),
        "model alone": _side(Agent(model=model(PortkeyModel))),
    }
    for kind in (Inline, Beside):
        for count in COUNTS if kind is Inline else COUNTS[1:]:
            guards = [kind(name=f"{kind.__name__}{n}") for n in range(count)]
            agent = govern(Agent(model=model(PortkeyModel)), guards=guards)
            made[f"governed, {count} {kind.__name__.lower()}"] = _side(agent)
    return made


def _side(agent: Agent) -> Callable[[], Any]:
    return lambda: agent.run("How are things?")


def measure(sides: dict[str, Callable[[], Any]], runs: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds per run of each side, a figure a round; the sides take turns."""
    for side in sides.values():
        out = side()
        assert out.status.value == "COMPLETED", out.content
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            started = time.process_time()
            for _ in range(runs):
                side()
            taken[name].append((time.process_time() - started) / runs)
    return taken


def show(taken: dict[str, list[float]], title: str) -> float:
    """Print the table; returns what ten inline guards cost, over bare Agno."""
    table = Table(
        "run", "ms CPU", "worst round", "over bare Agno", "us a guard", title=title, min_width=78
    )
    bare = statistics.median(taken["bare"])
    none = statistics.median(taken["governed, 0 inline"])
    ratios = {}
    for name, rounds in taken.items():
        median = statistics.median(rounds)
        ratios[name] = median / bare
        count = int(name.split()[1]) if name.startswith("governed") else 0
        growth = f"{(median - none) / count * 1e6:.2f}" if count else ""
        table.add_row(
            name, f"{median * 1e3:.3f}", f"{max(rounds) * 1e3:.3f}", f"{ratios[name]:.2f}x", growth
        )
    Console().print(table)
    return ratios["governed, 10 inline"]


if __name__ == "__main__":
    raise SystemExit(main())
