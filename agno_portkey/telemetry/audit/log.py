"""`AuditLog`: where an `AuditHook` writes what can't be changed afterwards without being seen."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import auditchain

from agno_portkey.drivers import step
from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.audit.checkpoints import Checkpoints
from agno_portkey.telemetry.audit.file import Held, LogFile
from agno_portkey.telemetry.audit.keys import Key, find_key
from agno_portkey.telemetry.audit.lines import LONGEST, opened, plain, record_of

__all__ = ["REPAIRED", "AuditLog"]

# The kind of record that tells of a broken line that was taken away.
REPAIRED = "repaired"
# Seconds that the end of a process waits for others that write.
_AT_EXIT = 5.0
# Records, each with the thread that waits for it, while another process has the file.
_WAITING = 1_000


class AuditLog:
    """A file of sealed lines, each bound to the one before: `AuditHook(AuditLog("audit.jsonl"))`.

    Called with a record, a dict of JSON's types, it returns once that is on the disk; threads and
    processes may share the file. Of threads that write at once, one writes for all. It raises
    OSError where that, or a checkpoint that is due, can't be written, or too many wait already;
    DatabaseGone where the file was cut, moved or put back; ConfigurationError where its last line
    is of somebody else; ValueError for a record of over 16 MiB.

    `key`, 32 bytes or their base64, seals it; else AGNO_PORTKEY_AUDIT_KEY does, else `key_file`,
    which is made on first use, in the user's own folder by default. With `signing_key` (private
    Ed25519: PEM or base64) lines are signed, and whoever has the public key can verify them. One
    log has one key.

    After the first line, every `every` lines and at the end of the process, a checkpoint is written
    into `checkpoints`, a folder or file that should be on another disk: lines that were cut off at
    the end are missed by it alone. `sync=False` does not wait for the disk: a kill loses nothing,
    a power cut may.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        key: str | bytes | None = None,
        key_file: str | os.PathLike[str] | None = None,
        signing_key: str | None = None,
        checkpoints: str | os.PathLike[str] | None = None,
        every: int = 100,
        sync: bool = True,
    ) -> None:
        self.path = Path(path).expanduser().absolute()
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"path: the folder {self.path.parent} does not exist")
        if self.path.exists() and not self.path.is_file():
            raise ConfigurationError(f"path: {self.path} is no file that can be chained")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ConfigurationError(f"every: a number of lines above 0, not {every!r}")
        if not isinstance(sync, bool):
            raise ConfigurationError(f"sync: true or false, not {sync!r}")
        first = _first_line(self.path)
        self._key = find_key(key, key_file, signing_key=signing_key, make=not first)
        _check_first(self.path, first, self._key)
        self._every = every
        self._sync = sync
        self._anchors = Checkpoints(self.path, checkpoints)
        self._anchors.begin()
        self._begin()
        _logs.add(self)

    def _begin(self) -> None:
        self._pending: deque[_Waiting] = deque()
        self._turn = threading.Lock()
        self._taken: dict[str, Any] | None = None  # of a broken line; not yet told
        self._owed = False  # a checkpoint that could not be written
        _unanchored.discard(self)
        self._file = LogFile(self.path, self._key, self._anchors, sync=self._sync)
        self._chain = auditchain.AuditLog(self._file, lock=Held(), **self._key.options())

    def __call__(self, record: Mapping[str, Any], /) -> None:
        waiting = _Waiting(_entry(record))
        if len(self._pending) >= _WAITING:
            raise OSError(f"{_WAITING} records wait for the audit log {self.path} already")
        self._pending.append(waiting)
        with self._turn:
            # Whoever had the turn before may have written this one as well.
            if not waiting.settled:
                self._settle([self._pending.popleft() for _ in range(len(self._pending))])
        if waiting.error is not None:
            raise waiting.error

    def several(self, records: Sequence[Mapping[str, Any]], /) -> list[Exception | None]:
        """Write `records` in one go, in order: what kept each from being written, None if nothing.

        It returns once they are on the disk. One that can't be written as JSON is left out; where
        the log can't be written, none of them is.
        """
        told: list[_Waiting | Exception] = []
        for record in records:
            try:
                told.append(_Waiting(_entry(record)))
            except (ValueError, TypeError) as error:
                told.append(error)
        if waiting := [each for each in told if isinstance(each, _Waiting)]:
            with self._turn:
                self._settle(waiting)
        return [each.error if isinstance(each, _Waiting) else each for each in told]

    def __repr__(self) -> str:
        return f"AuditLog({str(self.path)!r})"

    def checkpoint(self, timeout: float | None = None) -> None:
        """Write a checkpoint now, if this process has added lines since its last one."""
        if not self._turn.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(f"other threads write into the audit log for {timeout:g} s")
        try:
            with self._file.alone(timeout):
                self._taken = self._file.mend() or self._taken
                # What was taken away is told also where no more records follow.
                last = step(self._file.load_last()) if self._taken is None else self._add([])[-1]
                if last is not None and self in _unanchored:
                    self._anchor(last)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Write a checkpoint of the last line; the log can be used again."""
        if self in _unanchored:
            self.checkpoint(_AT_EXIT)

    def forked(self) -> None:
        """Begin anew in a child process, which has none of its parent's threads."""
        self._file.forked()
        self._begin()

    def _settle(self, several: list[_Waiting]) -> None:
        error: Exception | None = OSError("the record was not written: its writer was interrupted")
        try:
            self._write([each.entry for each in several])
            error = None
        except Exception as failed:
            error = failed
        finally:
            for each in several:
                each.settled, each.error = True, error

    def _write(self, entries: list[_Entry]) -> None:
        with self._file.alone():
            self._taken = self._file.mend() or self._taken
            added = self._add(entries)
            first, last = added[0], added[-1]
            if self._owed or (first.seq - 1) // self._every < last.seq // self._every:
                self._owed = True
                self._anchor(last)

    def _add(self, entries: list[_Entry]) -> list[auditchain.AuditRecord]:
        if self._taken is not None:
            entries = [_entry({"kind": REPAIRED, "data": self._taken}), *entries]
        added = step(self._chain.append_many(entries))
        self._taken = None
        _unanchored.add(self)
        return added

    def _anchor(self, last: auditchain.AuditRecord) -> None:
        self._anchors.add(last, self._key, sync=self._sync)
        self._owed = False
        _unanchored.discard(self)


_Entry = tuple[str, str, str, dict[str, Any] | None]


@dataclass(slots=True)
class _Waiting:
    """A record that somebody waits for."""

    entry: _Entry
    settled: bool = False
    error: Exception | None = None


def _entry(record: Mapping[str, Any]) -> _Entry:
    """What a chain is told: who, what, in which run, and the whole record."""
    told = plain(dict(record))
    who = told.get("user_id") or told.get("role") or told.get("name")
    return str(who or ""), str(told.get("kind") or ""), str(told.get("run_id") or ""), told


def _first_line(path: Path) -> bytes:
    try:
        with os.fdopen(opened(path, "path"), "rb") as file:
            return file.readline(LONGEST)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigurationError(f"path: {path} can't be read ({error.strerror})") from error


def _check_first(path: Path, line: bytes, key: Key) -> None:
    """Refuse a key that the log was not begun with, before a run depends on it."""
    record = record_of(line) if line.endswith(b"\n") else None
    if record is not None and (why := key.refusal(record)) is not None:
        raise ConfigurationError(f"key: the first line of {path}: {why}; one log has one key")
    if record is None and line.endswith(b"\n"):
        raise ConfigurationError(f"path: {path} is no audit log; give another file")


_logs: WeakSet[AuditLog] = WeakSet()
# Those with lines after their last checkpoint, which are kept until the end of the process for it.
_unanchored: set[AuditLog] = set()


@atexit.register
def _close() -> None:
    for log in [*_unanchored]:
        try:
            log.close()
        except Exception as error:
            logging.getLogger("agno_portkey").error("audit: no checkpoint at the end: %s", error)


def _begin_anew() -> None:
    for log in [*_logs]:
        log.forked()


with suppress(AttributeError):  # where there are no forks
    os.register_at_fork(after_in_child=_begin_anew)
