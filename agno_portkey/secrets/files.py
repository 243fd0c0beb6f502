"""Secrets in files, one in each: as containers mount them, or as they are written here."""

from __future__ import annotations

import os
from pathlib import Path

from agno_portkey.errors import ConfigurationError, SecretMissing, SecretUnavailable
from agno_portkey.secrets.hidden import Hidden
from agno_portkey.secrets.private_files import (
    alone,
    check_folder,
    read_private,
    replace_with,
    sync_folder,
)
from agno_portkey.secrets.source import MAX_LENGTH, check_name, unusable

__all__ = ["FileSecrets"]

_LOCK = ".lock"


class FileSecrets:
    """A folder in which the file `NAME` holds the secret `NAME`, and a line's end at most.

    Files that others than their owner can read are refused, as are those of other users (but for
    root), symlinks out of the folder, and a folder that others can write to. What is written has
    the mode 0600, in a folder of 0700, and is on the disk when `write` returns; it is not sealed.
    """

    def __init__(self, folder: str | Path, *, environment: str | None = None) -> None:
        self.folder, self.environment = Path(folder).expanduser(), environment

    def __repr__(self) -> str:
        return f"FileSecrets({str(self.folder)!r})"

    def read(self, name: str) -> str:
        path = self.folder / check_name(name)
        check_folder(self.folder)
        try:
            value = _text(path, self.folder)
        except FileNotFoundError:
            raise SecretMissing(f"{name}: there is no {path}; put it there, with mode 0600") from (
                None
            )
        if value is None:
            raise SecretUnavailable(f"{path} holds other than ASCII, so it is no key")
        return value

    def write(self, name: str, value: str) -> None:
        value = Hidden(value)
        path = self.folder / check_name(name)
        if (why := unusable(value)) is not None:
            raise ConfigurationError(f"value: {why}")
        with alone(self.folder / _LOCK):
            check_folder(self.folder)
            replace_with(path, value)

    def remove(self, name: str) -> None:
        path = self.folder / check_name(name)
        check_folder(self.folder)
        if not self.folder.is_dir():
            return
        with alone(self.folder / _LOCK):
            try:
                path.unlink(missing_ok=True)
                sync_folder(self.folder)
            except OSError as error:
                raise SecretUnavailable(f"{path} can't be removed ({error.strerror})") from None

    def names(self) -> list[str]:
        check_folder(self.folder)
        try:
            return sorted(
                entry.name
                for entry in os.scandir(self.folder)
                if not entry.name.startswith(".") and entry.is_file()
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SecretUnavailable(f"{self.folder} can't be read ({error.strerror})") from None


def _text(path: Path, folder: Path) -> Hidden | None:
    # Two more for the line's end.
    read = read_private(path, limit=MAX_LENGTH + 2, within=folder)
    if not read.isascii():
        return None
    return Hidden(read.decode("ascii").removesuffix("\n").removesuffix("\r"))
