"""`agno-portkey gate history` and `gate report`: what gates have decided, and what moved it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.gate_tables import (
    changes_csv,
    changes_table,
    history_csv,
    history_table,
    json_of,
    segments_table,
)
from agno_portkey.cli.report import fail
from agno_portkey.cli.times import Since, Until, time_of
from agno_portkey.documents import private
from agno_portkey.errors import AgnoPortkeyError
from agno_portkey.gates.history import Decided, History, Report, reports
from agno_portkey.gates.history.plots import bars, draw
from agno_portkey.stopping import DATABASE_VARIABLE, fold, missing_file
from agno_portkey.verdict import shown

__all__ = ["Database", "history", "report"]

# Nothing is there of what was named: it may be mistyped.
_CHECK_IT = 3


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PLOT = "plot"


class Compared(StrEnum):
    AUTO = "auto"
    TIME = "time"
    VERSION = "version"


Named = Annotated[str | None, typer.Option("--gate", help="The decisions of this gate alone.")]
Swarm = Annotated[str | None, typer.Option("--swarm", help="Those of this team or workflow alone.")]
Form = Annotated[Format, typer.Option("--format", help="How it is shown.")]
Png = Annotated[
    Path | None, typer.Option("--png", help="Draw it into this file, too (extra: plots).")
]
Out = Annotated[Path | None, typer.Option("--out", help="Write CSV or JSON into this file.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar=DATABASE_VARIABLE,
        help="The database that the swarm uses: an address, or a SQLite file.",
    ),
]


def history(
    gate: Named = None,
    swarm: Swarm = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 50,
    form: Form = Format.TABLE,
    png: Png = None,
    out: Out = None,
    db: Database = None,
) -> None:
    """Show what gates have decided, the newest last, with their scores and reasons.

    Ends with 3 if there are decisions, and none of what was asked for: a name may be mistyped.
    """
    _check(form, out)
    decided = _Question(db, gate, swarm, since, until, limit).answer()
    told = reports(decided)
    match form:
        case Format.CSV:
            _write(history_csv(decided), out)
        case Format.JSON:
            _write(json_of([each.as_dict() for each in decided]), out)
        case Format.TABLE if decided:
            Console().print(history_table(decided))
        case Format.PLOT:
            _plot(decided, told)
    _draw(decided, told, png)


def report(
    gate: Named = None,
    swarm: Swarm = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 10_000,
    by: Annotated[
        Compared,
        typer.Option(help="One after the other (time), or side by side (version), as in A/B runs."),
    ] = Compared.AUTO,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Of intervals, and of a move.")
    ] = 0.95,
    form: Form = Format.TABLE,
    png: Png = None,
    out: Out = None,
    db: Database = None,
) -> None:
    """Compare the versions of models, prompts and tools, and name the change that moved a score.

    A score has moved where chance does not explain it, all comparisons considered; five decisions
    on each side are the least. Ends with 3 if there are decisions, and none of what was asked for.
    """
    _check(form, out)
    decided = _Question(db, gate, swarm, since, until, limit).answer()
    told = reports(decided, by=by.value, confidence=confidence)
    match form:
        case Format.CSV:
            _write(changes_csv(told), out)
        case Format.JSON:
            _write(json_of([each.as_dict() for each in told]), out)
        case Format.TABLE:
            for each in told:
                _tell(each)
        case Format.PLOT:
            _plot(decided, told)
    _draw(decided, told, png)


def _check(form: Format, out: Path | None) -> None:
    if out is not None and form not in (Format.CSV, Format.JSON):
        fail("--out takes CSV or JSON: give --format csv or --format json too.")


@dataclass(frozen=True)
class _Question:
    """Which decisions are asked for, of which database."""

    db: str | None
    gate: str | None
    swarm: str | None
    since: str | None
    until: str | None
    limit: int

    def answer(self) -> list[Decided]:
        """The decisions; where there are none, it is said why, and the command ends with 3."""
        if not self.db or not self.db.strip():
            fail(
                "Which database? Give --db with the one that the swarm uses, an address or a "
                f"SQLite file, or set {DATABASE_VARIABLE}."
            )
        since, until = time_of(self.since), time_of(self.until)
        try:
            # One that is opened would be made.
            if (file := missing_file(self.db)) is not None:
                fail(f"There is no database {file}: give --db the `db_file` of the SqliteDb.")
            kept = History(self.db)
            found = kept.series(
                gate=self.gate, swarm=self.swarm, since=since, until=until, limit=self.limit
            )
            if not found:
                self._explain(kept.series(limit=1000))
        except AgnoPortkeyError as error:
            fail(error)
        except SQLAlchemyError as error:
            fail(f"The history can't be read: {str(error).splitlines()[0]}")
        return found

    def _explain(self, others: Sequence[Decided]) -> None:
        if not others:
            _warn("No gate has decided anything in this database yet.")
            return
        gates = {each.gate for each in others}
        swarms = {each.swarm for each in others if each.swarm}
        _warn(
            "There are decisions here, and none of what was asked for. "
            f"Gates: {_listed(gates)}{_meant(self.gate, gates)}; "
            f"swarms: {_listed(swarms)}{_meant(self.swarm, swarms)}; "
            f"the latest at {others[-1].at:%Y-%m-%d %H:%M} UTC."
        )
        raise typer.Exit(_CHECK_IT)


def _listed(names: Iterable[str]) -> str:
    return shown(", ".join(sorted(names))) or "none"


def _meant(name: str | None, known: set[str]) -> str:
    spelt = {fold(each): each for each in known}
    near = get_close_matches(fold(name), spelt) if name and name not in known else []
    return f" (did you mean {shown(spelt[near[0]])}?)" if near else ""


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        with open(out, "w", encoding="utf-8", newline="", opener=private) as file:
            file.write(text)
    except OSError as error:
        fail(f"{out} can't be written: {error.strerror}")


def _plot(decided: Sequence[Decided], told: Sequence[Report]) -> None:
    for each in told:
        own = [one for one in decided if (one.swarm, one.gate) == (each.swarm, each.gate)]
        Console().print(bars(own, each))


def _tell(told: Report) -> None:
    console = Console()
    console.print(segments_table(told))
    if told.changes:
        console.print(changes_table(told))
    for change in told.moved:
        console.print(Text(shown(str(change)), "bold"), soft_wrap=True)
    for at in told.shifts:
        moved = f"{at:%Y-%m-%d %H:%M} UTC: the gate's score moved, and no version had changed"
        console.print(Text(moved, "yellow"), soft_wrap=True)
    if not told.moved and not told.shifts:
        console.print("No score moved so far that chance would not explain it.")


def _draw(decided: Sequence[Decided], told: Sequence[Report], png: Path | None) -> None:
    if not told and decided:
        _warn("What is here people have decided, and no gate: there is nothing to compare or draw.")
    if png is None or not told:
        return
    try:
        draw(decided, told, png)
    except AgnoPortkeyError as error:
        fail(error)
    except OSError as error:
        fail(f"{png} can't be written: {error.strerror}")
    _warn(f"Drawn: {png}")


def _warn(text: str) -> None:
    # On stderr, since CSV and JSON are on stdout.
    Console(stderr=True).print(Text(text, "yellow"), soft_wrap=True)
