"""The checkpoints of a log: how long it was and what its last line was, signed, in another file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from auditchain import AuditRecord, Checkpoint

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.audit.keys import Key
from agno_portkey.telemetry.audit.lines import BLOCK, opened, tail_of

__all__ = ["Checkpoints", "checkpoint_line", "checkpoint_of"]

# A field of a line, and of the library's checkpoint; its own file holds one checkpoint only.
_FIELDS = {
    "seq": "seq",
    "hash": "hash",
    "ts": "timestamp",
    "key_id": "key_id",
    "sig": "signature",
    "signer_id": "signer_id",
    "signature_ed25519": "signature_ed25519",
}


def checkpoint_line(checkpoint: Checkpoint) -> bytes:
    """`checkpoint` as its one line in ASCII."""
    told = {name: getattr(checkpoint, field) for name, field in _FIELDS.items()}
    return json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"


def checkpoint_of(line: bytes, key: Key) -> Checkpoint | None:
    """The checkpoint that `line` is, to the byte, if it was signed with `key`."""
    try:
        told = json.loads(line)
        found = Checkpoint(**{field: told[name] for name, field in _FIELDS.items()})
        whole = type(found.seq) is int and checkpoint_line(found) == line
        return found if whole and key.anchored(found) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


class Checkpoints:
    """The file that checkpoints are added to: `given`, or `NAME.checkpoints` in a folder.

    A name without a suffix, of which there is nothing yet, is a folder's, which is made. Without
    `given` the folder is the log's, where whoever cuts the log can cut this file as well.
    """

    def __init__(self, log: Path, given: str | os.PathLike[str] | None = None) -> None:
        path = log.parent if given is None else Path(given).expanduser()
        folder = path.is_dir() or not (path.suffix or path.exists())
        self.path = path / f"{log.name}.checkpoints" if folder else path
        if not (path.is_dir() or path.parent.is_dir()):
            raise ConfigurationError(f"checkpoints: the folder {path.parent} does not exist")
        if self.path.absolute() == log.absolute():
            raise ConfigurationError("checkpoints: another file than the log, on another disk")

    def begin(self) -> None:
        """Make the folder, for a log that begins: one that is gone later is missed."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)

    def newest(self, key: Key) -> Checkpoint | None:
        """The last one; None without any. ConfigurationError where it is not signed with `key`."""
        try:
            file = opened(self.path, "checkpoints")
        except FileNotFoundError:
            return None
        try:
            lines = tail_of(file, os.fstat(file).st_size)
            next(lines)  # what a kill left
            line = next(lines, None)
        finally:
            os.close(file)
        if line is None:
            return None
        found = checkpoint_of(line, key)
        if found is None:
            raise ConfigurationError(
                f"checkpoints: the last line of {self.path} was not signed with this key; give the "
                "key that the log was begun with, and see what `agno-portkey audit verify` says"
            )
        return found

    def add(self, record: AuditRecord, key: Key, *, sync: bool = True) -> None:
        """Write down that `record` is the log's last; only one process at a time may do so."""
        line = checkpoint_line(key.anchor(record))
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"checkpoints: {self.path} is no file that holds lines")
            size = found.st_size
            if rest := next(tail_of(file, size)):
                size -= len(rest)
                os.ftruncate(file, size)
            try:
                append(file, line, sync=sync)
            except BaseException:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def lines(self) -> Iterator[bytes]:
        """All lines, as they are; none where there is no file. Too long ones come in parts."""
        try:
            held = opened(self.path, "checkpoints")
        except FileNotFoundError:
            return
        with os.fdopen(held, "rb") as file:
            while line := file.readline(BLOCK):
                yield line


def append(file: int, data: bytes, *, sync: bool) -> None:
    """Write all of `data`; it is on the disk when this returns, if `sync` is true."""
    while data:
        data = data[os.write(file, data) :]
    if sync:
        os.fsync(file)
