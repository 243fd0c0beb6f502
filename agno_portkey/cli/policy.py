"""`agno-portkey policy`: check a policy, show how strictly it is held, and print its schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.errors import ConfigurationError
from agno_portkey.modes import Mode, mode_now, variable_of
from agno_portkey.policy import GuardUse, Policy, json_schema
from agno_portkey.routing.config.parts import PartError, join_path

__all__ = ["app"]

app = typer.Typer(help="Check and show a policy.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A policy in YAML or JSON.")]


@app.command()
def check(file: File) -> None:
    """List every problem of FILE, or show its parts and their modes, those of the environment too.

    Its guards are imported, and not made: no variable that it refers to has to be set.
    """
    console = Console()
    try:
        policy = Policy.from_yaml(file)
    except ConfigurationError as error:
        table = Table("where", title=f"Problems of {file}", title_justify="left")
        table.add_column("why, and what to do", overflow="fold")
        for where, why in _problems(error, f"{file}: "):
            table.add_row(Text(where), Text(why))
        console.print(table)
        raise typer.Exit(1) from None
    console.print(_summary(policy, file))


@app.command()
def schema() -> None:
    """Print the JSON schema of a policy, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _problems(error: ConfigurationError, prefix: str) -> list[tuple[str, str]]:
    if isinstance(error, PartError):
        return [(join_path("policy", path), why) for path, why in error.problems]
    where, colon, why = str(error).removeprefix(prefix).partition(": ")
    return [(where, why)] if colon and " " not in where else [("", str(error))]


def _summary(policy: Policy, file: Path) -> Table:
    table = Table("part", "mode", "what", title=str(file), title_justify="left")
    for guard in policy.guards:
        if isinstance(guard, GuardUse):
            table.add_row("guards", _now("guards", guard.mode), Text(guard.use))
    if policy.gate is not None:
        names = ", ".join(f"{g.name} (score {g.min_score:g})" for g in policy.gate.gates)
        runner = policy.gate.runner or "the Runner that govern is given"
        table.add_row("gate", _now("gate", policy.gate.mode), Text(f"{names} before {runner}"))
    table.add_row("contracts", _now("contracts", policy.contracts.mode), "structured outputs")
    tags = ", ".join(f"{name}={value}" for name, value in policy.tags.values.items())
    table.add_row("tags", _now("tags", policy.tags.mode), Text(tags or "none of its own"))
    database = "of the policy" if policy.stop.database else "of the environment or team"
    table.add_row("stop", _now("stop", policy.stop.mode), f"the database {database}")
    for path in policy.allow:
        table.add_row("allow", "", Text(path))
    return table


def _now(part: str, own: Mode | None) -> str:
    """The mode that counts, and the variable that says so; a guard may bring its own."""
    variable = variable_of(part)
    if not os.environ.get(variable):
        return own or "the guard's own"
    return f"{mode_now(part, own or 'enforce')} ({variable})"
