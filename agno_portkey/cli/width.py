"""How wide what a command prints may be."""

from __future__ import annotations

import os

from rich.console import Console

__all__ = ["ENDLESS", "counted", "output"]

# Columns where nobody looks at them: longer than any name.
ENDLESS = 100_000


def output() -> Console:
    """The standard output, as wide as its terminal or COLUMNS; else without an end.

    What goes into a file or another program is not cut or broken.
    """
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = ENDLESS
    return console


def counted(number: int, noun: str, several: str | None = None) -> str:
    """`number` with its noun: `1 line`, `2 lines`."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"
