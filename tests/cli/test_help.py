"""What `--help` says is set in paragraphs, as wide as the terminal is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from click import Command
from typer.main import get_command
from typer.testing import CliRunner

from agno_portkey.cli import app


def commands(command: Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    return [path, *(found for name in inner for found in commands(inner[name], (*path, name)))]


EVERY = commands(get_command(app))


def said(*path: str, width: int) -> str:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_no_line_is_broken_before_it_is_full(path: tuple[str, ...]) -> None:
    width = 70
    above = said(*path, width=width).partition("╭")[0]
    lines = [line.strip() for line in above.splitlines()]
    for line, after in pairwise(lines):
        if line and after:
            assert len(line) + 1 + len(after.split()[0]) > width - 2, (line, after)


def test_whatever_can_be_stopped_is_named() -> None:
    for name in ("stop", "resume"):
        told = " ".join(said(name, width=200).split())
        assert "The name of a team or workflow, or of an agent that is in none" in told
