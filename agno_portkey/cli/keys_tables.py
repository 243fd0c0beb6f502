"""How `agno-portkey keys` tells of keys: tables, and a line for each step. No value is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.width import output
from agno_portkey.security.rotation import KeyStatus, Rotated, Step
from agno_portkey.security.rotation.state import Leaving
from agno_portkey.verdict import shown

__all__ = ["Steps", "print_due", "print_plan", "print_rotated", "print_status", "warn"]

# Seconds between two lines on a wait.
_EACH = 30.0
# Columns of a terminal in which three columns can't be read.
_NARROW = 100


def print_status(found: Sequence[KeyStatus]) -> None:
    rows = [(Text(shown(each.key)), _in_use(each), _state(each)) for each in found]
    _print("Keys", ("key", "in use, since", "state, what is due, what is to go"), rows)


def print_due(found: Sequence[KeyStatus]) -> None:
    if not found:
        typer.echo("No key is due.")
        return
    rows = [
        (Text(shown(status.key)), Text(_day(due.at)), Text(f"{due.reason}: {shown(due.said)}"))
        for status in found
        for due in status.due
    ]
    _print("Keys that are due", ("key", "since", "why"), rows)


def print_plan(found: Sequence[KeyStatus], what: str, *, as_json: bool) -> None:
    """What `rotate` or `revoke` would do."""
    told = [{"key": each.key, "would": _would(each, what)} for each in found]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    for each in told:
        _say(f"{each['key']}: would {each['would']}")
    if not told:
        typer.echo("There is nothing to do.")


class Steps:
    """Prints a line for each step; of a wait, one for each half minute."""

    def __init__(self) -> None:
        self._left: float | None = None

    def __call__(self, step: Step) -> None:
        if step.left is None:
            _say(f"{step.key}: {step.stage}: {step.said}", "dim")
        elif self._left is None or self._left - step.left >= _EACH:
            _say(f"{step.key}: {step.stage}: {step.said}, for {step.left:.0f} s yet", "dim")
        else:
            return
        self._left = step.left


def print_rotated(done: Rotated) -> None:
    name = done.current.name if done.current is not None else "nothing"
    _say(f"{done.key}: {name} is in use", "green")
    for each in done.pending:
        _say(f"{done.key}: {_leaving(each)}", "yellow")


def warn(error: Exception) -> None:
    Console(stderr=True).print(Text(shown(str(error)), "red"), soft_wrap=True)


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """A table, or where that would break every word, a paragraph for each row."""
    console = output()
    if console.width < _NARROW:
        for first, *others in rows:
            console.print(Text(first.plain, "bold", overflow="fold"))
            for each in others:
                console.print(Padding(Text(each.plain, each.style, overflow="fold"), (0, 0, 0, 2)))
        return
    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _in_use(status: KeyStatus) -> Text:
    held = status.current
    if held is None:
        return Text("not known yet")
    since = f"\n{_day(status.rotated)}" if status.rotated is not None else ""
    return Text(f"{shown(held.name)}{since}")


def _state(status: KeyStatus) -> Text:
    text = Text()
    if status.stage in ("create", "probe", "shift"):
        text.append(f"rotation at {status.stage}: under way, or interrupted\n", "yellow")
    for due in status.due:
        text.append(f"due, {due.reason}: {shown(due.said)}\n", "red")
    for each in status.pending:
        text.append(f"{_leaving(each)}\n", "yellow")
    text.rstrip()
    return text if text else Text("ok", "green")


def _leaving(each: Leaving) -> str:
    said = f"{shown(each.name)} is to be deleted"
    if each.why:
        return f"{said}, and could not be: {shown(each.why)}"
    if each.id is None:
        return f"{shown(each.name)} may have been made, and is looked for until {_day(each.until)}"
    return f"{said} from {_day(each.after)} on" if each.after else said


def _would(status: KeyStatus, what: str) -> str:
    if what == "revoke":
        names = ", ".join(each.name for each in status.pending)
        return f"delete {names}" if names else "delete nothing"
    if status.stage in ("create", "probe", "shift"):
        return f"go on with a rotation that stands at {status.stage}"
    held = status.current.name if status.current is not None else "what its source names"
    return f"make a new key, put it in place, and delete {held}"


def _day(at: float | None) -> str:
    return "-" if not at else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _say(text: str, style: str = "") -> None:
    output().print(Text(shown(text), style), soft_wrap=True)
