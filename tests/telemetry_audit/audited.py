"""Logs as the tests of the audit log write and read them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from agno_portkey.telemetry.audit import AuditLog, Report, verify

KEY = b"0123456789abcdef0123456789abcdef"
OTHER = b"another key of 32 bytes, as said"


def log(path: Path, **options: Any) -> AuditLog:
    return AuditLog(path, **{"key": KEY, "sync": False, **options})


def written(path: Path, count: int, *, begin: int = 0, **options: Any) -> AuditLog:
    """A log with so many records, numbered from `begin` on."""
    made = log(path, **options)
    for number in range(begin, begin + count):
        made({"kind": "call", "run_id": f"run-{number}", "data": {"number": number}})
    return made


def checked(path: Path, **options: Any) -> Report:
    return verify(path, **{"key": KEY, **options})


def numbers(path: Path) -> list[int]:
    """The numbers of the records in a log, as they stand there."""
    stored = [json.loads(line) for line in path.read_bytes().splitlines(keepends=True)]
    return [each["meta"]["data"]["number"] for each in stored if each["action"] == "call"]


def child(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that runs `script`."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
