"""Whether an audit log is as it was written: line by line, and against its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from auditchain import GENESIS_HASH, AuditRecord, Checkpoint

from agno_portkey.alone import let_go, take
from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.audit.checkpoints import Checkpoints, checkpoint_of
from agno_portkey.telemetry.audit.keys import Key
from agno_portkey.telemetry.audit.lines import (
    BLOCK,
    LONGEST,
    broke_off,
    is_part,
    opened,
    record_of,
)
from agno_portkey.telemetry.audit.log import REPAIRED

__all__ = ["Problem", "Reading", "Report"]

# Seconds that a reader waits for a writer to finish its line; and how many of a kind are told.
_PATIENCE = 5.0
_TOLD = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in which line (from 1 on; None: with the file) of the log or checkpoints.

    `last`, if it is given: the same is wrong in each line up to that one.
    """

    line: int | None
    why: str
    where: str = "log"
    last: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f" line {self.line}"
        if self.last is not None:
            place = f" lines {self.line} to {self.last}"
        return f"{self.where}{place}: {self.why}"

    @property
    def lines(self) -> int:
        """How many lines it is of; 1 for one that is of the file."""
        return 1 if self.line is None or self.last is None else self.last - self.line + 1


@dataclass(slots=True)
class Report:
    """What a log holds, and what speaks against it; `problems` and `backward` are the first 100.

    `wrong` counts lines; those that follow each other and have another key are one of `problems`.
    `cut`: so many lines, at least, are missing at the end. `foreign`: so
    many are sealed with another key than the one that was given.
    `backward`: lines whose clock was before the line's above them, with both times: the clock of
    the machine was set back, and the line is as it was written. `torn`: bytes at the end that a
    kill left of a line that was told to nobody. `mended`: lines that tell of such bytes, which the
    next writer took away. `unanchored`: lines after the last checkpoint; if they were cut off,
    nobody would see it.
    """

    path: Path
    lines: int = 0
    records: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None
    head: str | None = None
    checkpoints: int = 0
    unanchored: int = 0
    torn: int = 0
    mended: list[int] = field(default_factory=list)
    backward: list[tuple[int, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    wrong: int = 0
    cut: int = 0
    foreign: int = 0

    @property
    def ok(self) -> bool:
        return not self.wrong

    def add(self, line: int | None, why: str, where: str = "log", *, joined: bool = False) -> None:
        self.wrong += 1
        before = self.problems[-1] if self.problems else None
        if (
            joined
            and before is not None
            and before.line is not None
            and (before.where, before.why, before.line + before.lines) == (where, why, line)
        ):
            self.problems[-1] = Problem(before.line, why, where, line)
        elif len(self.problems) < _TOLD:
            self.problems.append(Problem(line, why, where))


class Reading:
    """Goes through a log once; `report` holds what was found, and is whole when that has ended.

    Writers may go on meanwhile: what was there at the beginning is read. Raises ConfigurationError
    where there is neither a log nor a checkpoint.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key: Key,
        checkpoints: str | os.PathLike[str] | None = None,
        *,
        moved: Callable[[int, int], object] | None = None,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        self.report = Report(self.path)
        self._key = key
        self._anchors = Checkpoints(self.path, checkpoints)
        self._given = checkpoints is not None
        self._moved = moved or (lambda done, size: None)
        # What is expected of the next line; no head: that of the line before can't be read.
        self._seq = 0
        self._head: str | None = GENESIS_HASH
        self._previous: AuditRecord | None = None
        self._open: dict[int, tuple[int, Checkpoint]] = {}
        self._anchored = -1
        self._spoilt: list[int] = []  # lines of the checkpoints

    @property
    def checkpoint_file(self) -> Path:
        return self._anchors.path

    def __iter__(self) -> Iterator[tuple[int, AuditRecord]]:
        """Each line's number and its record, of those that are as they were written."""
        # First: the lines that it tells of are in the log then.
        self._read_checkpoints()
        try:
            file = opened(self.path, "path")
        except FileNotFoundError:
            if not self._open:
                raise ConfigurationError(f"there is no {self.path}") from None
            seq = max(self._open)
            line, _ = self._open[seq]
            self.report.add(
                None,
                f"it is not there any more, and had {seq + 1} lines or more, as line "
                f"{line} of the checkpoints tells",
            )
            self.report.cut = seq + 1
            self._open.clear()
            self._end()
            return
        try:
            yield from self._lines(file)
        finally:
            os.close(file)
        self._end()

    def run(self) -> Report:
        """Go through all of it."""
        for _ in self:
            pass
        return self.report

    def _read_checkpoints(self) -> None:
        for number, line in enumerate(self._anchors.lines(), 1):
            whole = line.endswith(b"\n")
            found = checkpoint_of(line if whole else line + b"\n", self._key)
            if found is not None:
                self.report.checkpoints += 1
                before, known = self._open.setdefault(found.seq, (number, found))
                if known.hash != found.hash:
                    why = f"it tells of another line {found.seq + 1} than its line {before} does"
                    self.report.add(number, why, "checkpoints")
            elif not is_part(line, b'{"seq":'):
                self._spoilt.append(number)
        if self._given and not self.report.checkpoints:
            self.report.add(
                None,
                f"there are none in {self._anchors.path}; give what the log's writer was given",
                "checkpoints",
            )

    def _lines(self, file: int) -> Iterator[tuple[int, AuditRecord]]:
        # A writer that hangs has not written all of its line, which is told as torn.
        with suppress(TimeoutError):
            take(file, timeout=_PATIENCE, shared=True)
        size = os.fstat(file).st_size
        let_go(file)
        done, number = 0, 0
        with os.fdopen(os.dup(file), "rb") as lines:
            while done < size and (line := lines.readline(min(size - done, LONGEST))):
                done += len(line)
                if len(line) == LONGEST and not line.endswith(b"\n"):
                    done += _passed_over(lines, size - done)
                    line = b"\n"  # it is none that can be read
                elif not line.endswith(b"\n"):
                    self._torn(line)
                    break
                number += 1
                self.report.lines = number
                record = self._checked(number, line)
                if record is not None:
                    yield number, record
                self._moved(done, size)
        if done < size and not self.report.torn:
            self.report.add(None, "it was cut while it was read")

    def _checked(self, number: int, line: bytes) -> AuditRecord | None:
        record = record_of(line)
        if record is None:
            self.report.add(number, "it is not as this log writes a line: it was changed")
            self._seq, self._head, self._previous = self._seq + 1, None, None
            return None
        refusal = self._key.refusal(record)
        if (why := refusal or self._misplaced(record)) is not None:
            foreign = not self._key.sealed(record)
            self.report.foreign += foreign
            # Of a key that is the wrong one it is said once, and not of each line.
            self.report.add(number, why, joined=foreign)
        else:
            self._count(number, record)
        self._compare(number, record)
        self._seq, self._head, self._previous = record.seq + 1, record.hash, record
        return record if why is None else None

    def _misplaced(self, record: AuditRecord) -> str | None:
        if record.seq > self._seq:
            return (
                f"what was line {self._seq + 1} is missing before it: it was line {record.seq + 1}"
            )
        if record.seq < self._seq:
            return f"it stands in another place than it was written: it was line {record.seq + 1}"
        if self._head is not None and record.prev_hash != self._head:
            return "it does not follow from the line before it, which is another one than it was"
        return None

    def _count(self, number: int, record: AuditRecord) -> None:
        report, before = self.report, self._previous
        report.records += 1
        report.kinds[record.action] = report.kinds.get(record.action, 0) + 1
        report.first = report.first or record.timestamp
        report.last, report.head = record.timestamp, record.hash
        if record.action == REPAIRED:
            report.mended.append(number)
        if before is not None and record.timestamp < before.timestamp:
            report.backward.append((number, before.timestamp, record.timestamp))
            del report.backward[_TOLD:]

    def _compare(self, number: int, record: AuditRecord) -> None:
        if (known := self._open.get(record.seq)) is None:
            return
        line, anchor = known
        del self._open[record.seq]
        if anchor.hash != record.hash:
            self.report.add(number, f"it is another one than line {line} of the checkpoints tells")
        elif anchor.timestamp != record.timestamp:
            self.report.add(line, "its time was changed", "checkpoints")
        else:
            self._anchored = max(self._anchored, record.seq)

    def _torn(self, rest: bytes) -> None:
        self.report.torn = len(rest)
        if not broke_off(rest, self._previous):
            self.report.add(self.report.lines + 1, "it is no part of a line that was written here")

    def _end(self) -> None:
        for number in self._spoilt:
            why = "it was changed, or signed with another key"
            self.report.add(number, why, "checkpoints", joined=True)
        if self._open:
            seq = max(self._open)
            line, _ = self._open[seq]
            # Those above are lines that can't be read, or are not in their place: told already.
            if seq >= self._seq or self.report.ok:
                self.report.cut = max(1, seq + 1 - self._seq)
                self.report.add(
                    None,
                    f"it has {self.report.lines} whole lines, and had {seq + 1} or more, as line "
                    f"{line} of the checkpoints tells: it was cut",
                )
        self.report.unanchored = max(0, self._seq - 1 - self._anchored)


def _passed_over(lines: BinaryIO, left: int) -> int:
    """How many of the `left` bytes belong to the line that was begun to be read."""
    count = 0
    while count < left and (part := lines.readline(min(left - count, BLOCK))):
        count += len(part)
        if part.endswith(b"\n"):
            break
    return count
