"""How `agno-portkey audit` shows a log: what was found, and a line for each record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agno_portkey.cli.width import counted, output
from agno_portkey.verdict import shown

if TYPE_CHECKING:
    from agno_portkey.telemetry.audit import Report

__all__ = ["print_problems", "print_report", "row"]

# What a record is told by, as far as it has it; what comes first is seen in a narrow terminal.
_FACTS = (
    *("decision", "outcome", "error", "status", "by", "override", "clearance", "tool", "target"),
    *("state", "mode", "model", "provider", "score", "number", "texts", "steps", "total_tokens"),
)
_WIDTHS = {"line": 6, "at": 14, "kind": 11, "who": 14}
_LEAST, _INDENT = 20, 7


def print_report(report: Report, checkpoints: Path) -> None:
    """What `verify` has found: what is wrong and what to do, what is there, what to know of it.

    `checkpoints` is the file that they were looked for in.
    """
    console = output()
    print_problems(report)
    if report.ok:
        said = f"{report.path}: {counted(report.lines, 'line')}, as they were written."
        _say(console, said, "green")
    else:
        for line, style in zip(_verdict(report), ("bold red", "red"), strict=True):
            _say(console, line, style)
    if report.kinds:
        table = Table("kind", box=None, pad_edge=False)
        table.add_column("records", justify="right")
        for kind, count in sorted(report.kinds.items()):
            table.add_row(Text(shown(kind)), str(count))
        console.print(table)
        _say(
            console, f"From {report.first} to {report.last}; the last line's digest: {report.head}"
        )
    for note in _notes(report, checkpoints):
        _say(console, note, "yellow")


def print_problems(report: Report) -> None:
    console = output()
    for problem in report.problems:
        _say(console, str(problem), "red")
    if (more := report.wrong - sum(each.lines for each in report.problems)) > 0:
        _say(console, f"and {more} more", "red")


def _verdict(report: Report) -> tuple[str, str]:
    """What happened to a log, and what to do about it."""
    if report.foreign and report.foreign == report.lines:
        return (
            f"{report.path}: {counted(report.lines, 'line')}, all sealed with another key than the "
            "one that was given: without theirs nothing can be said of them.",
            "What to do: give the key that the log was begun with (--key-file, --public-key or "
            "AGNO_PORTKEY_AUDIT_KEY). If it is that one, somebody has written the log anew.",
        )
    wrong, said = report.lines - report.records, []
    if report.cut:
        gone = "were cut off at its end" if report.lines else "are gone"
        said.append(f"{counted(report.cut, 'line')} or more {gone}")
    if wrong:
        said.append(f"{report.records} of {counted(report.lines, 'line')} are as they were written")
    elif report.lines:
        left = " that are left" if report.cut else ""
        said.append(f"the {counted(report.lines, 'line')}{left} are as they were written")
    if not wrong and not report.cut:
        said.append("what is said above is not")
    return (
        f"{report.path} is not as it was written: {'; '.join(said)}.",
        "What to do: leave the file and its checkpoints as they are for whoever looks into it, and "
        "put back a copy that is whole, or begin another log under another name.",
    )


def _notes(report: Report, checkpoints: Path) -> list[str]:
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
    at_checkpoints = any(each.where == "checkpoints" for each in report.problems)
    if not report.checkpoints and not at_checkpoints:
        notes.append(
            f"There are no checkpoints in {checkpoints}: if lines were cut off at the end of the "
            "log, nobody can see it. Give --checkpoints what the log's writer was given."
        )
    elif report.checkpoints and report.unanchored and not report.cut:
        notes.append(
            f"The last {counted(report.unanchored, 'line')} came after the last of "
            f"{counted(report.checkpoints, 'checkpoint')}: if more followed and were cut off, "
            "nobody can see it, for a checkpoint alone tells how long the log was."
        )
    return notes


def row(line: bytes, width: int | None) -> Text:
    """A line of a log in columns, with nothing that a terminal would obey.

    It is at most `width` wide, in two lines where that is little; without `width` nothing is cut.
    """
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
    cells = [_cell(texts[name], wide, cut=width is not None) for name, wide in _WIDTHS.items()]
    return Text(_laid_out(cells, str(who), _said(told), width), "red" if refused else "")


def _laid_out(cells: list[str], who: str, said: str, width: int | None) -> str:
    if width is None:
        return " ".join([*cells, shown(said)]).rstrip()
    left = width - sum(_WIDTHS.values()) - len(_WIDTHS)
    if left >= _LEAST:
        return " ".join([*cells, _cell(said, left).rstrip()])
    first = _cell(" ".join(cells[:3]), width).rstrip()
    below = _cell(", ".join(filter(None, (who, said))), max(_LEAST, width - _INDENT)).rstrip()
    return f"{first}\n{' ' * _INDENT}{below}"


def _cell(text: str, wide: int, *, cut: bool = True) -> str:
    text = shown(text)
    if not cut and cell_len(text) > wide:
        return text
    fitted = set_cell_size(text, wide)
    return fitted if fitted.rstrip() == text.rstrip() else set_cell_size(text, wide - 1) + "…"


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
