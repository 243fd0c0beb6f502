"""CPU of a run that is traced: by nothing, by us, by OpenLIT's default, by Agno's own tracing.

Each side is a process of its own, which runs one agent with one tool against an answer that is
there on the spot, and has all its threads counted, those that export included. The sides take
turns; each figure is the median of the rounds. A collector on loopback is in a process that is
not counted.

    python benchmarks/telemetry_bench.py [--runs 200] [--rounds 5]

Exits with 1 where ours takes more than 1.5 times what nothing takes, or half of Agno's own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"

import httpx
from rich.console import Console
from rich.table import Table

GOAL, OF_AGNO = 1.5, 0.5
NOTHING, OURS, AGNO = "nothing", "ours, Agno's table", "Agno's own, its table"
_USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
# Until nothing is done for the first time any more.
_WARM = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="runs a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a side")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--collector", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(_measured(SIDES[args.side], args.collector, args.runs))
        return 0
    figures: dict[str, list[float]] = {side: [] for side in SIDES}
    with _collector() as url:
        for _ in range(args.rounds):
            for side in SIDES:
                figures[side].append(_in_a_process(side, url, args.runs))
    medians = {side: statistics.median(each) for side, each in figures.items()}
    _show(medians, figures)
    good = medians[OURS] <= GOAL * medians[NOTHING]
    return int(not (good and medians[OURS] <= OF_AGNO * medians[AGNO]))


def _show(medians: dict[str, float], figures: dict[str, list[float]]) -> None:
    table = Table("CPU of a run", "ms", "least to most", "of nothing", "of Agno's own")
    for side, median in medians.items():
        least, most = min(figures[side]) * 1e3, max(figures[side]) * 1e3
        table.add_row(
            side,
            f"{median * 1e3:.2f}",
            f"{least:.2f} to {most:.2f}",
            f"{median / medians[NOTHING]:.2f}x",
            f"{median / medians[AGNO]:.2f}x",
        )
    Console().print(table)
    Console().print(f"goals: ours {GOAL:g}x of nothing, {OF_AGNO:g}x of Agno's own")


def _in_a_process(side: str, collector: str, runs: int) -> float:
    asked = [sys.executable, __file__, "--side", side, "--collector", collector]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*asked, "--runs", str(runs)], capture_output=True, text=True, cwd=folder
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


class _collector:
    """Takes what is sent to it, and says that all is well."""

    def __enter__(self) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# In the process of a side


def _measured(side: Callable[[str], Callable[[], Any]], collector: str, runs: int) -> float:
    """Seconds of the processor's time of a run."""
    exported = side(collector)
    run = _agent()
    for _ in range(_WARM):
        run()
    exported()
    began = time.process_time()
    for _ in range(runs):
        run()
    exported()
    return (time.process_time() - began) / runs


def _agent() -> Callable[[], Any]:
    from agno.agent import Agent

    from agno_portkey import PortkeyModel

    def look_up(name: str) -> str:
        """Look a name up."""
        return f"{name} is there"

    http = httpx.Client(transport=httpx.MockTransport(_answer))
    model = PortkeyModel(
        "gpt-4o-mini", api_key="none", base_url="http://127.0.0.1:1/v1", http_client=http
    )
    agent = Agent(name="Helper", model=model, tools=[look_up])
    return lambda: agent.run("How are things?")


def _answer(request: httpx.Request) -> httpx.Response:
    message: dict[str, Any] = {"role": "assistant", "content": "All is well."}
    reason = "stop"
    if b'"role":"tool"' not in request.content:
        function = {"name": "look_up", "arguments": '{"name": "Ann"}'}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        reason = "tool_calls"
    choice = {"index": 0, "finish_reason": reason, "message": message}
    frame = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "gpt-4o-mini"}
    return httpx.Response(200, json={**frame, "choices": [choice], "usage": _USAGE})


def _nothing(collector: str) -> Callable[[], Any]:
    return lambda: None


def _ours(**to: Any) -> Callable[[], Any]:
    from agno_portkey import telemetry

    held = telemetry.setup(**to)
    return lambda: held.flush(timeout=60)


def _ours_dropped(collector: str) -> Callable[[], Any]:
    return _ours()


def _ours_in_the_table(collector: str) -> Callable[[], Any]:
    return _ours(db=_db())


def _ours_collected(collector: str) -> Callable[[], Any]:
    return _ours(otlp=collector)


def _openlit(collector: str) -> Callable[[], Any]:
    import json

    import openlit
    from opentelemetry import trace

    # Its list of prices would come from the network.
    prices = Path("prices.json")
    prices.write_text(
        json.dumps({"chat": {"gpt-4o-mini": {"promptPrice": 1, "completionPrice": 1}}})
    )
    openlit.init(otlp_endpoint=collector, pricing_json=str(prices))
    provider: Any = trace.get_tracer_provider()
    return lambda: provider.force_flush()


def _agno(collector: str) -> Callable[[], Any]:
    from agno.tracing import setup_tracing

    setup_tracing(_db())
    return lambda: None


def _db() -> Any:
    from agno.db.sqlite import SqliteDb

    return SqliteDb(db_file="spans.db")


SIDES: dict[str, Callable[[str], Callable[[], Any]]] = {
    NOTHING: _nothing,
    "ours, dropped": _ours_dropped,
    OURS: _ours_in_the_table,
    "ours, a collector": _ours_collected,
    "OpenLIT's default, a collector": _openlit,
    AGNO: _agno,
}


if __name__ == "__main__":
    raise SystemExit(main())
