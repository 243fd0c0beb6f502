"""Latency and CPU of a call over a fallback: `PortkeyModel` against Agno's own `Portkey`.

Both have the same config, gateway and provider; the provider is a process of its own, so that
CPU is the client's alone. Calls of both take turns in one process, the first to go changing
each time, after a warm-up; concurrent ones go in batches of one side. What is timed is what
the host calls: `response`, `response_stream` and their asynchronous forms.

    python benchmarks/routing.py [--calls 400] [--concurrent 32]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

from agno.models.base import Model
from agno.models.message import Message
from agno.models.portkey import Portkey
from rich.console import Console
from rich.table import Table

from agno_portkey import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider

GOAL = 1.1
TEXT = " ".join(f"word{number}" for number in range(1, 61))


@dataclass
class Taken:
    """What the calls of one side took, in seconds."""

    latencies: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def latency(self, percent: int) -> float:
        """A percentile of the latencies."""
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=400, help="calls a side and row")
    parser.add_argument("--concurrent", type=int, default=32, help="calls at once")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows: dict[str, list[Taken]] = {}
    with _provider() as url, LocalGateway() as gateway, asyncio.Runner() as runner:
        sides = _sides(gateway.url, url)
        for stream in (False, True):
            way = "streamed" if stream else "plain"
            rows[f"sync, {way}"] = one_by_one(sides, args.calls, stream=stream)
            concurrent = at_once(sides, args.calls, args.concurrent, stream=stream)
            rows[f"async, {args.concurrent} at once, {way}"] = runner.run(concurrent)
    return show(rows)


@contextmanager
def _provider() -> Iterator[str]:
    """The address of a provider in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


def _serve(pipe: Connection) -> None:
    with EmbeddedProvider() as provider:
        provider.when(lambda request: True, TEXT)
        pipe.send(provider.url)
        pipe.recv()


def _sides(gateway: str, provider: str) -> list[Model]:
    """Agno's model, and ours."""
    target = {"provider": "openai", "api_key": "test-key", "custom_host": provider}
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [
            {**target, "override_params": {"model": name}} for name in ("primary", "spare")
        ],
    }
    return [
        Portkey(portkey_api_key="test-key", base_url=gateway, config=config, max_retries=0),
        PortkeyModel(base_url=gateway, config=config, profile="open_source"),
    ]


def one_by_one(sides: Sequence[Model], calls: int, *, stream: bool) -> list[Taken]:
    """Blocking calls of both sides in turns."""
    taken = [Taken() for _ in sides]
    for number, index in _turns(len(sides), calls):
        began, cpu = time.perf_counter(), time.process_time()
        text = _asked(sides[index], stream)
        if number >= 0:
            taken[index].latencies.append(time.perf_counter() - began)
            taken[index].cpu.append(time.process_time() - cpu)
        assert text == TEXT, text
    return taken


async def at_once(
    sides: Sequence[Model], calls: int, concurrent: int, *, stream: bool
) -> list[Taken]:
    """Batches of concurrent calls, of both sides in turns."""
    taken = [Taken() for _ in sides]

    async def timed(side: Model, latencies: list[float]) -> None:
        began = time.perf_counter()
        text = await _awaited(side, stream)
        latencies.append(time.perf_counter() - began)
        assert text == TEXT, text

    for number, index in _turns(len(sides), max(20, calls // concurrent)):
        latencies: list[float] = []
        cpu = time.process_time()
        await asyncio.gather(*(timed(sides[index], latencies) for _ in range(concurrent)))
        if number >= 0:
            taken[index].cpu.append((time.process_time() - cpu) / concurrent)
            taken[index].latencies += latencies
    return taken


def _turns(sides: int, rounds: int) -> Iterator[tuple[int, int]]:
    """Rounds and whose turn it is; the rounds below 0 are the warm-up."""
    for number in range(-max(3, rounds // 10), rounds):
        order = range(sides) if number % 2 else range(sides - 1, -1, -1)
        for index in order:
            yield number, index


def _question() -> list[Message]:
    return [Message(role="user", content="Count to sixty.")]


def _asked(model: Model, stream: bool) -> str:
    if not stream:
        return str(model.response(messages=_question()).content)
    deltas: Any = model.response_stream(messages=_question())
    return "".join(delta.content for delta in deltas if delta.content)


async def _awaited(model: Model, stream: bool) -> str:
    if not stream:
        return str((await model.aresponse(messages=_question())).content)
    deltas: Any = model.aresponse_stream(messages=_question())
    return "".join([delta.content async for delta in deltas if delta.content])


def show(rows: dict[str, list[Taken]]) -> int:
    """Print the table; 1 if a median is over the goal."""
    table = Table(
        "calls", "Agno's Portkey: p50, p95", "PortkeyModel: p50, p95", "p50", "p95",
        "CPU a call", "CPU", f"goal {GOAL:g}x", caption="in ms; the median of the calls' CPU",
    )  # fmt: skip
    worst = 0.0
    for name, (plain, ours) in rows.items():
        p50, p95 = (ours.latency(each) / plain.latency(each) for each in (50, 95))
        cpu = [statistics.median(side.cpu) for side in (plain, ours)]
        worst = max(worst, p50)
        table.add_row(
            name,
            *(
                f"{side.latency(50) * 1e3:.2f}, {side.latency(95) * 1e3:.2f}"
                for side in (plain, ours)
            ),
            f"{p50:.2f}x",
            f"{p95:.2f}x",
            _in_ms(*cpu),
            f"{cpu[1] / cpu[0]:.2f}x",
            "met" if p50 <= GOAL else "missed",
        )
    Console().print(table)
    return int(worst > GOAL)


def _in_ms(*seconds: float) -> str:
    return ", ".join(f"{each * 1e3:.2f}" for each in seconds)


if __name__ == "__main__":
    raise SystemExit(main())
