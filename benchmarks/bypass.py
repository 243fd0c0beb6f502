"""Each known way round a gate and round a guard: ours, and plain Agno with hooks, side by side.

The plain team has a gate as a careful user would write it: hooks note in the run's dependencies
what the Critic and the Judge said, and the Runner's pre-hook raises `InputCheckError` without an
approval. A way is held if no mode of running it leads round.

The guards are played in a matrix: every entry, shape and stage with everything that can be wrong
with a guard. Ours is installed by `govern(..., guards=[...])`, and in the hook lists of its stage.
The plain one is an Agno `BaseGuardrail` in all the hook lists that can see what is forbidden.

A cell of ours is held if nothing forbidden was sent, shown or stored, and the run ends with status
ERROR and a verdict that names the guard; a tool or member that was refused lets its run go on, and
is refused by name itself. Of plain Agno less is asked: it may store what it refused, and has told
who refused if the name is in any text. Exits with 1 if one of ours does not hold.

    python benchmarks/bypass.py [words of a scenario's or cell's name]
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
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
from matrix_asked import Host
from matrix_cells import CELLS, HOOKS_CANT, PRODUCT, Cell, why_not
from matrix_play import Table as Desk
from matrix_play import play as play_cell
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
    with LocalGateway() as gateway:
        leaks = gates([each for each in CATALOGUE if words in str(each)], gateway.url)
        leaks += guards([each for each in CELLS if words in str(each)], gateway.url)
    return 1 if leaks else 0


def gates(chosen: Sequence[Scenario], url: str) -> int:
    """Play and print the ways round a gate; returns how many lead round ours."""
    rows: dict[tuple[str, str], list[tuple[str, list[str], list[str]]]] = defaultdict(list)
    for each in track(chosen, "Gates", console=Console(stderr=True), transient=True):
        ours = play(each, url, governed=True)
        plain = play(each, url, governed=False)
        rows[each.group, each.name].append((each.mode, ours, plain))
    return show(rows) if rows else 0


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


# The matrix of guards

Outcomes = dict[Cell, tuple[list[str], list[str]]]


def guards(chosen: Sequence[Cell], url: str) -> int:
    """Play and print the matrix; returns how many cells ours does not hold."""
    if not chosen:
        return 0
    played: Outcomes = {}
    host = Host()
    with EmbeddedProvider() as provider:
        model = PortkeyModel(
            base_url=url, portkey_provider="openai", api_key="none", custom_host=provider.url
        )
        desk = Desk(host, provider, model)
        for cell in track(chosen, "Guards", console=Console(stderr=True), transient=True):
            played[cell] = (outcome(desk, cell, "ours"), outcome(desk, cell, "plain"))
        host.close()
    return show_matrix(played)


def outcome(desk: Desk, cell: Cell, who: str) -> list[str]:
    """What should not have been in a cell; one that can't be played is not held."""
    try:
        return play_cell(desk, cell, who=who)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def show_matrix(played: Outcomes) -> int:
    """Print how many cells hold, by each dimension, and why others can't be."""
    console = Console()
    for name in ("entry", "shape", "stage", "fault"):
        console.print(table_of(name, played, lambda cell, name=name: getattr(cell, name)))
    open_cells = {cell: ours for cell, (ours, _) in played.items() if ours}
    for cell, found in open_cells.items():
        console.print(f"[bold red]NOT HELD[/] {cell}: {'; '.join(found)}")
    counted("impossible cells", Counter(why_not(cell) for cell in PRODUCT), console)
    by_reason = {reason: sum(cant(cell) for cell in CELLS) for reason, cant in HOOKS_CANT.items()}
    counted("cells that no guard holds from its hook list alone", by_reason, console)
    held = len(played) - len(open_cells)
    plain = sum(not found for _, found in played.values())
    console.print(f"guards held: agno-portkey {held} of {len(played)}, plain Agno {plain}")
    return len(open_cells)


def table_of(name: str, played: Outcomes, of: Callable[[Cell], str]) -> Table:
    """How many cells hold with each value of one dimension."""
    table = Table(name, "cells", "agno-portkey", "plain Agno")
    groups: dict[str, list[tuple[list[str], list[str]]]] = defaultdict(list)
    for cell, found in played.items():
        groups[of(cell)].append(found)
    for value, found in groups.items():
        ours = sum(not each for each, _ in found)
        plain = sum(not each for _, each in found)
        colour = "green" if ours == len(found) else "bold red"
        table.add_row(value, str(len(found)), f"[{colour}]{ours}[/]", str(plain))
    return table


def counted(title: str, numbers: dict[str, int] | Counter[str | None], console: Console) -> None:
    """Print reasons with how many cells each is true of."""
    table = Table(title, "cells")
    for reason, number in numbers.items():
        if reason is not None:
            table.add_row(reason, str(number))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
