"""`agno-portkey ledger`: what was spent, by whom, on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.csv_text import csv_of
from agno_portkey.cli.database import given
from agno_portkey.cli.report import fail
from agno_portkey.cli.times import Since, time_of
from agno_portkey.cli.width import counted, output
from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.stopping import DATABASE_VARIABLE
from agno_portkey.telemetry.ledger import Ledger, Sum, dollars
from agno_portkey.verdict import shown

__all__ = ["app"]

app = typer.Typer(help="What was spent, by whom, on what.", no_args_is_help=True)

# There is nothing of what was asked for.
_CHECK_IT = 3
# Columns: of a table in a terminal, of one in which nothing is cut, of a name at least, and
# between two of the table.
_WIDEST, _CUT, _LEAST, _GAP = 100, 1_000, 12, 2


class By(StrEnum):
    RUN = "run"
    ROLE = "role"
    SWARM = "swarm"
    COST_CENTER = "cost_center"
    MODEL = "model"
    PROVIDER = "provider"
    SESSION = "session"
    DAY = "day"
    KIND = "kind"


# What is copied, and worth nothing in part.
_IDS = (By.RUN, By.SESSION)


@app.callback()
def ledger() -> None:
    """What was spent, by whom, on what."""


@app.command()
def report(
    by: Annotated[By, typer.Option(help="What the sums are of.")] = By.ROLE,
    since: Since = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="As CSV, with all figures and costs in full.")
    ] = False,
    db: Annotated[
        str | None,
        typer.Option(
            "--db",
            envvar=DATABASE_VARIABLE,
            help="The database of the ledger: an address, or a SQLite file.",
        ),
    ] = None,
) -> None:
    """Sum up the ledger: requests, tokens and dollars, the dearest first.

    What the gateway sent by itself is estimated, and in a column of its own: nobody says what it
    took. Ends with 3 if there is nothing.
    """
    sums = _sums(db, by, since)
    if as_csv:
        typer.echo(_csv(sums, by), nl=False)
        return
    console = output()
    table = _table(sums, by, console.width)
    if table is None:
        _print_narrow(console, sums, by)
    else:
        console.print(table)
    for line in _unknown(sums):
        console.print(Text(line, "yellow"))


def _sums(db: str | None, by: By, since: str | None) -> list[Sum]:
    named = given(db, "the one that the ledger is in")
    try:
        sums = Ledger(named).sums(by.value, time_of(since))
    except AgnoPortkeyError as error:
        fail(error)
    if not sums:
        Console(stderr=True).print(Text("Nothing is in this ledger, or not since then.", "yellow"))
        raise typer.Exit(_CHECK_IT)
    return sums


def _table(sums: Sequence[Sum], by: By, width: int) -> Table | None:
    """The sums below each other; None where that does not fit into `width`."""
    table = Table(title=_title(by), title_justify="left", box=None, pad_edge=False)
    table.add_column(_heading(by), no_wrap=True, overflow="ellipsis", ratio=1)
    for column in ("requests", "failed", "tokens in", "out", "USD", "estimated"):
        table.add_column(column, justify="right", no_wrap=True)
    rows = [(_name(each), _cells([each])) for each in sums]
    if len(sums) > 1:
        rows.append(("all", _cells(sums)))
    for name, cells in rows[: len(sums)]:
        table.add_row(Text(name), *cells)
    for name, cells in rows[len(sums) :]:
        table.add_section()
        table.add_row(name, *cells, style="bold")
    figures = sum(
        max(len(str(column.header)), *(len(cells[place]) for _, cells in rows)) + _GAP
        for place, column in enumerate(table.columns[1:])
    )
    longest = max(cell_len(name) for name, _ in rows)
    room = width - figures
    if room < (longest if by in _IDS else min(longest, _LEAST)):
        return None
    # It is the names that give way.
    table.width = min(width, max(_WIDEST, longest + figures) if width > _CUT else _WIDEST)
    return table


def _print_narrow(console: Console, sums: Sequence[Sum], by: By) -> None:
    console.print(_title(by), style="italic")
    told = [(_name(each), [each]) for each in sums]
    if len(sums) > 1:
        told.append(("all", [*sums]))
    for name, several in told:
        requests, failed, taken, given_out, cost, estimated = _cells(several)
        # Not broken into lines here: it can be copied out of the terminal.
        console.print(Text(name, "bold"), soft_wrap=True)
        said = (
            f"requests {requests}, failed {failed}, tokens in {taken}, out {given_out}, USD {cost}"
        )
        said += f", estimated {estimated}" if estimated else ""
        console.print(Padding(Text(said), (0, 0, 0, 2)))


def _title(by: By) -> str:
    return f"Spent, by {_heading(by)}"


def _heading(by: By) -> str:
    return by.value.replace("_", " ")


def _name(of: Sum) -> str:
    return shown(of.name or "-")


def _cells(sums: Sequence[Sum]) -> list[str]:
    def total(name: str) -> int:
        return sum(getattr(each, name) for each in sums)

    # Where some of the cost is not known, it is more than that.
    more = "+" if total("unpriced") or total("unmeasured") else ""
    counts = [total(name) for name in ("requests", "failed", "input_tokens", "output_tokens")]
    estimated = total("estimated")
    return [
        *(f"{count:,}" for count in counts),
        f"{_rounded(total('cost'))}{more}",
        f"{estimated:,}" if estimated else "",
    ]


def _rounded(cost: int) -> str:
    """Dollars with as many places as tell a single call apart."""
    return f"{dollars(cost).quantize(Decimal('0.000001'), ROUND_HALF_UP):,f}"


def _unknown(sums: Sequence[Sum]) -> list[str]:
    def told(name: str, one: str, several: str) -> str | None:
        count = sum(getattr(each, name) for each in sums)
        return f"{count:,} {one if count == 1 else several}" if count else None

    estimated = sum(each.estimated for each in sums)
    lines = (
        told(
            "unpriced",
            "row has tokens and no known price: what it cost is not in the sums.",
            "rows have tokens and no known price: what they cost is not in the sums.",
        ),
        told(
            "unmeasured",
            "row is of a request that broke off, or whose answer did not say what it took: that "
            "is not in the sums.",
            "rows are of requests that broke off, or whose answers did not say what they took: "
            "that is not in the sums.",
        ),
        f"estimated: {counted(estimated, 'request')}, at least, that the gateway sent by itself."
        if estimated
        else None,
        told(
            "lost",
            "row was lost while the database could not be written.",
            "rows were lost while the database could not be written.",
        ),
    )
    return [line for line in lines if line]


def _csv(sums: Sequence[Sum], by: By) -> str:
    names = [field.name for field in fields(Sum)]
    rows: list[list[object]] = [[by.value, *names[1:]]]
    for each in sums:
        figures = {name: getattr(each, name) for name in names[1:]}
        rows.append([each.name, *{**figures, "cost": f"{dollars(each.cost):f}"}.values()])
    return csv_of(rows)
