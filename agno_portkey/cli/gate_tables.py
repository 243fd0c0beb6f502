"""The history of gates as tables in the terminal, as CSV and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from rich.table import Table
from rich.text import Text

from agno_portkey.cli.csv_text import csv_of
from agno_portkey.gates.history import Decided, Report
from agno_portkey.verdict import shown

__all__ = [
    "changes_csv",
    "changes_table",
    "history_csv",
    "history_table",
    "json_of",
    "segments_table",
]

# In place of the four figures of what was before the first.
_UNKNOWN = (None,) * 4
_STYLES = {"pass": "green", "fail": "red", "underpowered": "yellow", "waiting": "yellow"}


def history_table(decided: Sequence[Decided]) -> Table:
    """A line for each decision, cut to the width of the terminal.

    A gate or swarm that all have in common stands above; scores of checks, and all that is cut, are
    in CSV and JSON.
    """
    gates, swarms = ({getattr(one, each) for one in decided} for each in ("gate", "swarm"))
    several = len(gates) > 1 or len(swarms) > 1
    title = "Gates" if len(gates) > 1 else f"Gate {decided[0].gate}"
    if len(swarms) == 1 and decided[0].swarm:
        title += f" of {decided[0].swarm}"
    table = Table(title=shown(title), title_justify="left", box=None, pad_edge=False)
    table.caption, table.caption_justify = "In full: --format csv or json", "left"
    table.add_column("at (UTC)", no_wrap=True)
    for column in (*["gate"] * several, "outcome"):
        table.add_column(column)
    table.add_column("score", no_wrap=True)
    table.add_column("reason")
    for each in decided:
        of = f" of {each.swarm}" if each.swarm and len(swarms) > 1 else ""
        by = f" (by {each.by})" if each.by else ""
        observed = "" if each.mode == "enforce" else f" ({each.mode})"
        table.add_row(
            f"{each.at:%Y-%m-%d %H:%M}",
            *[_line(each.gate + of)] * several,
            _line(each.outcome + by + observed, _STYLES.get(each.outcome, "")),
            _figure(each.score),
            _line(_first(each.reasons)),
        )
    return table


def _line(text: str, style: str = "") -> Text:
    """`text` on one line, with an ellipsis where it has to be cut."""
    return Text(shown(text), style, no_wrap=True, overflow="ellipsis")


def _first(reasons: Sequence[str]) -> str:
    several = f"(1 of {len(reasons)}) " if len(reasons) > 1 else ""
    return several + reasons[0] if reasons else ""


def segments_table(told: Report) -> Table:
    """A row for each set of versions, with its pass rate and score and their intervals."""
    title = f"Gate {told.gate}" + (f" of {told.swarm}" if told.swarm else "")
    how = "side by side" if told.by == "version" else "one after the other"
    table = Table(title=shown(f"{title}: versions, {how}"), title_justify="left")
    for column in ("from (UTC)", "to (UTC)", "decisions", "pass rate", "score"):
        table.add_column(column)
    for each in told.segments:
        table.add_row(
            f"{each.since:%Y-%m-%d %H:%M}",
            f"{each.until:%Y-%m-%d %H:%M}",
            str(each.decisions) + (f", {each.waiting} waiting" if each.waiting else ""),
            "" if each.pass_rate is None else str(each.pass_rate),
            "" if each.score is None else str(each.score),
        )
    return table


def changes_table(told: Report) -> Table:
    """A row for each change, with what it did to the scores of the gate and of each check."""
    table = Table("at (UTC)", title="What changed", title_justify="left")
    table.add_column("parts", overflow="fold")
    table.add_column("scores", overflow="fold")
    for change in told.changes:
        moves = Text("\n").join(
            Text(shown(str(move)), "bold" if move.moved else "") for move in change.moves
        )
        parts = Text("\n".join(shown(str(part)) for part in change.parts))
        table.add_row(f"{change.at:%Y-%m-%d %H:%M}", parts, moves)
    return table


def json_of(told: Any) -> str:
    """Plain types as JSON, in which every character is ASCII."""
    return json.dumps(told, indent=2) + "\n"


def history_csv(decided: Sequence[Decided]) -> str:
    """A line for each decision, with a column for the score of each check."""
    names = sorted({check.check for each in decided for check in each.checks})
    plain = (
        *("id", "at", "gate", "swarm", "outcome", "passed", "score", "mode", "cost", "tokens"),
        *("seconds", "by", "team_id", "run_id", "session_id", "user_id", "tenant"),
        *("plan_digest", "fingerprint"),
    )
    rows: list[Sequence[Any]] = [(*plain, *(f"check {name}" for name in names), "reasons")]
    for each in decided:
        kept = each.as_dict()
        scores = {check.check: check.score for check in each.checks}
        rows.append(
            (*(kept[field] for field in plain), *map(scores.get, names), "; ".join(each.reasons))
        )
    return csv_of(rows)


def changes_csv(told: Iterable[Report]) -> str:
    """A line for each score of the first versions, and for each at each change since."""
    rows: list[Sequence[Any]] = [
        (
            *("at", "swarm", "gate", "parts", "measure", "before", "before_low", "before_high"),
            *("before_count", "after", "after_low", "after_high", "after_count", "p", "moved"),
        )
    ]
    for each in told:
        first = each.segments[0]
        named = (first.since.isoformat(), each.swarm, each.gate, "")
        for measure, measured in (("score", first.score), ("pass rate", first.pass_rate)):
            if measured is not None:
                rows.append((*named, measure, *_UNKNOWN, *astuple(measured), None, None))
        for change in each.changes:
            parts = "; ".join(map(str, change.parts))
            for move in change.moves:
                named = (change.at.isoformat(), each.swarm, each.gate, parts)
                measures = (*astuple(move.before), *astuple(move.after))
                rows.append((*named, move.name, *measures, move.chance, move.moved))
    return csv_of(rows)


def _figure(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"
