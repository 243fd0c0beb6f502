"""The records of an audit log as text: written into another file, or the newest of them."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agno_portkey.cli.csv_text import cell
from agno_portkey.errors import ConfigurationError, DatabaseGone

if TYPE_CHECKING:
    from auditchain import AuditRecord

    from agno_portkey.telemetry.audit import Reading

__all__ = ["Format", "follow", "newest", "write_records"]

_COLUMNS = (
    *("time", "run_id", "parent_run_id", "session_id", "user_id", "role", "swarm", "name"),
    *("status", "model", "provider", "input_tokens", "output_tokens", "total_tokens", "cost"),
    *("seconds", "error", "input_sha256", "output_sha256", "plan_digest"),
)
# Of a verdict: what is told of it beside the record.
_DECIDED = ("passed", "source", "score")
# What hooks write, beside what a log already has.
_KINDS = frozenset(
    {
        *("adjustment", "approval", "attempt", "batch", "budget", "cache", "call", "circuit"),
        *("contract", "critique", "declined", "embedding", "end", "gate", "guard", "judgement"),
        *("plan", "repaired", "search", "start", "stop", "tool"),
    }
)
# Seconds between two looks at a log that is followed.
_AGAIN = 0.2


class Format(StrEnum):
    jsonl = "jsonl"
    csv = "csv"


def write_records(
    reading: Reading,
    to: Path,
    form: Format,
    since: datetime | None,
    until: datetime | None,
    kinds: set[str],
) -> int:
    """Write the records that are asked for into `to`, all or none; how many they are.

    Raises ConfigurationError for a kind that no record has and no hook writes: it is mistyped.
    """
    chosen = _chosen(reading, since, until, kinds)
    # For the eyes of whoever runs this alone, and under a name that is nobody's.
    held, part = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.parent)
    try:
        with os.fdopen(held, "w", encoding="utf-8", newline="") as file:
            count = _write_csv(file, chosen) if form is Format.csv else _write_lines(file, chosen)
        _check(kinds, {*reading.report.kinds})
        os.replace(part, to)
    except BaseException:
        os.unlink(part)
        raise
    return count


def _check(asked: set[str], there: set[str]) -> None:
    if unknown := sorted(asked - there - _KINDS):
        raise ConfigurationError(
            f"--kind: no record is of the kind {' or '.join(map(repr, unknown))}, and nothing is "
            f"written. This log has {', '.join(sorted(there)) or 'no records'}; there are also "
            f"{', '.join(sorted(_KINDS - there))}"
        )


def _chosen(
    reading: Reading, since: datetime | None, until: datetime | None, kinds: set[str]
) -> Iterator[tuple[int, AuditRecord]]:
    for number, record in reading:
        at = datetime.fromisoformat(record.timestamp)
        if (
            (since is None or at >= since)
            and (until is None or at < until)
            and (not kinds or record.action in kinds)
        ):
            yield number, record


def _write_lines(file: TextIO, chosen: Iterable[tuple[int, AuditRecord]]) -> int:
    count = 0
    for number, record in chosen:
        told = {
            "line": number,
            "recorded": record.timestamp,
            "record": record.metadata,
            "hash": record.hash,
        }
        file.write(json.dumps(told) + "\n")
        count += 1
    return count


def _write_csv(file: TextIO, chosen: Iterable[tuple[int, AuditRecord]]) -> int:
    count = 0
    sheet = csv.writer(file, lineterminator="\n")
    sheet.writerow(("line", "recorded", "kind", *_COLUMNS, *_DECIDED, "data", "hash"))
    for number, record in chosen:
        facts = _facts(record.metadata)
        cells = (
            *(number, record.timestamp, record.action),
            *map(facts.get, (*_COLUMNS, *_DECIDED)),
            *(record.metadata.get("data"), record.hash),
        )
        sheet.writerow([cell(_text(each)) for each in cells])
        count += 1
    return count


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    """What a record says, of a run by itself, of an event in its data or verdict."""
    verdict = told.get("verdict")
    verdict = verdict if isinstance(verdict, dict) else {}
    facts: dict[str, Any] = {}
    # The last one that says something counts.
    for said in (verdict.get("evidence"), told.get("data"), verdict, told):
        if isinstance(said, dict):
            facts.update((name, value) for name, value in said.items() if value is not None)
    # Nobody else decides.
    return {**facts, "passed": verdict.get("passed"), "source": verdict.get("source")}


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def newest(path: Path, number: int) -> tuple[list[bytes], int]:
    """The last `number` lines of a log, and its length in bytes up to the end of the last one."""
    from agno_portkey.telemetry.audit.lines import tail_of

    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        lines = tail_of(file.fileno(), size)
        rest = next(lines)
        return list(islice(lines, number))[::-1], size - len(rest)


def follow(path: Path, end: int) -> Iterator[bytes]:
    """The lines that are added after the first `end` bytes; DatabaseGone if the log is cut."""
    from agno_portkey.telemetry.audit.lines import LONGEST

    with _opened(path) as file:
        held = os.fstat(file.fileno())
        while True:
            file.seek(end)
            while (line := file.readline(LONGEST)).endswith(b"\n"):
                end += len(line)
                yield line
            if len(line) == LONGEST:
                raise ConfigurationError(f"{path} goes on with a line that is longer than any")
            try:
                now = os.stat(path)
            except FileNotFoundError:
                raise DatabaseGone(_gone(path, "is not there any more")) from None
            if not os.path.samestat(held, now) or now.st_size < end:
                raise DatabaseGone(_gone(path, "was cut, or another file is in its place"))
            time.sleep(_AGAIN)


def _gone(path: Path, what: str) -> str:
    return (
        f"the audit log {path} {what}: see what `agno-portkey audit verify` says of it, put it "
        "back as it was, and follow it again"
    )


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise ConfigurationError(f"there is no log at {path}")
    return path.open("rb")
