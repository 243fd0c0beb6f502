"""The table of the history has a line for each decision; a picture is drawn without a word."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gate_decisions import NOON, decided, scored_at
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.gates.history import History, Scored, reports
from agno_portkey.gates.history.plots import draw

LONG = "its score is 6.1 after 16 samples (5.2 to 7), and 7 is needed, which nothing can change"


def table(file: Path, *arguments: str, columns: int = 80) -> list[str]:
    given = ["gate", "history", "--db", str(file), *arguments]
    result = CliRunner().invoke(app, given, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def kept(file: Path, *several: dict[str, Any]) -> Path:
    history = History(str(file))
    for number, fields in enumerate(several):
        history.put(decided(at=NOON + timedelta(minutes=number), **fields))
    return file


REFUSED = {"passed": False, "outcome": "underpowered", "reasons": (LONG, "another"), "by": None}


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_decision_takes_one_line(tmp_path: Path, columns: int) -> None:
    of_one = ({}, REFUSED, {"by": "somebody-with-a-name@a-machine", "mode": "observe"})
    file = kept(tmp_path / "a.db", *of_one)
    title, header, *rows, caption = table(file, columns=columns)
    assert title.strip() == "Gate release of Release"
    assert header.split() == ["at", "(UTC)", "outcome", "score", "reason"]
    assert [row[:16] for row in rows] == [f"2026-05-01 12:0{number}" for number in range(3)]
    assert all(len(row) <= columns for row in rows)
    assert "(1 of 2) its sc" in rows[1]
    assert "--format csv or json" in caption


def test_what_all_have_in_common_stands_above(tmp_path: Path) -> None:
    two = kept(tmp_path / "two.db", {}, {"gate": "budget", **REFUSED})
    title, header, *rows, _ = table(two)
    assert title.strip() == "Gates of Release"
    assert header.split() == ["at", "(UTC)", "gate", "outcome", "score", "reason"]
    assert [row.split()[2] for row in rows] == ["release", "budget"]
    assert [len(rows), max(map(len, rows)) <= 80] == [2, True]
    assert table(two, "--gate", "budget")[0].strip() == "Gate budget of Release"
    swarms = kept(tmp_path / "swarms.db", {}, {"swarm": "Sales"})
    title, _, *rows, _ = table(swarms)
    assert title.strip() == "Gate release"
    assert ["of Release" in rows[0], "of Sales" in rows[1]] == [True, True]


def test_a_report_of_one_version_has_its_figures_in_csv(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    for minute in range(6):
        History(str(file)).put(scored_at(minute, 0.5 + minute / 10))
    given = ["gate", "report", "--db", str(file), "--format", "csv"]
    rows = [*csv.DictReader(io.StringIO(CliRunner().invoke(app, given).stdout))]
    assert [row["measure"] for row in rows] == ["score", "pass rate"]
    score, rate = rows
    assert (float(score["after"]), score["after_count"]) == (pytest.approx(0.75), "6")
    assert float(rate["after"]) == pytest.approx(4 / 6)
    assert {row[name] for row in rows for name in ("parts", "before", "p", "moved")} == {""}


def named(number: int) -> Scored:
    name = f"a check with a name that is rather long, {number}"
    return Scored(check=name, outcome="pass", score=0.5, threshold=0.5)


# What makes Matplotlib complain, each by itself.
AWKWARD: dict[str, list[dict[str, Any]]] = {
    "letters that no font has": [{"gate": "\u53d1\u5e03"}],
    "more checks than there is room": [{"checks": tuple(map(named, range(40)))}],
    "names that are long": [{"gate": "g" * 200, "swarm": "s" * 300}],
    "versions that are long": [{"versions": {"Judge.model": "x" * n}} for n in (10, 400)],
    "nothing but what waits": [{"passed": False, "outcome": "waiting"}],
}


@pytest.mark.parametrize("several", AWKWARD.values(), ids=AWKWARD)
def test_nothing_is_said_while_a_picture_is_drawn(
    several: list[dict[str, Any]], tmp_path: Path
) -> None:
    file, png = kept(tmp_path / "a.db", *several), tmp_path / "gates.png"
    nowhere = tmp_path / "a file"
    nowhere.touch()
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from agno_portkey.cli import app; app()"),
            *("gate", "report", "--db", str(file), "--png", str(png)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        # Its own folder can't be made.
        env={**os.environ, "MPLCONFIGDIR": str(nowhere / "matplotlib")},
    )
    assert (done.returncode, done.stderr) == (0, f"Drawn: {png}\n")
    assert png.read_bytes().startswith(b"\x89PNG")


def test_what_people_alone_have_decided_is_not_drawn(tmp_path: Path) -> None:
    file, png = kept(tmp_path / "a.db", {"by": "ann"}), tmp_path / "gates.png"
    given = ["gate", "report", "--db", str(file), "--png", str(png)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "there is nothing to compare or draw" in result.stderr
    assert not png.exists()


@pytest.mark.parametrize(
    ("minutes", "span"), [((0,), 1), ((0, 0.4, 2.6), 3), ((3, 5), 3), ((0, 60 * 24), 60 * 25)]
)
def test_a_picture_is_as_long_as_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: tuple[float, ...], span: float
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import num2date
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    several = [scored_at(each, 0.8) for each in minutes]
    draw(several, reports(several), tmp_path / "gates.png")
    [axis] = drawn[0].axes
    begins, ends = map(num2date, axis.get_xlim())
    assert begins == NOON + timedelta(minutes=minutes[0])
    assert ends - begins == timedelta(minutes=span)
    # The last rate is drawn to the end, and the day is said once, with its zone.
    assert axis.get_lines()[-1].get_xdata()[-1] == ends
    assert axis.get_xlabel() == "UTC"
    FigureCanvasAgg(drawn[0]).draw()
    assert "2026-May" in axis.xaxis.get_offset_text().get_text()
