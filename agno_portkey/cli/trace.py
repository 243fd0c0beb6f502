"""`agno-portkey trace`: the traces of an Agno database, and what is in one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.database import given
from agno_portkey.cli.report import fail
from agno_portkey.cli.times import Since, time_of
from agno_portkey.cli.width import counted, output
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.sql import named, trouble_of
from agno_portkey.stopping import DATABASE_VARIABLE
from agno_portkey.telemetry.told import facts_of, placed
from agno_portkey.verdict import shown

if TYPE_CHECKING:
    from agno.db.base import BaseDb

__all__ = ["app"]

app = typer.Typer(help="The traces of an Agno database.", no_args_is_help=True)

# There is nothing of what was asked for.
_CHECK_IT = 3
_SHORT = 12
# Columns below which a trace takes several lines; above which nothing of it is cut.
_NARROW, _WIDE = 70, 150
# Those of a line beside what was run.
_FIXED = 12 + 19 + 7 + 5 + 6 + 5 * 2
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar=DATABASE_VARIABLE,
        help="The database that telemetry.setup was given: an address, or a SQLite file.",
    ),
]


@app.callback()
def trace() -> None:
    """The traces of an Agno database."""


@app.command("list")
def listed(
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest.")] = 20,
    db: Database = None,
) -> None:
    """List the newest traces. Ends with 3 if there is none.

    Into a file or another program ids and names are written in full.
    """
    since_time = time_of(since)
    found, count = _asked(db, lambda base: base.get_traces(start_time=since_time, limit=limit))
    if not found:
        fail("There are no traces here" + (" since then." if since else "."), _CHECK_IT)
    console = output()
    if console.width < _NARROW:
        _print_narrow(console, found)
    else:
        console.print(_table(found, console.width))
    if count > len(found):
        console.print(f"{counted(count - len(found), 'older one')}: --limit shows more.")


@app.command()
def show(
    of: Annotated[
        str | None,
        typer.Argument(
            metavar="[TRACE]",
            help="A trace's id, the beginning of one, or a run's id; the newest without it.",
        ),
    ] = None,
    db: Database = None,
) -> None:
    """Show one trace as a tree: who did what, how long it took, and what it cost.

    Ends with 3 if there is none of that name.
    """
    found = _asked(db, lambda base: _find(base, of))
    if found is None:
        fail(f"There is no trace {of}." if of else "There are no traces here.", _CHECK_IT)
    spans = _asked(db, lambda base: base.get_spans(trace_id=found.trace_id))
    output().print(_tree(found, spans))


def _table(found: Sequence[Any], width: int) -> Table:
    table, whole = Table(box=None, pad_edge=False), width > _WIDE
    if not whole:
        table.width = min(width, _FIXED + max(_what(each).cell_len for each in found))
    for column in ("trace", "begun"):
        table.add_column(column, no_wrap=True)
    # It is this one that gives way.
    table.add_column("what", no_wrap=True, overflow="ellipsis", ratio=None if whole else 1)
    for column in ("seconds", "spans", "errors"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in found:
        name = each.trace_id if whole else each.trace_id[:_SHORT]
        table.add_row(name, _clock(each.start_time), _what(each), *_figures(each))
    return table


def _print_narrow(console: Console, found: Sequence[Any]) -> None:
    for each in found:
        seconds, spans, errors = _figures(each)
        said = f"{seconds} s, {counted(int(spans), 'span')}"
        said += f", {counted(int(errors), 'error')}" if errors else ""
        console.print(f"{each.trace_id[:_SHORT]}  {_clock(each.start_time)}")
        for line in (_what(each), Text(said)):
            console.print(Padding(line, (0, 0, 0, 2)))


def _what(of: Any) -> Text:
    return Text(shown(of.name), "bold red" if of.status == "ERROR" else "")


def _figures(of: Any) -> tuple[str, str, str]:
    return f"{of.duration_ms / 1e3:.2f}", str(of.total_spans or 0), str(of.error_count or "")


def _asked(db: str | None, question: Callable[[Any], Any]) -> Any:
    named_db = given(db, "the one that telemetry.setup was given")
    told: list[str] = []
    try:
        base = _opened(named_db)
        try:
            # Agno takes a database that can't be read for an empty one.
            inspect(base.db_engine).get_table_names()
            with _overheard(told):
                answer = question(base)
        finally:
            base.db_engine.dispose()
    except AgnoPortkeyError as error:
        fail(error)
    except SQLAlchemyError as error:
        fail(f"{_place(named_db)} can't be read: {trouble_of(error) or type(error).__name__}.")
    if told:
        fail(
            f"{_place(named_db)} has tables of traces that this version of Agno can't read: other "
            "columns, or damaged. Read them with the version that wrote them, or give --db another."
        )
    return answer


@contextmanager
def _overheard(told: list[str]) -> Iterator[None]:
    """Take down what Agno logs of a question, in place of the terminal: it raises nothing then."""

    # It takes a second to import.
    from agno.utils import log

    def take(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            told.append(record.getMessage())
        return False

    # By whichever of its loggers was used last, or was put in their place.
    loggers = {log.logger, log.agent_logger, log.team_logger, log.workflow_logger}
    for each in loggers:
        each.addFilter(take)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(take)


def _place(db: str) -> str:
    return named(db).render_as_string(hide_password=True)


def _opened(db: str) -> Any:
    url = named(db)
    address = url.render_as_string(hide_password=False)
    # Only the one that is needed: each takes a while to import.
    match url.get_backend_name():
        case "sqlite":
            from agno.db.sqlite import SqliteDb

            return SqliteDb(db_url=address)
        case "postgresql":
            from agno.db.postgres import PostgresDb

            return PostgresDb(db_url=address)
    raise ConfigurationError("--db: an address of Postgres or SQLite, or a SQLite file")


def _find(base: BaseDb, of: str | None) -> Any:
    if of is None:
        newest, _ = base.get_traces(limit=1)
        return newest[0] if newest else None
    if (exact := base.get_trace(trace_id=of) or base.get_trace(run_id=of)) is not None:
        return exact
    newest, _ = base.get_traces(limit=1_000)
    return next((each for each in newest if each.trace_id.startswith(of)), None)


def _tree(of: Any, spans: Sequence[Any]) -> Tree:
    tree = Tree(Text(f"trace {of.trace_id}  {_clock(of.start_time)}", "dim"))
    nodes: dict[str | None, Tree] = {None: tree}
    for span, parent in placed(spans):
        nodes[span.span_id] = nodes[parent].add(_line(span))
    return tree


def _line(span: Any) -> Text:
    failed = span.status_code == "ERROR"
    line = Text(shown(span.name), "bold red" if failed else "bold")
    line.append(f"  {span.duration_ms} ms", "cyan")
    told = facts_of(span.attributes)
    line.append("  " + ", ".join(told) if told else "", "dim")
    return line


def _clock(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if isinstance(at, datetime) else str(at)[:19]
