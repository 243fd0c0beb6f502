"""`agno-portkey stop`, `resume` and `stops`: the kill switch in the hands of an operator."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.report import fail, operator
from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.stopping import (
    ALL,
    DATABASE_VARIABLE,
    Resumed,
    Stop,
    StopSwitch,
    fold,
    missing_file,
)
from agno_portkey.verdict import shown

__all__ = ["resume", "stop", "stops"]

# What was asked for is written, and yet it may not be what was meant.
_CHECK_IT = 3

Swarms = Annotated[
    list[str] | None,
    typer.Option(
        "--swarm",
        help="The name of a team or workflow, or of an agent that is in none; may be repeated.",
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Every swarm that uses the database.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar=DATABASE_VARIABLE,
        help="The database that the swarm uses: an address, or a SQLite file.",
    ),
]


def stop(
    swarm: Swarms = None,
    every: Every = False,
    db: Database = None,
    reason: Annotated[str | None, typer.Option(help="Why; shown to whoever is refused.")] = None,
    by: Annotated[str | None, typer.Option(help="Who stops it; by default you@host.")] = None,
) -> None:
    """Refuse every new model and tool call of a swarm, in all processes, within a second.

    Calls that are under way go on to their end. Ends with 3 if the stop is written, and no
    process has ever asked for that name in this database: it may be mistyped.
    """
    names = _names(swarm, every)
    switch = _switch(db)
    try:
        written = [switch.stop(name, reason=reason, by=by or operator()) for name in names]
        known = {*switch.known_swarms()}
    except ConfigurationError as error:
        fail(error)
    for each in written:
        _say(f"{_named(each)} is stopped: new calls are refused from now on, in all processes.")
        _say(f"To let it go on: {_command('resume', each.swarm, db)}")
    asked = {fold(name) for name in known}
    unknown = [each.swarm for each in written if fold(each.swarm) not in {*asked, ALL}]
    for name in unknown:
        said = f"No process has asked this database for {name!r} yet"
        _warn(f"{said}, but for: {_listed(known)}.{_meant(name, known)}")
    if not known and every:
        _warn("No process has asked this database for anything yet: is it the right one?")
    if unknown or not known:
        raise typer.Exit(_CHECK_IT)


def resume(
    swarm: Swarms = None,
    every: Every = False,
    db: Database = None,
    reason: Annotated[str | None, typer.Option(help="Why; `stops` shows it.")] = None,
    by: Annotated[str | None, typer.Option(help="Who lets it; by default you@host.")] = None,
) -> None:
    """Let a stopped swarm go on; --all takes back every stop there is.

    Ends with 3 if what was named was not stopped by that name, or is still stopped, with every
    other swarm.
    """
    names = _names(swarm, every)
    switch = _switch(db)
    try:
        before = switch.stopped()
        lifted = {
            name: switch.resume(name, reason=reason, by=by or operator())
            for name in dict.fromkeys([ALL, *before] if every else names)
        }
        still = switch.stopped().get(ALL)
    except ConfigurationError as error:
        fail(error)
    for each in (stop for stops in lifted.values() for stop in stops):
        held = still is not None and each.swarm != ALL
        goes = "is not stopped by its name any more" if held else "may go on"
        _say(f"{_named(each)} {goes}; it had been {each.since}.")
    missed = [] if every else [name for name, stops in lifted.items() if not stops]
    for name in missed:
        said = f"{name!r} was not stopped by that name: nothing has changed"
        _warn(f"{said}. Stopped by name: {_listed({*before} - {ALL})}.{_meant(name, before)}")
    if every and not before:
        _say("Nothing was stopped: nothing has changed.")
    if still is not None:
        _warn(f"It does not go on yet: {still}. See: {_command('resume', ALL, db)}")
    if missed or still is not None:
        raise typer.Exit(_CHECK_IT)


def stops(db: Database = None) -> None:
    """List what is stopped, and which swarms ask this database whether they are."""
    switch = _switch(db)
    try:
        stopped, known = switch.stopped(), switch.known_swarms()
        resumed = switch.resumed()
    except ConfigurationError as error:
        fail(error)
    if stopped or known or resumed:
        Console().print(_table(stopped.values(), known, resumed))
    else:
        _say("Nothing is stopped, and no process has asked this database yet.")


def _table(stopped: Iterable[Stop], known: Iterable[str], resumed: Mapping[str, Resumed]) -> Table:
    table = Table("swarm", "state", "since", "by", title="Swarms", title_justify="left")
    table.add_column("reason", overflow="fold")
    names = set()
    for each in sorted(stopped, key=lambda stop: stop.swarm):
        names.add(fold(each.swarm))
        cells = ("stopped", f"{each.at:%Y-%m-%d %H:%M:%S %Z}", each.by, each.reason)
        table.add_row(*_cells(_named(each), *cells), style="red")
    for name in sorted({*known, *resumed} - {ALL}):
        if fold(name) not in names:
            state = "stopped with all" if ALL in names else "may call"
            # Who let it go on, and why.
            last = resumed.get(name, Resumed(name))
            table.add_row(*_cells(name, state, "", last.by, last.reason))
    return table


def _cells(*said: str | None) -> Iterator[Text]:
    """What may be printed: whoever stops a swarm, or asks for one, has said some of it."""
    return (Text(shown(each)) for each in said)


def _names(swarms: list[str] | None, every: bool) -> list[str]:
    if every:
        if swarms:
            fail("Either --swarm or --all, not both.")
        return [ALL]
    if not swarms:
        fail('Which swarm? Give --swarm "Release", or --all for every one.')
    if any(fold(name) in ("", ALL) for name in swarms):
        fail("--swarm takes a name; every swarm is --all.")
    return swarms


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none at all"


def _meant(name: str, known: Iterable[str]) -> str:
    """A question for the names that are nearly `name`, if there are any."""
    spelt = {fold(each): each for each in known if each != ALL}
    near = get_close_matches(fold(name), spelt)
    return f" Did you mean {' or '.join(spelt[each] for each in near)}?" if near else ""


def _switch(db: str | None) -> StopSwitch:
    if not db or not db.strip():
        fail(
            "Which database? Give --db with the one that the swarm uses, an address or a SQLite "
            f"file, or set {DATABASE_VARIABLE}."
        )
    try:
        # A file made here would be one that no process looks at.
        if (file := missing_file(db)) is not None:
            _refuse_missing(file)
        return StopSwitch(db, timeout=10)
    except (ConfigurationError, MissingExtraError) as error:
        fail(error)


def _refuse_missing(file: str) -> NoReturn:
    fail(
        f"There is no database {file}, and one made now would stop nobody: nothing was done. Give "
        "--db the file that the swarm uses, the `db_file` of its SqliteDb."
    )


def _named(stop: Stop) -> str:
    return "Every swarm" if stop.swarm == ALL else stop.swarm


def _command(name: str, swarm: str, db: str | None) -> str:
    """The command to type; an address may hold a password, and is not repeated."""
    parts = ["agno-portkey", name, *(["--all"] if swarm == ALL else ["--swarm", swarm])]
    if db and db != os.environ.get(DATABASE_VARIABLE):
        parts += ["--db", "ADDRESS" if "://" in db else db]
    return shlex.join(parts) + (' --reason "..."' if name == "resume" else "")


def _say(text: str) -> None:
    Console().print(Text(shown(text)), soft_wrap=True)


def _warn(text: str) -> None:
    Console(stderr=True).print(Text(shown(text), "yellow"), soft_wrap=True)
