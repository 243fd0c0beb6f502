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

They are played in as many processes as there are cores, each with a gateway of its own. What was
being played in a process that died does not hold.

    python benchmarks/bypass.py [words of a scenario's or cell's name]
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from matrix_play import Table as Board
from matrix_play import play as play_cell
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agno_portkey import PortkeyModel
from agno_portkey.routing.local import LocalGateway
from agno_portkey.testing import EmbeddedProvider
from benchmarks.in_processes import Died, play_each

# What leaked in ours, and in plain Agno.
Leaks = tuple[list[str], list[str]]
Outcomes = dict[Cell, Leaks]


def main() -> int:
    words = " ".join(sys.argv[1:])
    leaks = gates([number for number, each in enumerate(CATALOGUE) if words in str(each)])
    leaks += guards([each for each in CELLS if words in str(each)])
    return 1 if leaks else 0


@contextmanager
def desk() -> Iterator[Callable[[int | Cell], Leaks]]:
    """What one process plays on; it plays a cell, or a scenario by its number in the catalogue."""
    logging.disable(logging.CRITICAL)
    host = Host()
    with LocalGateway() as gateway, EmbeddedProvider() as provider:
        board = Board(host, provider, model_at(gateway.url, provider))

        def play(job: int | Cell) -> Leaks:
            if isinstance(job, Cell):
                return outcome(board, job, "ours"), outcome(board, job, "plain")
            asked = CATALOGUE[job], gateway.url
            return play_scenario(*asked, governed=True), play_scenario(*asked, governed=False)

        yield play
        host.close()


def model_at(url: str, provider: EmbeddedProvider) -> PortkeyModel:
    return PortkeyModel(
        base_url=url, portkey_provider="openai", api_key="none", custom_host=provider.url
    )


def play_scenario(scenario: Scenario, url: str, *, governed: bool) -> list[str]:
    """What leaked in one scenario; one that can't be played counts as a leak."""
    with EmbeddedProvider() as provider:
        try:
            return scenario.play(Stage(model_at(url, provider), provider, governed), scenario.mode)
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]


def outcome(board: Board, cell: Cell, who: str) -> list[str]:
    """What should not have been in a cell; one that can't be played is not held."""
    try:
        return play_cell(board, cell, who=who)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def play_all(jobs: Sequence[Any], what: str) -> dict[Any, Leaks]:
    """The outcomes of `jobs`, in their order; a job whose process died is not held."""
    found = {}
    processes = os.cpu_count() or 1
    for job, leaks in told(play_each(jobs, desk, processes=processes), what, len(jobs)):
        if isinstance(leaks, Died):
            died = [f"its process died: exit code {leaks.exit_code}"]
            leaks = died, died
        found[job] = leaks
    return {job: found[job] for job in jobs}


def told(some: Iterable[Any], what: str, total: int) -> Iterator[Any]:
    """Pass `some` on, and tell how many there were: as a bar, or in lines if nobody watches."""
    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(some, what, total, console=console, transient=True)
        return
    for number, each in enumerate(some, 1):
        yield each
        if number == total or number % 50 == 0:
            console.print(f"{what}: {number} of {total}", highlight=False)


# The ways round a gate


def gates(chosen: Sequence[int]) -> int:
    """Play and print the ways round a gate; returns how many lead round ours."""
    rows: dict[tuple[str, str], list[tuple[str, list[str], list[str]]]] = defaultdict(list)
    for number, (ours, plain) in play_all(chosen, "Gates").items():
        each = CATALOGUE[number]
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


def guards(chosen: Sequence[Cell]) -> int:
    """Play and print the matrix; returns how many cells ours does not hold."""
    return show_matrix(play_all(chosen, "Guards")) if chosen else 0


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
