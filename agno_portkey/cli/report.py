"""How commands report: a table of what was found, and the exit code that goes with it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.verdict import shown

__all__ = ["ACTING", "Level", "Row", "fail", "operator", "report"]

Level = Literal["ok", "warning", "problem"]

# The subject of the token that a command was let in by.
ACTING: ContextVar[str | None] = ContextVar("acting", default=None)

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One finding: what was found, or what is wrong and what to do about it."""

    name: str
    level: Level
    detail: str


def report(console: Console, rows: Sequence[Row], *, title: str, also: Table | None = None) -> None:
    """Print `rows`, and `also` below them; exit code 1 if one of them is a problem."""
    table = Table("check", "", title=title)
    table.add_column("result, or what to do", overflow="fold")
    for row in rows:
        # Not markup: "agno-portkey[local]" would lose its brackets.
        table.add_row(Text(row.name), Text(row.level, _STYLES[row.level]), Text(row.detail))
    console.print(table)
    if also is not None:
        console.print(also)
    if any(row.level == "problem" for row in rows):
        raise typer.Exit(1)


def fail(error: Exception | str, code: int = 1) -> NoReturn:
    """Say on stderr, in one line, what went wrong, and end with that exit code."""
    Console(stderr=True).print(Text(shown(str(error)), "red"), soft_wrap=True)
    raise typer.Exit(code)


def operator() -> str:
    """Who runs the command: the subject of its token, else the user of this machine."""
    if (name := ACTING.get()) is not None:
        return name
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
