"""How `agno-portkey batch` tells of a job: a table of its batches, and what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.knowledge.batch import BatchResult, BatchStatus
from agno_portkey.verdict import shown

__all__ = ["hint", "print_result", "print_status"]


def print_status(status: BatchStatus, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**asdict(status), "state": status.state}, indent=2))
        return
    said = f"Job {status.job}: {status.state}, {status.inputs} inputs, {status.refused} refused"
    if status.undecided:
        said += f", {status.undecided} not sent since a guard failed on them: submit again"
    console = Console()
    console.print(Text(shown(said)), soft_wrap=True)
    table = Table("batch", "status")
    for name in ("lines", "completed", "failed"):
        table.add_column(name, justify="right")
    for part in status.parts:
        table.add_row(
            Text(shown(part.batch or "-")),
            Text(shown(part.status or ("submitted" if part.batch else "not sent"))),
            str(part.lines),
            # Nobody was asked: 0 would be a word of the provider's.
            *("-" if part.status is None else str(n) for n in (part.completed, part.failed)),
        )
    console.print(table)
    if doubtful := [part.batch or "-" for part in status.parts if part.doubtful]:
        hint(
            f"The provider may have a second batch of the lines of {', '.join(doubtful)}: nobody "
            "said whether the first one was made, and it was not to be found when this one was. "
            "`fetch` and `cancel` look for it and end it; what it has answered is not lost."
        )


def hint(text: str) -> None:
    Console(stderr=True).print(Text(shown(text), "yellow"), soft_wrap=True)


def print_result(found: BatchResult, out: Path, as_json: bool) -> None:
    kinds: dict[str, int] = {}
    for error in found.errors.values():
        kinds[type(error).__name__] = kinds.get(type(error).__name__, 0) + 1
    told = {
        "outputs": sum(output is not None for output in found.outputs),
        "errors": kinds,
        "pending": len(found.pending),
        "retried": len(found.retried),
        "foreign": found.foreign,
        "models": list(found.models),
        "tokens": found.tokens,
        "doubles": list(found.doubles),
        "out": str(out),
    }
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    failed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    said = f"{told['outputs']} outputs in {out}; failed: {failed}; pending: {told['pending']}"
    if found.retried:
        said += f"; asked again: {told['retried']}"
    if found.foreign:
        said += f"; lines of no input: {found.foreign}"
    if found.doubles:
        said += f"; other batches of the same lines: {', '.join(found.doubles)}"
    said = f"{said}; {found.tokens} tokens of {', '.join(found.models) or 'nobody'}"
    Console().print(Text(shown(said)), soft_wrap=True)
