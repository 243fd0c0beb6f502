"""The history of gates as tables in the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from agno_portkey.gates.history import Decided, Report
from agno_portkey.gates.history.plots import shown

__all__ = [
    "changes_csv",
    "changes_table",
    "history_csv",
    "history_table",
    "json_of",
    "segments_table",
]

_STYLES = {"pass": "green", "fail": "red", "underpowered": "yellow"}
# Characters of a reason that a row of the table shows.
_LONG = 80


def history_table(decided: Sequence[Decided]) -> Table:
    """A row for each decision, with the scores of its checks and the first of its reasons."""
    caption = "All the reasons: --format json" if any(len(d.reasons) > 1 for d in decided) else None
    table = Table(title="Gates", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("gate", overflow="fold")
    for column in ("outcome", "score", "checks"):
        table.add_column(column, overflow="fold")
    table.add_column("reason", overflow="fold")
    for each in decided:
        checks = [shown(f"{one.check} {_figure(one.score)}".strip()) for one in each.checks]
        by = f" (by {each.by})" if each.by else ""
        of = f" of {each.swarm}" if each.swarm else ""
        observed = "" if each.mode == "enforce" else f" ({each.mode})"
        table.add_row(
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            Text(shown(each.gate + of)),
            Text(shown(each.outcome + by + observed), _STYLES.get(each.outcome, "")),
            _figure(each.score),
            Text("\n".join(checks)),
            _first(each.reasons),
        )
    return table


def _first(reasons: Sequence[str]) -> Text:
    first, more = shown(reasons[0]) if reasons else "", len(reasons) - 1
    short = first if len(first) <= _LONG else first[: _LONG - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return Text(f"{short} (+{more})" if more > 0 else short)


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
            str(each.decisions),
            str(each.pass_rate),
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
    return _csv(rows)


def changes_csv(told: Iterable[Report]) -> str:
    """A line for each score at each change of versions."""
    rows: list[Sequence[Any]] = [
        (
            *("at", "swarm", "gate", "parts", "measure", "before", "before_low", "before_high"),
            *("before_count", "after", "after_low", "after_high", "after_count", "p", "moved"),
        )
    ]
    for each in told:
        for change in each.changes:
            parts = "; ".join(map(str, change.parts))
            for move in change.moves:
                measured = [
                    getattr(one, field)
                    for one in (move.before, move.after)
                    for field in ("mean", "low", "high", "count")
                ]
                named = (change.at.isoformat(), each.swarm, each.gate, parts, move.name)
                rows.append((*named, *measured, move.chance, move.moved))
    return _csv(rows)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([map(_cell, row) for row in rows])
    return written.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet runs a text that begins so, and models wrote some.
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _figure(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"
