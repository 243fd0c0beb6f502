"""`agno-portkey ledger`: what was spent, by whom, on what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.gate_history import Since, time_of
from agno_portkey.cli.gate_tables import csv_of
from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.gates.history.plots import shown
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file
from agno_portkey.telemetry.ledger import Ledger, Sum, dollars

__all__ = ["app"]

app = typer.Typer(help="What was spent, by whom, on what.", no_args_is_help=True)

# There is nothing of what was asked for.
_CHECK_IT = 3


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
    console = Console()
    console.print(_table(sums, by, min(console.width, 100)))
    for line in _unknown(sums):
        console.print(Text(line, "yellow"))


def _sums(db: str | None, by: By, since: str | None) -> list[Sum]:
    if not db or not db.strip():
        fail(
            "Which database? Give --db with the one that the ledger is in, an address or a SQLite "
            f"file, or set {DATABASE_VARIABLE}."
        )
    try:
        # One that is opened would be made.
        if (file := missing_file(db)) is not None:
            fail(f"There is no database {file}: give --db the one that Ledger was given.")
        sums = Ledger(db).sums(by.value, time_of(since))
    except AgnoPortkeyError as error:
        fail(error)
    if not sums:
        Console(stderr=True).print(Text("Nothing is in this ledger, or not since then.", "yellow"))
        raise typer.Exit(_CHECK_IT)
    return sums


def _table(sums: Sequence[Sum], by: By, width: int) -> Table:
    named = by.value.replace("_", " ")
    table = Table(title=f"Spent, by {named}", title_justify="left", box=None, pad_edge=False)
    # It is the names that give way.
    table.width = width
    table.add_column(named, no_wrap=True, overflow="ellipsis", ratio=1)
    for column in ("requests", "failed", "tokens in", "out", "USD", "estimated"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in sums:
        table.add_row(Text(shown(each.name or "-")), *_cells([each]))
    if len(sums) > 1:
        table.add_section()
        table.add_row("all", *_cells(sums), style="bold")
    return table


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
    told = (
        ("unpriced", "{} rows have tokens and no known price: what they cost is not in the sums."),
        ("unmeasured", "{} rows broke off, or nobody told what they took: it is not in the sums."),
        ("estimated", "estimated: {} requests, at least, that the gateway sent by itself."),
        ("lost", "{} rows were lost while the database could not be written."),
    )
    counts = ((sum(getattr(each, name) for each in sums), words) for name, words in told)
    return [words.format(f"{count:,}") for count, words in counts if count]


def _csv(sums: Sequence[Sum], by: By) -> str:
    names = [field.name for field in fields(Sum)]
    rows: list[list[object]] = [[by.value, *names[1:]]]
    for each in sums:
        figures = {name: getattr(each, name) for name in names[1:]}
        rows.append([each.name, *{**figures, "cost": f"{dollars(each.cost):f}"}.values()])
    return csv_of(rows)
