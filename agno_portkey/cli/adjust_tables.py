"""Proposals and versions of thresholds as tables and bars in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from agno_portkey.gates.adjusting import Change, NoProposal, Point, Proposal
from agno_portkey.verdict import shown

__all__ = ["curve_bars", "proposals_table", "versions_table"]

_WIDE, _LINES = 30, 24
_STYLES = {"tightened": "green", "loosened": "yellow", "proposed": "yellow", "withdrawn": "dim"}


def proposals_table(found: Sequence[Proposal | NoProposal]) -> Table:
    """A row for each check: what is proposed and what it would have given, or why nothing is."""
    table = Table(title="Thresholds, proposed from the history", title_justify="left")
    table.add_column("gate", overflow="fold")
    for column in ("check", "threshold", "interval", "pass rate now", "then", "plans"):
        table.add_column(column)
    table.add_column("", overflow="fold")
    for each in found:
        named = (Text(shown(_gate(each.swarm, each.gate))), Text(shown(each.check)))
        if isinstance(each, NoProposal):
            table.add_row(*named, "as it is", "", "", "", str(each.runs), Text(shown(each.reason)))
            continue
        table.add_row(
            *named,
            Text(f"{each.before:g} -> {each.threshold:g}", _STYLES[each.kind]),
            f"{each.low:g} to {each.high:g}",
            str(each.now.gate),
            str(each.then.gate),
            str(each.runs),
            Text(f"{each.kind}; {'; '.join(each.notes)}"),
        )
    return table


def curve_bars(found: Proposal | NoProposal, floor: float, threshold: float | None = None) -> Table:
    """The gate's pass rate over the threshold of one check, as bars, with the floor."""
    title = f"Gate {_gate(found.swarm, found.gate)}, check {found.check}"
    table = Table("threshold", "pass rate of the gate", title=shown(title), title_justify="left")
    for column in ("gate", "check alone"):
        table.add_column(column, justify="right")
    table.add_column("")
    before = found.before if isinstance(found, Proposal) else threshold
    after = found.threshold if isinstance(found, Proposal) else None
    for point in _thinned(found.curve, {before, after}):
        mark = (
            "proposed" if point.threshold == after else "now" if point.threshold == before else ""
        )
        table.add_row(
            f"{point.threshold:g}",
            _bar(point, floor),
            str(point.gate),
            str(point.check),
            Text(mark, "bold"),
        )
    table.caption, table.caption_justify = f"│ the floor, {floor:g}", "left"
    return table


def _bar(point: Point, floor: float) -> Text:
    full, at = round(point.gate.mean * _WIDE), round(floor * _WIDE)
    cells = ["█" if place < full else " " for place in range(_WIDE)]
    cells[min(at, _WIDE - 1)] = "│"
    good = point.gate.low is not None and point.gate.low > floor
    return Text("".join(cells), "green" if good else "yellow" if point.gate.mean > floor else "red")


def _thinned(curve: Sequence[Point], kept: set[float | None]) -> list[Point]:
    """So few points that they fit a screen, those of `kept` among them."""
    every = max(1, -(-len(curve) // _LINES))
    return [
        point for place, point in enumerate(curve) if place % every == 0 or point.threshold in kept
    ]


def versions_table(changes: Sequence[Change]) -> Table:
    """A row for each version, oldest first."""
    table = Table(title="Thresholds, version by version", title_justify="left")
    table.add_column("gate", overflow="fold")
    for column in ("version", "at (UTC)", "check", "what", "threshold", "pass rate", "plans", "by"):
        table.add_column(column)
    table.add_column("reason", overflow="fold")
    for each in changes:
        what = each.kind if each.state == "applied" else f"{each.kind}, {each.state}"
        after = "as written" if each.threshold is None else f"{each.threshold:g}"
        interval = "" if each.low is None else f" ({each.low:.2f} to {each.high:.2f})"
        table.add_row(
            Text(shown(_gate(each.swarm, each.gate))),
            str(each.version),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            Text(shown(each.check)),
            Text(what, _STYLES.get(each.kind if each.state == "applied" else each.state, "")),
            f"{each.before:g} -> {after}",
            "" if each.rate is None else f"{each.rate:.2f}{interval}",
            "" if each.runs is None else str(each.runs),
            Text(shown(each.by)),
            Text(shown(each.reason)),
        )
    return table


def _gate(swarm: str | None, gate: str) -> str:
    return f"{gate} of {swarm}" if swarm else gate
