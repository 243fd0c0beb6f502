"""Ours beside LiteLLM, LangChain, the OpenAI Agents SDK, pydantic-ai and Agno alone.

All speak to one scripted provider on loopback, each set up as its own documentation has it in the
setting in which most is held; which one that is stands below the table. What counts is seen from
outside: the bytes that the provider received, what the caller was shown, and how the call ended.

A: personal data. B: a rule of the user's. E: sixteen faults of a provider. F: a cached answer. In
A a library plays with the types of data that its own detectors claim. What a library has nothing
for is "-", and not counted. In E an error of another library's is asked for less than one of ours.
Exits with 1 if one of ours does not hold, or a library can't be played.

    python benchmarks/peers_bench.py [--tests ABEF] [--libraries NAME ...] [--json FILE] [--lost]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["AGNO_TELEMETRY"] = "false"
sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from agno_portkey.routing.local import LocalGateway
from benchmarks.peers import cached, faulty, personal, rules
from benchmarks.peers.asked import Peer, Score
from benchmarks.peers.by_agno import AgnoAlone
from benchmarks.peers.by_langchain import LangChain
from benchmarks.peers.by_litellm import LiteLLM
from benchmarks.peers.by_openai_agents import OpenAIAgents
from benchmarks.peers.by_ours import Ours
from benchmarks.peers.by_pydantic_ai import PydanticAI

PEERS: Sequence[Peer] = (
    Ours(),
    LiteLLM(),
    LangChain(),
    OpenAIAgents(),
    PydanticAI(),
    AgnoAlone(),
)
TESTS = {
    "A": "personal data",
    "B": "a rule of the user's",
    "E": "sixteen faults of a provider",
    "F": "a cached answer",
}
ROWS = {"A": personal.ROWS, "B": rules.ROWS, "E": (*faulty.FORMS,), "F": cached.ROWS}
CONSOLE = Console(width=None if sys.stdout.isatty() else 150)
# Test, row, library.
Found = dict[str, dict[str, dict[str, Score]]]


def main() -> int:
    options = _options()
    logging.disable(logging.CRITICAL)
    # Clients that their event loop has outlived, and what is said of versions to come.
    warnings.simplefilter("ignore")
    words = [name.lower() for name in options.libraries]
    chosen = [peer for peer in PEERS if not words or any(w in peer.name.lower() for w in words)]
    found: Found = {test: {row: {} for row in ROWS[test]} for test in options.tests}
    seconds: dict[str, float] = {}
    for test in options.tests:
        for peer in chosen:
            began = time.monotonic()
            for row, score in _scores(test, peer).items():
                found[test][row][peer.name] = score
            seconds[f"{test} {peer.name}"] = time.monotonic() - began
    show(found, chosen, lost=options.lost)
    CONSOLE.print(f"{sum(seconds.values()):.0f} s")
    if options.json:
        Path(options.json).write_text(json.dumps(_data(found, chosen, seconds), indent=1) + "\n")
    return int(not _ours_holds(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tests", default="ABEF", type=str.upper, help="letters of A, B, E and F")
    parser.add_argument("--libraries", nargs="*", default=[], help="parts of their names")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--lost", action="store_true", help="tell each case that did not hold")
    options = parser.parse_args()
    if unknown := set(options.tests) - set(TESTS):
        parser.error(f"there is no test {', '.join(sorted(unknown))}; there are {', '.join(TESTS)}")
    return options


def _scores(test: str, peer: Peer) -> dict[str, Score]:
    CONSOLE.print(f"{TESTS[test]}: {peer.name} ...", style="dim")
    match test:
        case "A":
            return personal.play(peer)
        case "B":
            return rules.play(peer)
        case "F":
            return cached.play(peer)
    if peer.name not in (Ours.name, AgnoAlone.name):
        return faulty.play(peer, url="")
    with LocalGateway() as gateway:
        return faulty.play(peer, url=gateway.url)


def show(found: Found, chosen: Sequence[Peer], *, lost: bool) -> None:
    """Print the table, then where another library is better, and how each was set up."""
    CONSOLE.print(_table(found, chosen))
    none = ["In no row another library holds more than ours."]
    for line in [*_better(found)] or none:
        CONSOLE.print(f"[bold]{line}[/]")
    for peer in chosen:
        told = [f"{test}: {peer.setting[test]}." for test in found]
        types = ", ".join(kind for kind in personal.VALUES if kind in peer.claims) or "none"
        CONSOLE.print(f"{peer.name}. Types in A: {types}. {' '.join(told)}", markup=False)
    for place, score in _each(found) if lost else ():
        for each in score.lost:
            CONSOLE.print(f"{place}: {each}", markup=False)


def _table(found: Found, chosen: Sequence[Peer]) -> Table:
    names = [peer.name for peer in chosen]
    table = Table(title="held, of how many cases", caption='"-": the library has no such thing')
    table.add_column("test")
    for peer in chosen:
        table.add_column("\n".join([peer.name, version(peer.packages[0])]), justify="right")
    for test, rows in found.items():
        table.add_row(f"[bold]{test}. {TESTS[test]}", *("" for _ in names))
        for row, scores in rows.items():
            table.add_row(f"   {row}", *(_cell(scores.get(name)) for name in names))
        table.add_section()
    return table


def _each(found: Found) -> Iterator[tuple[str, Score]]:
    for test, rows in found.items():
        for row, scores in rows.items():
            for name, score in scores.items():
                yield f"{test}, {row}, {name}", score


def _cell(score: Score | None) -> str:
    if score is None or not score.cases:
        return "-"
    text = f"{score.held} of {score.cases}"
    return text if score.held == score.cases else f"[red]{text}[/]"


def _better(found: Found) -> list[str]:
    """Where another library holds a larger share than ours, or what ours has nothing for."""
    lines = []
    for test, rows in found.items():
        for row, scores in rows.items():
            mine = scores.get(Ours.name)
            for name, score in scores.items():
                if mine is not None and _share(score) > _share(mine):
                    lines.append(f"{name} holds more than ours: {test}, {row}")
    return lines


def _share(score: Score) -> float:
    return score.held / score.cases if score.cases else 0.0


def _ours_holds(found: Found) -> bool:
    mine = [
        scores[Ours.name]
        for rows in found.values()
        for scores in rows.values()
        if Ours.name in scores
    ]
    return all(score.held == score.cases for score in mine)


def _data(found: Found, chosen: Sequence[Peer], seconds: dict[str, float]) -> dict[str, Any]:
    versions = {package: version(package) for peer in chosen for package in peer.packages}
    figures = {
        test: {
            row: {name: [score.held, score.cases] for name, score in scores.items()}
            for row, scores in rows.items()
        }
        for test, rows in found.items()
    }
    settings = {peer.name: peer.setting for peer in chosen}
    lost = {place: score.lost for place, score in _each(found) if score.lost}
    return {
        "versions": versions,
        "held": figures,
        "lost": lost,
        "settings": settings,
        "seconds": seconds,
    }


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Rules that hang leave threads behind, which the interpreter would wait for.
    os._exit(code)
