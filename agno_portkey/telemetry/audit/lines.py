"""The lines of an audit log: how a record is written, read again, and found from the end."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditchain import GENESIS_HASH, AuditRecord

from agno_portkey.errors import ConfigurationError

__all__ = [
    "BLOCK",
    "LONGEST",
    "broke_off",
    "is_part",
    "line_of",
    "opened",
    "plain",
    "record_of",
    "tail_of",
    "unsealed",
]

BLOCK = 1 << 16
# Bytes of a record, and of its line, in which who and what it is of stands a second time. What is
# longer is none that was written here, and is not read into memory.
_LARGEST = 1 << 24
LONGEST = 2 * _LARGEST + 4096
# What stands in a line that was sealed, and in none of a plain file.
_SEALED = frozenset({"seq", "prev_hash", "hash", "key_id", "signer_id", "signature"})
# Bytes that JSON takes for one character at most, in ASCII.
_ESCAPED = 12


def plain(record: Any) -> Any:
    """`record` as it will be read again; half a surrogate pair, which is no UTF-8, is a `?`.

    Raises ValueError or TypeError for what JSON can't say, and for more than 16 MiB.
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    if len(text) * _ESCAPED > _LARGEST and len(json.dumps(record)) > _LARGEST:
        raise ValueError(f"a record of more than {_LARGEST} bytes is too long for an audit log")
    return json.loads(text.encode("utf-8", "replace"))


def line_of(record: AuditRecord) -> bytes:
    """`record` as its one line in ASCII, with the line's end; its place in the chain comes first.

    The library's own lines are not used: a U+2028 in them is the end of a line when it reads them.
    """
    begins = _begins(record.seq, record.prev_hash)
    rest = {
        "ts": record.timestamp,
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "meta": record.metadata,
        "hash": record.hash,
    }
    for name in ("key_id", "signer_id", "signature"):
        if value := getattr(record, name):
            rest[name] = value
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return begins + text[1:].encode("ascii") + b"\n"


def _begins(seq: int, prev_hash: str) -> bytes:
    return f'{{"seq":{seq},"prev_hash":{json.dumps(prev_hash)},'.encode("ascii")


def record_of(line: bytes) -> AuditRecord | None:
    """The record that `line` is, to the byte; None for anything else.

    A chain seals values: spaces, the order of names, another name or another spelling of a letter
    would pass.
    """
    try:
        record = AuditRecord.from_stored(json.loads(line))
        return record if line_of(record) == line else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def unsealed(path: Path) -> int:
    """How many records a file holds if it is a plain one, no line of which has a seal; else 0."""
    records = 0
    with os.fdopen(opened(path, "path"), "rb") as lines:
        while line := lines.readline(LONGEST):
            said = _object_of(line)
            # What a kill has left of a plain line is no object, and begins as one.
            if said is None and (
                line[:1] != b"{" or b'"prev_hash"' in line or line[:5] == b'{"seq'
            ):
                return 0
            if said is not None and not _SEALED.isdisjoint(said):
                return 0
            records += said is not None
    return records


def _object_of(line: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def broke_off(rest: bytes, last: AuditRecord | None) -> bool:
    """Whether `rest`, which no line's end follows, can be what a kill left of the next line."""
    seq, head = (0, GENESIS_HASH) if last is None else (last.seq + 1, last.hash)
    return is_part(rest, _begins(seq, head))


def is_part(rest: bytes, begins: bytes) -> bool:
    """Whether `rest` can be the first part, or all, of an object of JSON that so begins."""
    if rest[: len(begins)] != begins[: len(rest)] or any(not 32 <= byte < 127 for byte in rest):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(rest.decode("ascii"))
    except (ValueError, RecursionError):
        return True
    return end == len(rest)


def tail_of(file: int, size: int) -> Iterator[bytes]:
    """The lines of the first `size` bytes of an open file, the last first.

    The first one given is what follows the last line's end, which is nothing in a whole file.
    Raises ConfigurationError for one that is longer than any that is written here.
    """
    held: list[bytes] = []  # the parts of one line, the last first
    length, at, whole = 0, size, False
    while at > 0:
        step = min(BLOCK, at)
        at -= step
        first, *pieces = _bytes(file, at, step).split(b"\n")
        for piece in reversed(pieces):
            yield _joined([*held, piece], whole)
            held, length, whole = [], 0, True
        held.append(first)
        length += len(first)
        if length > LONGEST:
            raise ConfigurationError(
                f"path: a line of more than {LONGEST} bytes, which no such log has, is at its end. "
                "See what `agno-portkey audit verify` says, and begin another log"
            )
    yield _joined(held, whole)


def _joined(parts: list[bytes], whole: bool) -> bytes:
    return b"".join(reversed(parts)) + b"\n" * whole


def opened(path: Path, what: str) -> int:
    """The file `path`, open to be read; ConfigurationError where it is a pipe, folder or device.

    A pipe is not waited for.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ConfigurationError(f"{what}: {path} is no file that holds lines")
    return file


def _bytes(file: int, at: int, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = os.pread(file, count - len(found), at + len(found))
        if not more:
            raise OSError("the file was cut while it was read")
        found += more
    return found
