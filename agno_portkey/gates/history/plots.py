"""The history as a picture: a PNG by matplotlib, or bars in the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from agno_portkey.documents import private
from agno_portkey.errors import MissingExtraError
from agno_portkey.gates.history.record import Decided
from agno_portkey.gates.history.report import Report
from agno_portkey.gates.history.series import Span, gates_of, scores_of, spans
from agno_portkey.verdict import shown

__all__ = ["bars", "draw", "spark"]

_TICKS = "▁▂▃▄▅▆▇█"
_WIDE = 30
# Inches of a gate, and of a line beside it; characters of a name.
_HIGH, _LINE = 3.0, 0.15
_LONG = 60


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
    told = span.decisions - span.waiting
    rate = span.passed / told if told else 0.0
    style = "green" if rate >= 0.85 else "yellow" if rate >= 0.5 else "red"
    return (
        Text("█" * round(rate * _WIDE) or "▏", style),
        f"{span.passed} of {told}" + (f", {span.waiting} waiting" if span.waiting else ""),
        "" if span.score is None else f"{span.score.mean:.2f}",
        "" if span.cost is None else f"${span.cost:.4f}",
    )


def draw(decided: Sequence[Decided], told: Sequence[Report], file: Path) -> None:
    """Write scores, pass rates and changes of each gate that is `told` of to `file`, as a PNG.

    Raises MissingExtraError without matplotlib, and OSError where the file can't be written.
    """
    with _quiet():
        try:
            # The figure alone, since pyplot keeps state and looks for a screen.
            from matplotlib.figure import Figure
        except ImportError:
            raise MissingExtraError(
                'a PNG needs matplotlib: pip install "agno-portkey[plots]"'
            ) from None
        gates = gates_of(decided)
        pairs = [(each, gates[each.swarm, each.gate]) for each in told]
        heights = [max(_HIGH, _LINE * (len(scores_of(ordered)) + 1)) for _, ordered in pairs]
        figure = Figure(figsize=(10, sum(heights) + 0.5), layout="constrained")
        axes = figure.subplots(len(pairs), squeeze=False, height_ratios=heights)
        for (axis,), (each, ordered) in zip(axes, pairs, strict=True):
            _draw_gate(axis, ordered, each)
        with open(file, "wb", opener=private) as held:
            figure.savefig(held, format="png", dpi=120)


@contextmanager
def _quiet() -> Iterator[None]:
    """Matplotlib says nothing of its fonts, folders and layout: a picture is made all the same."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _drawn(text: str) -> str:
    """`text` as a name in a picture: not too long, and a dollar begins no formula."""
    text = shown(text)
    short = text if len(text) <= _LONG else text[: _LONG - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return short.replace("$", r"\$")


def _draw_gate(axis: Any, ordered: Sequence[Decided], told: Report) -> None:
    of = f" of {_drawn(told.swarm)}" if told.swarm else ""
    axis.set_title(f"gate {_drawn(told.gate)}{of}", loc="left")
    for name, scores in scores_of(ordered).items():
        label = "score of the gate" if name is None else _drawn(f"check {name}")
        style = {"linewidth": 1.6, "color": "black"} if name is None else {"linewidth": 0.8}
        axis.plot(
            *zip(*scores, strict=True),
            marker=".",
            markersize=3,
            label=label,
            **style,
        )
    drawn = spans(ordered)
    rated = [(span, span.pass_rate.mean) for span in drawn if span.pass_rate]
    rates = [(span.start, rate) for span, rate in rated]
    rates += [(span.end, rate) for span, rate in rated[-1:]]
    axis.step(
        [start for start, _ in rates],
        [rate for _, rate in rates],
        where="post",
        label="pass rate",
        color="green",
        linestyle=":",
    )
    for change in told.changes:
        axis.axvline(change.at, color="red" if change.moved else "grey", linewidth=0.8)
        parts = _drawn("; ".join(map(str, change.parts)))
        axis.annotate(parts, (change.at, 0.02), rotation=90, fontsize=6)
    _set_limits(axis, drawn)
    for at in told.shifts:
        axis.axvline(at, color="orange", linewidth=0.8, linestyle="--")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)


def _set_limits(axis: Any, drawn: Sequence[Span]) -> None:
    """Have the axis be as long as what is `drawn`, and say its day once."""
    # Its functions have no types.
    dates: Any = import_module("matplotlib.dates")
    axis.set_ylim(-0.02, 1.02)
    # One that matplotlib chooses is years long for a single decision.
    axis.set_xlim(drawn[0].start, drawn[-1].end)
    locator = dates.AutoDateLocator(tz=UTC)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axis.set_xlabel("UTC", fontsize=8)
