"""`agno-portkey cache`: what is kept, how far likeness is trusted, and what is to be forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cache import Cache, Entry, Selection
from agno_portkey.cache.opening import URL_VARIABLE
from agno_portkey.cli.cache_report import kept_table, told, trusted
from agno_portkey.cli.report import fail, operator
from agno_portkey.errors import ConfigurationError, MissingExtraError
from agno_portkey.verdict import shown

__all__ = ["app"]

app = typer.Typer(
    help="Answers that are kept: what they are, how far likeness is trusted, what to forget.",
    no_args_is_help=True,
)


class Format(StrEnum):
    table = "table"
    json = "json"


Address = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar=URL_VARIABLE,
        help="Where the answers are: a SQLite file, sqlite:///..., or redis://...",
    ),
]
Shown = Annotated[Format, typer.Option("--format", help="A table, or JSON.")]
_HOUR = 3600.0
# What `list` shows of these, of which the rest is a digest.
_KEY, _SCOPE = 12, 16


@app.command()
def report(
    store: Address = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            help="The share of wrong answers that is allowed; by default as the policy of each "
            "role said when it last compared two answers."
        ),
    ] = None,
    format: Shown = Format.table,
) -> None:
    """What is kept by scope and role, and whether answers to questions alike are served.

    A line for each role and for what speaks against two questions being the same (a negation, a
    number, ...): how many pairs of answers were compared, how many differed, the likeness from
    which on all hits are served, and how many more comparisons that takes; a part of them is
    served before, as far as the budget of errors lets it.
    """
    cache = _cache(store)
    try:
        kept = cache.store.figures(cache.clock())
        learnt = trusted(cache, max_error)
    except ConfigurationError as error:
        fail(error)
    except Exception as error:  # whatever a store raises
        fail(f"{cache!r} can't be read ({type(error).__name__})")
    if format is Format.json:
        entries = [
            dict(zip(("scope", "role", "entries", "bytes"), row, strict=True)) for row in kept
        ]
        typer.echo(json.dumps({"entries": entries, "trust": learnt}, indent=2))
        return
    console = Console()
    if not kept:
        console.print(Text(shown(f"Nothing is kept in {cache.store.place}.")))
    else:
        # A title of the table would be as narrow as the table.
        console.print(Text(shown(f"Kept in {cache.store.place}")), soft_wrap=True)
        console.print(kept_table(kept))
    if learnt:
        for part in told(learnt):
            console.print(part)
    elif kept:
        console.print(
            "No answers were compared yet: a cache of kind semantic compares them where it finds "
            "questions alike, if they are short or JSON, or its policy has a verifier."
        )


@app.command()
def forget(
    store: Address = None,
    key: Annotated[str | None, typer.Option(help="One entry, as `list` shows it.")] = None,
    tag: Annotated[str | None, typer.Option(help="Those with this tag.")] = None,
    scope: Annotated[
        str | None, typer.Option(help="public, or a scope as `list` shows it.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Answers of this model.")] = None,
    role: Annotated[str | None, typer.Option(help="Answers of this member.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Those to this prompt, by its digest.")] = None,
    knowledge: Annotated[str | None, typer.Option(help="Those with this version of it.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Those that were given this document, by its name.")
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(help="Those that are older, in hours.", min=0)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only shown.")] = False,
    by: Annotated[str | None, typer.Option(help="Who does it; by default you@host.")] = None,
) -> None:
    """Forget entries; without --yes say which ones it would be. Each time is noted: see `log`."""
    cache = _cache(store)
    chosen = (key, tag, scope, model, role, prompt, knowledge, source, older_than)
    if everything == any(each is not None for each in chosen):
        fail("Say which entries: by --tag, --source or others of --help, or --all; not both.")
    try:
        selection = Selection(
            key=_whole(cache, "key", key, _KEY),
            tag=tag,
            scope=_whole(cache, "scope", scope, _SCOPE),
            model=model,
            role=role,
            prompt=prompt,
            knowledge=knowledge,
            source=source,
            older_than=None if older_than is None else older_than * _HOUR,
            everything=everything,
        )
        found = cache.forget(selection, by=by or operator(), dry_run=not yes)
    except ConfigurationError as error:
        fail(error)
    except Exception as error:  # whatever a store raises
        fail(f"{cache!r} can't be changed ({type(error).__name__})")
    what = "Forgotten" if yes else "It would be forgotten"
    Console().print(Text(shown(f"{what}: {len(found)} of {selection} in {cache.store.place}.")))
    if found and not yes:
        Console().print(_entries_table(found[:20], cache.clock()))
        Console().print("Nothing has changed. The same with --yes does it.")


def _whole(cache: Cache, name: str, given: str | None, least: int) -> str | None:
    """The only `name` that begins with what is `given`, if that is as much as is shown of it.

    Raises ConfigurationError where there are several.
    """
    if given is None or len(given) < least:
        return given
    held = cache.store.select(Selection(everything=True), cache.clock())
    there: set[str] = {value for entry in held if (value := getattr(entry, name)).startswith(given)}
    if given in there or not there:
        return given
    if len(there) > 1:
        raise ConfigurationError(
            f"{name}: {len(there)} of those kept begin with {given!r}; give more of it, as "
            "`list --format json` shows it"
        )
    return there.pop()


@app.command("list")
def list_(
    store: Address = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1)] = 20,
    format: Shown = Format.table,
) -> None:
    """List what is kept, without questions and answers."""
    cache = _cache(store)
    try:
        held = sorted(cache.entries(), key=lambda entry: -entry.created_at)[:limit]
    except Exception as error:  # whatever a store raises
        fail(f"{cache!r} can't be read ({type(error).__name__})")
    if format is Format.json:
        hidden = ("question", "answer", "embedding")
        plain = [
            {name: value for name, value in asdict(entry).items() if name not in hidden}
            for entry in held
        ]
        typer.echo(json.dumps(plain, indent=2))
    elif held:
        Console().print(_entries_table(held, cache.clock()))
    else:
        Console().print(Text(shown(f"Nothing is kept in {cache.store.place}.")))


def _entries_table(entries: Iterable[Entry], now: float) -> Table:
    table = Table("key", "scope", "role", "model", "tags", box=None, pad_edge=False)
    table.add_column("hours old", justify="right")
    for entry in entries:
        cells = (entry.key[:_KEY], entry.scope[:_SCOPE], entry.role or "-", entry.model)
        old = f"{(now - entry.created_at) / _HOUR:.1f}"
        table.add_row(*(Text(shown(cell)) for cell in (*cells, ", ".join(entry.tags), old)))
    return table


@app.command()
def log(store: Address = None) -> None:
    """Who had what forgotten, and when."""
    cache = _cache(store)
    try:
        notes = cache.store.notes()
    except Exception as error:  # whatever a store raises
        fail(f"{cache!r} can't be read ({type(error).__name__})")
    if not notes:
        Console().print("Nothing was ever forgotten by hand.")
        return
    table = Table("at (UTC)", "by", "what", box=None, pad_edge=False)
    table.add_column("entries", justify="right")
    for at, by, what, count in notes:
        table.add_row(_when(at), Text(shown(by)), Text(shown(what)), f"{count}")
    Console().print(table)


def _when(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        # Another clock's, or spoilt.
        return "?"


def _cache(store: str | None) -> Cache:
    path = (store or "").removeprefix("sqlite:///")
    if path and "://" not in path and not Path(path).exists():
        # One made now would be one that nothing is kept in.
        fail(f"There is no {path}: give --store the one that the model's policy names.")
    try:
        return Cache(store)
    except (ConfigurationError, MissingExtraError) as error:
        fail(error)
