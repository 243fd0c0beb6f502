"""`agno-portkey gate history` and `gate report` show what was decided, or say why they can't."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gate_decisions import decided, scored_at
from PIL import Image
from postgres_server import PostgresServer
from typer.testing import CliRunner, Result

from agno_portkey.cli import app
from agno_portkey.gates.history import History
from agno_portkey.stopping import DATABASE_VARIABLE

COMMANDS = ("history", "report")
MINI, LARGE = {"Judge.model": "gpt-4o-mini"}, {"Judge.model": "gpt-4.1"}


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["gate", *arguments], env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with twenty decisions of `release`, whose judge's model changed, and two more."""
    file = str(tmp_path_factory.mktemp("history") / "agno.db")
    history = History(file)
    for number in range(20):
        before = number < 10
        score = 0.8 if before else 0.6
        versions = MINI if before else LARGE
        reasons = () if before else (f"no way back {number}",)
        history.put(
            scored_at(number, score + number / 1000, versions=versions, reasons=reasons, cost=0.25)
        )
    now = datetime.now(UTC)
    spoken = ("=HYPERLINK(1) \x9b31m[red]words[/red]\u202e", "another")
    history.put(decided(gate="budget", swarm="Sales", at=now, reasons=spoken, by="kim"))
    history.put(decided(gate="budget", swarm="Sales", at=now - timedelta(days=2), mode="observe"))
    return file


def test_the_newest_decisions_are_shown(filled: str) -> None:
    result = command("history", "--db", filled, "--gate", "release", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert "Gate release of Release" in result.stdout
    for shown in ("no way back 18", "no way back 19", "0.62", "fail"):
        assert shown in result.stdout


def test_words_of_models_do_nothing_to_the_terminal(filled: str) -> None:
    result = command("history", "--db", filled, "--since", "1d")
    assert not {"\x9b", "\u202e"} & {*result.stdout}
    assert "[red]words[/red]" in result.stdout
    assert "pass (by kim)" in result.stdout
    assert "pass (observe)" in command("history", "--db", filled, "--since", "3d").stdout


def test_history_as_csv_and_json(filled: str, tmp_path: Path) -> None:
    result = command("history", "--db", filled, "--format", "csv", "--swarm", "Sales")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) == 2
    assert rows[1]["check judgement"] == "0.8"
    # A spreadsheet takes it for a text.
    assert rows[1]["reasons"].startswith("'=HYPERLINK(1)")
    told = json.loads(command("history", "--db", filled, "--format", "json").stdout)
    assert len(told) == 22
    assert told[0]["versions"] == MINI
    file = tmp_path / "out.json"
    written = command("history", "--db", filled, "--format", "json", "--out", str(file))
    assert (written.exit_code, written.stdout) == (0, "")
    assert json.loads(file.read_text(encoding="utf-8")) == told


def test_a_report_names_the_change(filled: str) -> None:
    result = command("report", "--db", filled, "--gate", "release")
    assert result.exit_code == 0, result.output
    assert "Judge.model: gpt-4o-mini -> gpt-4.1: the score moved from 0.80 to 0.61" in result.stdout
    assert "versions, one after the other" in result.stdout
    sides = command("report", "--db", filled, "--gate", "release", "--by", "version")
    assert "versions, side by side" in sides.stdout


def test_a_report_in_which_nothing_moved_says_so(filled: str) -> None:
    result = command("report", "--db", filled, "--gate", "budget")
    assert "No score moved so far" in result.stdout


def test_a_report_as_csv_and_json(filled: str) -> None:
    result = command("report", "--db", filled, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    first = [(row["gate"], row["measure"]) for row in rows if not row["parts"]]
    assert first == [
        (gate, name) for gate in ("release", "budget") for name in ("score", "pass rate")
    ]
    moved = {row["measure"]: row["moved"] for row in rows if row["parts"]}
    assert moved == {"score": "True", "score of judgement": "True", "pass rate": "True"}
    parts = {row["parts"] for row in rows} - {""}
    assert parts == {"Judge.model: gpt-4o-mini -> gpt-4.1"}
    told = json.loads(command("report", "--db", filled, "--format", "json").stdout)
    assert [each["gate"] for each in told] == ["release", "budget"]


@pytest.mark.parametrize("name", COMMANDS)
def test_it_is_plotted_in_the_terminal_and_as_a_picture(
    name: str, filled: str, tmp_path: Path
) -> None:
    file = tmp_path / "gates.png"
    result = command(name, "--db", filled, "--format", "plot", "--png", str(file))
    assert result.exit_code == 0, result.output
    assert "█" in result.stdout
    assert "Judge.model: gpt-4o-mini -> gpt-4.1" in result.stdout
    # A minute each: the seventh of eight steps, and the fifth.
    assert f"score 0-1: {'▇' * 10}{'▅' * 10}" in result.stdout
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        # Something is drawn: not one colour alone.
        assert len(picture.convert("L").getcolors() or ()) > 10


def test_a_picture_shows_where_a_score_moved_by_itself(tmp_path: Path) -> None:
    database, file = str(tmp_path / "agno.db"), tmp_path / "gates.png"
    history = History(database)

    def drawn() -> int:
        """How many pixels are of the colour of a shift."""
        result = command("history", "--db", database, "--png", str(file))
        assert result.exit_code == 0, result.output
        with Image.open(file) as picture:
            colours = picture.convert("RGB").getcolors(1 << 24) or ()
        return sum(count for count, (r, g, b) in colours if r > 240 and 140 < g < 200 and b < 90)

    for number in range(30):
        history.put(scored_at(number, 0.8 + number % 3 / 100))
    assert drawn() == 0
    for number in range(30, 60):
        history.put(scored_at(number, 0.6 + number % 3 / 100))
    assert drawn() > 0


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_yet_is_said(name: str, tmp_path: Path) -> None:
    file = tmp_path / "agno.db"
    file.touch()
    for form, empty in (("table", ""), ("json", "[]\n"), ("plot", "")):
        result = command(name, "--db", str(file), "--format", form)
        assert (result.exit_code, result.stdout) == (0, empty)
        assert "No gate has decided anything in this database yet." in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_that_is_mistyped_is_said(name: str, filled: str) -> None:
    result = command(name, "--db", filled, "--gate", "relaese")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Gates: budget, release (did you mean release?)" in result.stderr
    other = command(name, "--db", filled, "--swarm", "sale", "--gate", "budget")
    assert other.exit_code == 3
    assert "swarms: Release, Sales (did you mean Sales?)" in other.stderr
    assert "did you mean budget" not in other.stderr


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("since", ["yesterday", "7", "7y", "-1d", "2026-13-01", "999999w"])
def test_a_time_that_is_none_is_said(name: str, since: str, filled: str) -> None:
    result = command(name, "--db", filled, "--since", since)
    assert result.exit_code == 1
    assert f"'{since}' is no time: give 90m" in result.stderr


def test_times_are_taken(filled: str) -> None:
    def count(*arguments: str) -> int:
        told = command("history", "--db", filled, "--format", "json", *arguments)
        return len(json.loads(told.stdout))

    assert count("--since", "2026-05-01T12:10") - count("--since", "2026-05-01T12:15Z") == 5
    assert count("--until", "2026-05-01 12:10") == 10
    assert count("--since", "2w", "--until", "1d") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_which_database_is_asked(
    name: str, filled: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(DATABASE_VARIABLE, raising=False)
    assert "Which database? Give --db" in command(name).stderr
    missing = command(name, "--db", str(tmp_path / "no.db"))
    assert missing.exit_code == 1
    assert "There is no database" in missing.stderr
    assert [*tmp_path.iterdir()] == []
    monkeypatch.setenv(DATABASE_VARIABLE, filled)
    assert command(name).exit_code == 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("sqlite://", "in memory"),
        ("postgresql://user:pa55word@host:port/x", "an address such as"),
        ("postgresql://user:pa55word@127.0.0.1:1/x", "The history can't be read"),
        ("mysql://user:pa55word@host/x", "the history of gates can't be kept"),
    ],
)
def test_a_database_that_can_not_be_read_is_said(name: str, database: str, said: str) -> None:
    result = command(name, "--db", database)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "pa55word" not in result.output
    assert "Traceback" not in result.output


def test_postgres_is_read_by_its_address(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    History(url).put(decided())
    assert "release of Release" in command("history", "--db", url).stdout


def test_what_can_not_be_written_is_said(filled: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no" / "file")
    for arguments in (["--png", nowhere], ["--format", "csv", "--out", nowhere]):
        result = command("history", "--db", filled, *arguments)
        assert result.exit_code == 1
        assert "can't be written: No such file or directory" in result.stderr
    wrong = command("history", "--db", filled, "--out", str(tmp_path / "x"))
    assert wrong.exit_code == 1
    assert "--out takes CSV or JSON" in wrong.stderr


_WITHOUT = """
import sys
sys.modules["matplotlib"] = None
from agno_portkey.cli import app
app(["gate", "history", "--db", sys.argv[1], "--png", sys.argv[2]])
"""


def test_a_picture_without_matplotlib_names_the_extra(filled: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, filled, str(tmp_path / "x.png")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert done.returncode == 1
    assert 'pip install "agno-portkey[plots]"' in done.stderr
    assert "release of Release" in done.stdout
