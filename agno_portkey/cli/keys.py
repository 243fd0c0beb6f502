"""`agno-portkey keys`: check the names of keys, and rotate them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.keys_rotation import add_to
from agno_portkey.cli.plain import read_plain
from agno_portkey.cli.report import fail
from agno_portkey.errors import ConfigurationError
from agno_portkey.routing.keys.lint import Finding, UsedName, lint
from agno_portkey.routing.keys.names import EXAMPLE
from agno_portkey.routing.keys.uses import uses
from agno_portkey.settings import Settings

__all__ = ["app", "read_plain"]

app = typer.Typer(help="Check the names of keys, and rotate them.", no_args_is_help=True)

_STYLES = {"error": "bold red", "warning": "yellow"}


@app.callback()
def keys() -> None:
    """Check the names of keys, and rotate them."""


@app.command("lint")
def lint_keys(
    names: Annotated[list[str] | None, typer.Argument(help=f"Names such as {EXAMPLE}.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A routing config in YAML or JSON that uses keys.")
    ] = None,
    environment: Annotated[
        list[str] | None, typer.Option(help="One that names may hold, beside dev to prod.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
) -> None:
    """Check that names are {provider}-{environment}-{team}-{quarter}, and when to rotate."""
    if not names and not file:
        fail("Nothing to check: give names, or --file routing.yaml.")
    try:
        used: list[str | UsedName] = [*(names or ())]
        for path in file or ():
            used.extend(uses(read_plain(path), where=str(path)))
        findings = lint(
            used, environment=Settings.read().environment, environments=environment or ()
        )
    except ConfigurationError as error:
        fail(error)
    console = Console()
    if findings:
        console.print(_table(findings))
    else:
        count = f"{len(used)} name" if len(used) == 1 else f"{len(used)} names"
        console.print(Text(f"{count}, nothing to say against." if used else "No names in there."))
    if any(strict or finding.level == "error" for finding in findings):
        raise typer.Exit(1)


add_to(app)


def _table(findings: list[Finding]) -> Table:
    table = Table("key", "", title="Names of keys")
    table.add_column("what is wrong, and what to do", overflow="fold")
    for finding in findings:
        told = f"{finding.what}: {finding.do}"
        name = finding.name + (f"\n{finding.where}" if finding.where else "")
        table.add_row(Text(name), Text(finding.level, _STYLES[finding.level]), Text(told))
    return table
