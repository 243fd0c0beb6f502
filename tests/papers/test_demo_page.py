"""What the page says that the demo prints is what the demo prints."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from agno_portkey.cli import app

PATH = Path(__file__).parents[2] / "docs" / "demo.md"
PAGE = PATH.read_text(encoding="utf-8")


def test_the_recording_is_what_the_demo_prints(tmp_path: Path) -> None:
    record = tmp_path / "demo.txt"
    assert CliRunner().invoke(app, ["demo", "--record", str(record)]).exit_code == 0
    printed = PAGE.split("<!-- demo -->")[1].split("<!-- /demo -->")[0].strip().strip("`")
    assert steady(printed) == steady(record.read_text(encoding="utf-8"))


def steady(text: str) -> list[str]:
    """The words of a recording without ports, times and the table's rulings."""
    text = re.sub(r"127\.0\.0\.1:\d+", "HOST", text)
    text = re.sub(r"\d+ ms", "N ms", text)
    rows = (re.sub(r"[─━┏┓┳┡┩╇└┘┴├┤┼╭╮╰╯]+", " ", row) for row in text.splitlines())
    # The last two columns of the table are times.
    rows = (re.sub(r"(│[^│]*){2}│$", "│", row.rstrip()) for row in rows)
    return [word for row in rows for word in row.split()]


def record() -> None:
    """Write the demo's recording into the page: `python tests/papers/test_demo_page.py`."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        assert CliRunner().invoke(app, ["demo", "--record", file.name]).exit_code == 0
        rows = Path(file.name).read_text(encoding="utf-8").rstrip().splitlines()
    before, rest = PAGE.split("<!-- demo -->")
    _, after = rest.split("<!-- /demo -->")
    shown = "\n".join(["", "```", *(row.rstrip() for row in rows), "```", ""])
    PATH.write_text(f"{before}<!-- demo -->{shown}<!-- /demo -->{after}", encoding="utf-8")


if __name__ == "__main__":
    record()
