"""The load test, in its quick form: it plays, finds no fault, and says what it is to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "benchmarks" / "chats.py"


def test_a_few_chats() -> None:
    command = [sys.executable, str(BENCH), "--seconds", "3", "--chats", "5", "--think", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("chats answered", "cache hits", "gate passes", "incidents", "another's"):
        [line] = [
            line
            for line in done.stdout.splitlines()
            if line.startswith(("answers of", said)) and said in line
        ]
        assert "target" in line
    [crossed] = [line for line in done.stdout.splitlines() if "another's" in line]
    assert crossed.endswith("met")
    assert "p95 over bare AgentOS" in done.stdout
