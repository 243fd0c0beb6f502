"""The history as a picture: a PNG by matplotlib, or bars in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from agno_portkey.errors import MissingExtraError
from agno_portkey.gates.history.record import Decided
from agno_portkey.gates.history.report import Report
from agno_portkey.gates.history.series import Span, gates_of, scores_of, spans

__all__ = ["bars", "draw", "shown", "spark"]

_TICKS = "▁▂▃▄▅▆▇█"
_WIDE = 30
_HIGH = 3.0


def shown(text: str | None) -> str:
    """`text` without what a terminal would obey: models wrote some of it."""
    return "".join(each if each.isprintable() else " " for each in text or "")


def spark(values: Sequence[float | None]) -> str:
    """`values` in 0-1 as one line of blocks; a space where there is none."""
    return "".join(" " if each is None else _TICKS[min(7, int(each * 8))] for each in values)


def bars(decided: Sequence[Decided], told: Report) -> Table:
    """The pass rates of one gate by spans, as bars, with the changes where they came."""
    title = f"Gate {told.gate}" + (f" of {told.swarm}" if told.swarm else "")
    table = Table("from (UTC)", "pass rate", title=shown(title), title_justify="left")
    for column in ("passed", "score", "cost"):
        table.add_column(column, justify="right")
    waiting = [*told.changes]
    for span in spans(decided):
        while waiting and waiting[0].at < span.end:
            parts = Text(shown("; ".join(map(str, waiting[0].parts))), "yellow")
            table.add_row(Text(f"{waiting.pop(0).at:%m-%d %H:%M}", "yellow"), parts)
        if span.decisions:
            table.add_row(f"{span.start:%Y-%m-%d %H:%M}", *_cells(span))
    means = [None if span.score is None else span.score.mean for span in spans(decided)]
    table.caption, table.caption_justify = f"score 0-1: {spark(means)}", "left"
    return table


def _cells(span: Span) -> tuple[str | Text, ...]:
    rate = span.passed / span.decisions
    style = "green" if rate >= 0.85 else "yellow" if rate >= 0.5 else "red"
    return (
        Text("█" * round(rate * _WIDE) or "▏", style),
        f"{span.passed} of {span.decisions}",
        "" if span.score is None else f"{span.score.mean:.2f}",
        "" if span.cost is None else f"${span.cost:.4f}",
    )


def draw(decided: Sequence[Decided], told: Sequence[Report], file: Path) -> None:
    """Write scores, pass rates and changes of each gate to `file`, as a PNG.

    Raises MissingExtraError without matplotlib, and OSError where the file can't be written.
    """
    try:
        # The figure alone, since pyplot keeps state and looks for a screen.
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            'a PNG needs matplotlib: pip install "agno-portkey[plots]"'
        ) from None
    gates = gates_of(decided)
    figure = Figure(figsize=(10, _HIGH * len(gates) + 0.5), layout="constrained")
    axes = figure.subplots(len(gates), squeeze=False)
    named = {(each.swarm, each.gate): each for each in told}
    for (axis,), (key, ordered) in zip(axes, gates.items(), strict=True):
        _draw_gate(axis, ordered, named[key])
    figure.savefig(file, format="png", dpi=120)


def _draw_gate(axis: Any, ordered: Sequence[Decided], told: Report) -> None:
    title = f"gate {told.gate}" + (f" of {told.swarm}" if told.swarm else "")
    # A dollar begins a formula.
    axis.set_title(shown(title).replace("$", r"\$"), loc="left")
    for name, scores in scores_of(ordered).items():
        label = "score of the gate" if name is None else shown(f"check {name}")
        style = {"linewidth": 1.6, "color": "black"} if name is None else {"linewidth": 0.8}
        axis.plot(
            *zip(*scores, strict=True),
            marker=".",
            markersize=3,
            label=label.replace("$", r"\$"),
            **style,
        )
    rates = [(span.start, span.pass_rate.mean) for span in spans(ordered) if span.pass_rate]
    axis.step(
        *zip(*rates, strict=True), where="post", label="pass rate", color="green", linestyle=":"
    )
    for change in told.changes:
        axis.axvline(change.at, color="red" if change.moved else "grey", linewidth=0.8)
        parts = shown("; ".join(map(str, change.parts))).replace("$", r"\$")
        axis.annotate(parts, (change.at, 0.02), rotation=90, fontsize=6)
    axis.set_ylim(-0.02, 1.02)
    for at in told.shifts:
        axis.axvline(at, color="orange", linewidth=0.8, linestyle="--")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
