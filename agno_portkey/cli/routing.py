"""`agno-portkey routing`: check a routing config, show it, and print the schema of its form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.report import fail
from agno_portkey.cli.route_tree import route_tree, shown_config
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.config.files import from_yaml, json_schema
from agno_portkey.routing.config.profiles import check as check_profile
from agno_portkey.routing.config.routes import Route

__all__ = ["app", "problems_of"]

app = typer.Typer(help="Check and show a routing config.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A routing config in YAML or JSON.")]
For = Annotated[
    Literal["hosted", "open_source"], typer.Option("--profile", help="The gateway that it is for.")
]
Retries = Annotated[
    Literal["client", "gateway"], typer.Option(help="Which layer retries; the other must not.")
]

# The problems of one error; the reasons themselves hold semicolons, too.
_NEXT = re.compile(r"; (?=config(?:[.\[]\S*)?: )")


@app.command()
def check(file: File, profile: For = "open_source", retries: Retries = "client") -> None:
    """List every problem of FILE, or show its tree of targets."""
    console = Console()
    try:
        route = _read(file)
        check_profile(route, profile, retries=retries)
    except ConfigurationError as error:
        table = Table("where", title=f"Problems of {file}", title_justify="left")
        table.add_column("why, and what to do", overflow="fold")
        for path, why in problems_of(error):
            table.add_row(Text(path), Text(why))
        console.print(table)
        raise typer.Exit(1) from None
    console.print(route_tree(route))


@app.command()
def show(file: File, profile: For = "open_source") -> None:
    """Print the gateway's JSON of FILE, its secrets hidden."""
    try:
        config = shown_config(_read(file), profile=profile)
    except ConfigurationError as error:
        fail(error)
    typer.echo(json.dumps(config, indent=2, ensure_ascii=False))


@app.command()
def schema() -> None:
    """Print the JSON schema of a routing config, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


def problems_of(error: ConfigurationError) -> Iterator[tuple[str, str]]:
    """The path and reason of each problem that `error` tells of; without a path, `""`."""
    for problem in _NEXT.split(str(error)):
        path, colon, why = problem.partition(": ")
        yield (path, why) if colon and " " not in path else ("", problem)


def _read(file: Path) -> Route:
    return from_yaml(file)
