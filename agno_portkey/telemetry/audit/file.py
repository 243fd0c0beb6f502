"""The file of an audit log: one process at a time adds lines to it, and mends what a kill left."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from auditchain import AuditRecord, BaseLock, StorageBackend

from agno_portkey.alone import let_go, take
from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.telemetry.audit.checkpoints import Checkpoints, append
from agno_portkey.telemetry.audit.keys import Key
from agno_portkey.telemetry.audit.lines import broke_off, line_of, record_of, tail_of

__all__ = ["Held", "LogFile"]

_FLAGS = os.O_RDWR | os.O_APPEND


class Held(BaseLock):
    """Tells a chain that its file is shared, and that whoever asks it has the file already."""

    def acquire(self) -> None: ...

    def release(self) -> None: ...


class LogFile(StorageBackend):
    """Where a chain's records go; all of it happens inside of `alone`.

    It remembers how the file was when it was left: a shorter one, or another one in its place, is
    refused (DatabaseGone), as is one that its checkpoints say was longer.
    """

    def __init__(self, path: Path, key: Key, anchors: Checkpoints, *, sync: bool) -> None:
        self.path = path
        self._key = key
        self._anchors = anchors
        self._sync = sync
        self._queue = path.with_name(f"{path.name}.queue")
        self._held: set[int] = set()
        self._file = -1
        self._left: tuple[int, int, int] | None = None  # device, inode, size
        self._last: AuditRecord | None = None

    @contextmanager
    def alone(self, timeout: float | None = None) -> Iterator[None]:
        """Have the file alone; TimeoutError after so many seconds, if `timeout` is given."""
        with self._at_hand(self._waited(timeout)) as self._file:
            try:
                yield
            finally:
                self._file = -1

    @contextmanager
    def _at_hand(self, file: int) -> Iterator[int]:
        self._held.add(file)
        try:
            yield file
        finally:
            self._held.discard(file)
            # Not left to the closing: a child that was forked meanwhile may have the file as well.
            let_go(file)
            os.close(file)

    def _waited(self, timeout: float | None) -> int:
        # A lock goes to whoever asks first once it is free, which is who has just had it. So one
        # has to queue for it in another file, where the next one stands already. Without that
        # file all is as safe, and less fair.
        queue = os.open(self._queue, os.O_RDWR | os.O_CREAT, 0o600)
        with self._at_hand(queue):
            take(queue, timeout=timeout)
            return self._opened(timeout)

    def _opened(self, timeout: float | None) -> int:
        while True:
            try:
                file = os.open(self.path, _FLAGS | (os.O_CREAT if self._may_make() else 0), 0o600)
            except FileNotFoundError:
                raise DatabaseGone(self._gone("is not there any more")) from None
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise ConfigurationError(f"path: {self.path} is no file that can be chained")
                take(file, timeout=timeout)
                if self._is_at_path(file):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # another one was put in its place while this one was waited for

    def _may_make(self) -> bool:
        return self._left is None and self._anchors.newest(self._key) is None

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def forked(self) -> None:
        """Let go of what a parent process had in hand."""
        while self._held:
            os.close(self._held.pop())

    def mend(self) -> dict[str, Any] | None:
        """See that the file goes on where it was left; what was taken away of a line, if any was.

        A line is finished before it counts, so what a kill left of one was told to nobody.
        """
        found = os.fstat(self._file)
        was = self._left
        if was is not None:
            if was == (found.st_dev, found.st_ino, found.st_size):
                return None
            same = was[:2] == (found.st_dev, found.st_ino) and found.st_size >= was[2]
            if not same or not self._goes_on_from(was[2]):
                raise DatabaseGone(self._gone("was cut, or another file is in its place"))
        lines = tail_of(self._file, found.st_size)
        rest, line = next(lines), next(lines, None)
        last = None if line is None else self._record(line)
        if self._left is None:
            self._compare(last)
        taken = None
        if rest:
            last, taken = self._mended(rest, last, found.st_size - len(rest))
        self._leave(last)
        return taken

    def _goes_on_from(self, size: int) -> bool:
        """Whether its first `size` bytes still end with the line that was the last one then."""
        _, line, *_ = *islice(tail_of(self._file, size), 2), None
        return line == (None if self._last is None else line_of(self._last))

    def _record(self, line: bytes) -> AuditRecord:
        record = record_of(line)
        why = "it is no line of such a log" if record is None else self._key.refusal(record)
        if record is None or why is not None:
            raise ConfigurationError(
                f"path: the last line of {self.path} is not one to go on from: {why}. See what "
                "`agno-portkey audit verify` says, and begin another log"
            )
        return record

    def _compare(self, last: AuditRecord | None) -> None:
        anchor = self._anchors.newest(self._key)
        if anchor is None:
            return
        if last is None or last.seq < anchor.seq:
            lines = 0 if last is None else last.seq + 1
            raise DatabaseGone(self._gone(f"has {lines} lines, and had {anchor.seq + 1}"))
        if last.seq == anchor.seq and last.hash != anchor.hash:
            raise DatabaseGone(self._gone("is another one than its checkpoints are of"))

    def _mended(
        self, rest: bytes, last: AuditRecord | None, size: int
    ) -> tuple[AuditRecord | None, dict[str, Any] | None]:
        """The last record, and what was taken away, now that no more follows the last line."""
        if not broke_off(rest, last):
            raise ConfigurationError(
                f"path: {self.path} ends with {len(rest)} bytes that are no part of a line. See "
                "what `agno-portkey audit verify` says, and begin another log"
            )
        whole = record_of(rest + b"\n")
        if whole is not None and self._key.refusal(whole) is None:
            append(self._file, b"\n", sync=self._sync)  # only its end was missing
            return whole, None
        os.ftruncate(self._file, size)
        return last, {"bytes": len(rest), "sha256": f"sha256:{hashlib.sha256(rest).hexdigest()}"}

    def _leave(self, last: AuditRecord | None) -> None:
        found = os.fstat(self._file)
        self._left, self._last = (found.st_dev, found.st_ino, found.st_size), last

    async def init(self) -> None: ...

    async def close(self) -> None: ...

    async def load(self) -> list[AuditRecord]:
        return []  # the last one is asked for each time

    async def load_last(self) -> AuditRecord | None:
        return self._last

    async def append(self, record: AuditRecord) -> None:
        await self.append_many([record])

    async def append_many(self, records: Sequence[AuditRecord]) -> None:
        """Add all of `records`, or none."""
        size = os.fstat(self._file).st_size
        try:
            append(self._file, b"".join(map(line_of, records)), sync=self._sync)
            if not size and self._sync:
                _sync_folder(self.path.parent)
        except BaseException:
            os.ftruncate(self._file, size)
            raise
        self._leave(records[-1])

    def _gone(self, what: str) -> str:
        return (
            f"the audit log {self.path} {what}: put it back as it was, or begin another log under "
            "another name; its checkpoints are in "
            f"{self._anchors.path}"
        )


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
