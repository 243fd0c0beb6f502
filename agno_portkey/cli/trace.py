"""`agno-portkey trace`: the traces of an Agno database, and what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from agno.db.base import BaseDb
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from agno_portkey.cli.gate_history import Since, time_of
from agno_portkey.cli.report import fail
from agno_portkey.errors import AgnoPortkeyError, ConfigurationError
from agno_portkey.gates.history.plots import shown
from agno_portkey.sql import named
from agno_portkey.stopping import DATABASE_VARIABLE, missing_file
from agno_portkey.telemetry import names

__all__ = ["app"]

app = typer.Typer(help="The traces of an Agno database.", no_args_is_help=True)

# There is nothing of what was asked for.
_CHECK_IT = 3
_SHORT = 12
# What is worth a look beside the name, in order, and how it reads.
_FACTS = (
    (names.PROVIDER, "{}"),
    (f"{names.OURS}target", "{}"),
    (names.INPUT_TOKENS, "{} in"),
    (names.OUTPUT_TOKENS, "{} out"),
    (names.COST, "${:.6f}"),
    (names.FIRST_TOKEN, "first word {:.3f} s"),
    ("gate.decision", "{}"),
    (f"{names.OURS}decision", "{}"),
    ("gate.score", "score {:g}"),
    (names.ERROR_TYPE, "{}"),
)
_KINDS: dict[str, Any] = {"sqlite": SqliteDb, "postgresql": PostgresDb}
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
    """List the newest traces. Ends with 3 if there is none."""
    since_time = _time(since)
    found, count = _asked(db, lambda base: base.get_traces(start_time=since_time, limit=limit))
    if not found:
        fail("There are no traces here.", _CHECK_IT)
    table = Table("trace", "begun", "what", "seconds", "spans", "errors")
    for each in found:
        failed = each.status == "ERROR"
        table.add_row(
            each.trace_id[:_SHORT],
            _clock(each.start_time),
            Text(shown(each.name), "bold red" if failed else ""),
            f"{each.duration_ms / 1e3:.2f}",
            str(each.total_spans),
            str(each.error_count or ""),
        )
    console = Console()
    console.print(table)
    if count > len(found):
        console.print(f"{count - len(found)} older ones: --limit shows more.", style="dim")


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
    Console().print(_tree(found, spans))


def _time(since: str | None) -> datetime | None:
    try:
        return time_of(since)
    except AgnoPortkeyError as error:
        fail(error)


def _asked(db: str | None, question: Any) -> Any:
    if not db or not db.strip():
        fail(
            "Which database? Give --db with the one that telemetry.setup was given, an address or "
            f"a SQLite file, or set {DATABASE_VARIABLE}."
        )
    try:
        # One that is opened would be made.
        if (file := missing_file(db)) is not None:
            fail(f"There is no database {file}.")
        base = _opened(db)
        try:
            # Agno takes a database that can't be read for an empty one.
            inspect(base.db_engine).get_table_names()
            return question(base)
        finally:
            base.db_engine.dispose()
    except AgnoPortkeyError as error:
        fail(error)
    except SQLAlchemyError:
        fail(f"{named(db).render_as_string(hide_password=True)} can't be read.")


def _opened(db: str) -> Any:
    url = named(db)
    if url.get_backend_name() not in _KINDS:
        raise ConfigurationError("--db: an address of Postgres or SQLite, or a SQLite file")
    return _KINDS[url.get_backend_name()](db_url=url.render_as_string(hide_password=False))


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
    ids = {span.span_id for span in spans}
    nodes: dict[str, Tree] = {}
    # What a parent began stands below it, in the order in which it began.
    left = sorted(spans, key=lambda span: span.start_time)
    while left:
        later: list[Any] = []
        for span in left:
            parent = span.parent_span_id
            if parent in ids and parent not in nodes:
                later.append(span)
                continue
            nodes[span.span_id] = nodes.get(parent, tree).add(_line(span))
        # Where each stands below another there is no first one: any is.
        if len(later) == len(left):
            ids.discard(left[0].parent_span_id)
        left = later
    return tree


def _line(span: Any) -> Text:
    failed = span.status_code == "ERROR"
    line = Text(shown(span.name), "bold red" if failed else "bold")
    line.append(f"  {span.duration_ms} ms", "cyan")
    said = span.attributes or {}
    told = [_fact(form, said[name]) for name, form in _FACTS if said.get(name) is not None]
    line.append("  " + shown(", ".join(dict.fromkeys(told))) if told else "", "dim")
    return line


def _fact(form: str, value: Any) -> str:
    try:
        return form.format(value)
    except (TypeError, ValueError):
        # Others write into that table as well.
        return str(value)


def _clock(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if isinstance(at, datetime) else str(at)[:19]
