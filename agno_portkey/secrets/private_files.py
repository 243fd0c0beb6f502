"""Files that nobody else can read, replaced as a whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agno_portkey.alone import take
from agno_portkey.errors import SecretUnavailable
from agno_portkey.secrets.hidden import Hidden

__all__ = [
    "HiddenBytes",
    "alone",
    "check_folder",
    "read_private",
    "replace_with",
    "sync_folder",
]

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
# Seconds to wait for who writes at the same time.
_WAIT = 10.0
_PART = ".part"


class HiddenBytes(bytes):
    """Bytes whose `repr` does not show them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'[hidden]'"


def read_private(path: Path, *, limit: int, within: Path | None = None) -> HiddenBytes:
    """What is in the file at `path`, which has to be its owner's alone; FileNotFoundError if none.

    A symlink is followed as long as it stays `within` a folder. Raises SecretUnavailable for what
    others can read or may have written, and for more than `limit` bytes.
    """
    found = path if within is None else _followed(path, within)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(found, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SecretUnavailable(f"{path} can't be read ({error.strerror})") from None
    try:
        # Of the open file: what stands at the path may be another one by now.
        _check_owned(os.fstat(file), path)
        with os.fdopen(file, "rb", closefd=False) as opened:
            read = HiddenBytes(opened.read(limit + 1))
    except OSError as error:
        raise SecretUnavailable(f"{path} can't be read ({error.strerror})") from None
    finally:
        os.close(file)
    if len(read) > limit:
        raise SecretUnavailable(f"{path} has more than {limit} bytes, so it is none of ours")
    return read


def _followed(path: Path, within: Path) -> Path:
    try:
        found, folder = path.resolve(), within.resolve()
    except (OSError, RuntimeError):
        raise SecretUnavailable(f"{path} leads round in a circle") from None
    if not found.is_relative_to(folder):
        raise SecretUnavailable(f"{path} leads out of its folder: put the file itself there")
    return found


def _check_owned(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SecretUnavailable(f"{path} is no file")
    if not hasattr(os, "getuid"):  # where files have no such owners
        return
    if found.st_uid not in (os.getuid(), 0):
        raise SecretUnavailable(f"{path} belongs to another user, who can change it: chown it")
    if found.st_mode & _OTHERS:
        raise SecretUnavailable(
            f"{path} can be read by others: chmod 600 it, and change the keys in it"
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder in which others can put files in the place of ours."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SecretUnavailable(f"{folder} can't be read ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode):
        raise SecretUnavailable(f"{folder} is no folder")
    if not hasattr(os, "getuid"):
        return
    if found.st_uid not in (os.getuid(), 0):
        raise SecretUnavailable(f"{folder} belongs to another user, who can change it: chown it")
    if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        raise SecretUnavailable(f"others can write to {folder}: chmod 700 it")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """A block that one thread of one process at a time is in; `path` is the file that says so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(path, flags, 0o600)
    except OSError as error:
        raise SecretUnavailable(f"{path} can't be made ({error.strerror})") from None
    try:
        try:
            take(file, timeout=_WAIT)
        except TimeoutError:
            raise SecretUnavailable(
                f"another process has had {path} for {_WAIT:g} s: end it, and try again"
            ) from None
        except OSError as error:
            raise SecretUnavailable(f"{path} can't be held ({error.strerror})") from None
        yield
    finally:
        os.close(file)


def replace_with(path: Path, value: Hidden | HiddenBytes) -> None:
    """Have `value` in the file at `path`; one who reads has all of the old or all of the new.

    On the disk when it returns. To be called by who is `alone` with it.
    """
    why = _replaced(path, value)
    if why is not None:
        raise SecretUnavailable(f"{path} can't be written ({why}): what was there is still there")


def _replaced(path: Path, value: Hidden | HiddenBytes) -> str | None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_PART}")
    try:
        for left in path.parent.iterdir():
            # Of who was killed meanwhile; not of another file, whose name begins as this one's.
            if re.fullmatch(
                rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}{re.escape(_PART)}", left.name
            ):
                left.unlink(missing_ok=True)
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(value.encode() if isinstance(value, str) else value)
            opened.flush()
            os.fsync(file)
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        return str(error.strerror)
    return None


def sync_folder(folder: Path) -> None:
    """Have what was renamed or removed in `folder` so on the disk."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
