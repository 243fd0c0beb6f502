"""The checkpoints of a log: how long it was and what its last line was, signed, in another file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from auditchain import AuditRecord, Checkpoint

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.audit.keys import Key
from agno_portkey.telemetry.audit.lines import tail_of

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

    Without `given` the folder is the log's, where whoever cuts the log can cut this file as well.
    """

    def __init__(self, log: Path, given: str | os.PathLike[str] | None = None) -> None:
        path = log.parent if given is None else Path(given).expanduser()
        self.path = path / f"{log.name}.checkpoints" if path.is_dir() else path
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"checkpoints: the folder {self.path.parent} does not exist")
        if self.path.absolute() == log.absolute():
            raise ConfigurationError("checkpoints: another file than the log, on another disk")

    def newest(self, key: Key) -> Checkpoint | None:
        """The last one; None without any. ConfigurationError where it is not signed with `key`."""
        try:
            file = os.open(self.path, os.O_RDONLY)
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
            size = os.fstat(file).st_size
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
        """All lines, as they are; none where there is no file."""
        try:
            with self.path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return


def append(file: int, data: bytes, *, sync: bool) -> None:
    """Write all of `data`; it is on the disk when this returns, if `sync` is true."""
    while data:
        data = data[os.write(file, data) :]
    if sync:
        os.fsync(file)
