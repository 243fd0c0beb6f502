"""How `agno-portkey audit` shows a log: what was found, and a line for each record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.gates.history.plots import shown

if TYPE_CHECKING:
    from agno_portkey.telemetry.audit import Report

__all__ = ["print_problems", "print_report", "row"]

# What a record is told by, as far as it has it; what comes first is seen in a narrow terminal.
_FACTS = (
    *("decision", "outcome", "error", "status", "by", "override", "clearance", "tool", "target"),
    *("state", "mode", "model", "provider", "score", "number", "texts", "steps", "total_tokens"),
)
_WIDTHS = {"line": 6, "at": 14, "kind": 11, "who": 14}
_LEAST = 20


def print_report(report: Report) -> None:
    """What `verify` has found: what is wrong first, then what is there, then what to know of it."""
    console = Console()
    print_problems(report)
    if report.ok:
        _say(
            console,
            f"{report.path}: {_count(report.lines, 'line')}, as they were written.",
            "green",
        )
    else:
        said = f"{report.records} of {_count(report.lines, 'line')} are as they were written"
        _say(console, f"{report.path} is not as it was written: {said}.", "bold red")
    if report.kinds:
        table = Table("kind", box=None, pad_edge=False)
        table.add_column("records", justify="right")
        for kind, count in sorted(report.kinds.items()):
            table.add_row(Text(shown(kind)), str(count))
        console.print(table)
        _say(
            console, f"From {report.first} to {report.last}; the last line's digest: {report.head}"
        )
    for note in _notes(report):
        _say(console, note, "yellow")


def print_problems(report: Report) -> None:
    console = Console()
    for problem in report.problems:
        _say(console, str(problem), "red")
    if (more := report.wrong - len(report.problems)) > 0:
        _say(console, f"and {more} more", "red")


def _notes(report: Report) -> list[str]:
    notes = [
        f"log line {line}: the clock was set back before it, from {before} to {after}"
        for line, before, after in report.backward
    ]
    notes += [
        f"log line {line}: a line that a kill had left unfinished was taken away here"
        for line in report.mended
    ]
    if report.torn:
        notes.append(
            f"After the last line: {report.torn} bytes that a kill left of another, which was told "
            "to nobody; the next writer takes them away."
        )
    if not report.checkpoints:
        notes.append("There are no checkpoints: lines that were cut off at the end are not missed.")
    elif report.unanchored:
        notes.append(
            f"The last {_count(report.unanchored, 'line')} came after the last of "
            f"{_count(report.checkpoints, 'checkpoint')}: others that came with them and were cut "
            "off would not be missed."
        )
    return notes


def row(line: bytes, width: int) -> Text:
    """A line of a log in columns, at most `width` wide, with nothing that a terminal would obey."""
    from agno_portkey.telemetry.audit.lines import record_of

    record = record_of(line)
    if record is None:
        return Text("     ? this is no line that such a log writes", "red")
    told = record.metadata
    verdict = told.get("verdict")
    refused = isinstance(verdict, dict) and verdict.get("passed") is False
    at = record.timestamp[5:19].replace("T", " ")
    who = told.get("role") or told.get("name") or told.get("user_id") or "-"
    texts = {"line": f"{record.seq + 1:>6}", "at": at, "kind": record.action, "who": str(who)}
    cells = [_cell(texts[name], wide) for name, wide in _WIDTHS.items()]
    left = max(_LEAST, width - sum(_WIDTHS.values()) - len(_WIDTHS))
    said = _cell(_said(told), left).rstrip()
    return Text(" ".join([*cells, said]), "red" if refused else "")


def _cell(text: str, wide: int) -> str:
    text = shown(text)
    cut = set_cell_size(text, wide)
    return cut if cut.rstrip() == text.rstrip() else set_cell_size(text, wide - 1) + "…"


def _said(told: dict[str, Any]) -> str:
    data = told.get("data")
    facts = {**told, **data} if isinstance(data, dict) else told
    parts = []
    if isinstance(verdict := told.get("verdict"), dict):
        passed = "passed" if verdict.get("passed") else "refused"
        parts.append(f"{passed} by {verdict.get('source')}")
    for name in _FACTS:
        value = facts.get(name)
        if isinstance(value, str | int | float) and value != "":
            parts.append(f"{name}={value}")
    return ", ".join(parts)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(shown(text), style), soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
