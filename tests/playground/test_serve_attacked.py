"""`serve` under attack: hasty signals, modules that end the process, files that others read."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from playing import SECONDS
from test_serve import MAIN, TEAM, answers, port_of, refused

HOME = "http://127.0.0.1:9"


def begun(folder: Path, *args: str, **environment: str) -> tuple[subprocess.Popen[str], list[str]]:
    """The command, and what it has said until it serves."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PORTKEY_", "AGNO_PORTKEY_J"))}
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", "0", *args],
        cwd=folder,
        env={**kept, "COLUMNS": "200", "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("Ctrl-C"):
            break
    return process, lines


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_more_signals_while_it_ends_break_nothing_off(
    tmp_path: Path, first: signal.Signals
) -> None:
    process, lines = begun(tmp_path)
    [gateway] = [port_of(line) for line in lines if line.startswith("Gateway")]
    assert answers(gateway)
    process.send_signal(first)
    for number in (signal.SIGINT, signal.SIGTERM) * 100:
        try:
            # As somebody does who holds Ctrl-C down.
            process.wait(0.02)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    rest, _ = process.communicate(timeout=3 * SECONDS)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert "Stopped." in rest
    assert not answers(gateway)


@pytest.mark.parametrize("code", ["0", "3", "'some words'", ""])
def test_a_module_that_ends_the_process_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "quits.py").write_text(f"import sys\nsys.exit({code})\n")
    monkeypatch.chdir(tmp_path)
    said = refused("quits.py:team", "--port", "0", PORTKEY_BASE_URL=HOME)
    assert "can't import quits.py (SystemExit" in said


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_what_is_said_is_kept_in_a_file_of_its_owners_alone(tmp_path: Path, mask: int) -> None:
    (tmp_path / "mine.py").write_text(TEAM)
    before = os.umask(mask)
    try:
        process, lines = begun(tmp_path, "mine.py:team", PORTKEY_BASE_URL=HOME)
    finally:
        os.umask(before)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=3 * SECONDS)
    assert process.returncode == 0, (lines, rest)
    made = [each for each in tmp_path.iterdir() if each.name.startswith("agno-portkey.db")]
    assert made
    assert {oct(stat.S_IMODE(each.stat().st_mode)) for each in made} == {"0o600"}
