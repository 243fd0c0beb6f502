"""Each known way round a gate: on a governed team, and on plain Agno with a gate of hooks.

The plain team has a gate as a careful user would write it: hooks note in the run's dependencies
what the Critic and the Judge said, and the Runner's pre-hook raises `InputCheckError` without an
approval. A way is held if no mode of running it leads round. Exits with 1 if one of ours leaks.

    python benchmarks/bypass.py [words of a scenario's name]
"""

from __future__ import annotations

import logging
import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ["AGNO_TELEMETRY"] = "false"
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "bypass")]

import bypass_entries  # noqa: F401 - they enter their scenarios in the catalogue
import bypass_liars  # noqa: F401
import bypass_more  # noqa: F401
import bypass_odd  # noqa: F401
import bypass_resumed  # noqa: F401
import bypass_runner  # noqa: F401
import bypass_shapes  # noqa: F401
from bypass_catalogue import CATALOGUE, Scenario
from bypass_stage import Stage
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agno_portkey import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider


def play(scenario: Scenario, url: str, *, governed: bool) -> list[str]:
    """What leaked in one scenario; one that can't be played counts as a leak."""
    with EmbeddedProvider() as provider:
        model = PortkeyModel(
            base_url=url, portkey_provider="openai", api_key="none", custom_host=provider.url
        )
        try:
            return scenario.play(Stage(model, provider, governed), scenario.mode)
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]


def main() -> int:
    logging.disable(logging.CRITICAL)
    words = " ".join(sys.argv[1:])
    chosen = [each for each in CATALOGUE if words in str(each)]
    rows: dict[tuple[str, str], list[tuple[str, list[str], list[str]]]] = defaultdict(list)
    with LocalGateway() as gateway:
        for each in track(chosen, "Playing", console=Console(stderr=True), transient=True):
            ours = play(each, gateway.url, governed=True)
            plain = play(each, gateway.url, governed=False)
            rows[each.group, each.name].append((each.mode, ours, plain))
    leaks = show(rows)
    return 1 if leaks else 0


def show(rows: dict[tuple[str, str], list[tuple[str, list[str], list[str]]]]) -> int:
    """Print the table; returns how many ways lead round ours."""
    table = Table("bypass", "ways", "agno-portkey", "plain Agno")
    ours_held = plain_held = 0
    for (group, name), played in rows.items():
        ours = [mode for mode, leaked, _ in played if leaked]
        plain = [mode for mode, _, leaked in played if leaked]
        ours_held, plain_held = ours_held + (not ours), plain_held + (not plain)
        table.add_row(
            f"{group}: {name}",
            str(len(played)),
            f"[bold red]LEAKED[/] {', '.join(ours)}" if ours else "[green]held[/]",
            "leaked"
            if len(plain) == len(played)
            else f"leaked {', '.join(plain)}"
            if plain
            else "held",
        )
    console = Console()
    console.print(table)
    console.print(f"held: agno-portkey {ours_held} of {len(rows)}, plain Agno {plain_held}")
    return len(rows) - ours_held


if __name__ == "__main__":
    sys.exit(main())
