"""The journal of one key's rotations: what is about to be done is on the disk before it is done."""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath

from agno_portkey.alone import hold_alone
from agno_portkey.errors import ConfigurationError, RotationUnderWay
from agno_portkey.knowledge.batch.journal import at_once, keep_name, require_file
from agno_portkey.security.rotation.state import State

__all__ = ["RotationJournal"]

_FORMAT = "agno-portkey rotation 1"


class RotationJournal:
    """The file of one key, a line for each step; one rotation writes it, and any may read.

    No value of a key is in it. A line that a kill cut off was of a step that was not begun.
    """

    def __init__(self, folder: str | PathLike[str], key: str) -> None:
        self.key = key
        self.folder = fspath(folder)
        self.path = os.path.join(self.folder, f"{key}.rotation")
        self._file: int | None = None
        self._lock = threading.Lock()

    def read(self) -> State | None:
        """The state that was written last, None before the first rotation."""
        try:
            with open(self.path, "rb", opener=at_once) as file:
                require_file(file.fileno(), self.path)
                return self._state(file.read())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable("read", error) from error

    @contextmanager
    def alone(self) -> Iterator[State]:
        """The state, begun if there is none; raises RotationUnderWay where another has it."""
        held = self._open()
        try:
            require_file(held, self.path)
            self._own(held)
            os.fchmod(held, 0o600)
            text = os.pread(held, os.fstat(held).st_size, 0)
            state = self._state(text)
            if not text.endswith(b"\n"):
                os.ftruncate(held, text.rfind(b"\n") + 1)
            keep_name(self.path)
            self._file = held
            try:
                yield state or State(self.key, secrets.token_hex(16))
            finally:
                with self._lock:
                    self._file = None
        finally:
            os.close(held)

    def note(self, state: State) -> None:
        """Write `state` down; it is on the disk when this returns."""
        line = json.dumps({"journal": _FORMAT, **state.to_dict()}).encode() + b"\n"
        with self._lock:
            if self._file is None:
                raise RuntimeError("the journal is not open")
            size = os.fstat(self._file).st_size
            try:
                while line:
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as error:
                # Half a line of one that the disk had no room for: the next begins anew.
                os.ftruncate(self._file, size)
                raise self._unusable("written", error) from error

    def _open(self) -> int:
        try:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._unusable("written", error) from error

    def _own(self, held: int) -> None:
        try:
            hold_alone(held)
        except BlockingIOError:
            raise RotationUnderWay(
                self.key,
                "another process, or thread, is at this key",
                "Nothing was done here",
                "Wait for it; `agno-portkey keys status` tells how far it is",
            ) from None
        except OSError as error:
            raise self._unusable("held alone", error) from error

    def _state(self, text: bytes) -> State | None:
        whole = text[: text.rfind(b"\n") + 1].splitlines()
        if not whole:
            if text and not text.startswith(b"{"):
                raise self._foreign()
            return None
        try:
            data = json.loads(whole[-1])
            if data["journal"] != _FORMAT or data["key"] != self.key:
                raise self._foreign()
            return State.from_dict(data)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"journal: the last line of {self.path} is damaged. Look at Portkey which keys "
                f"named {self.key}-... there are, put the file aside, and say in `current` which "
                "of them the source names"
            ) from error

    def _foreign(self) -> ConfigurationError:
        return ConfigurationError(
            f"journal: {self.path} is not the journal of {self.key}, or of another version of "
            "agno-portkey; give another folder"
        )

    def _unusable(self, what: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"journal: {self.path} can't be {what} ({type(error).__name__}); see to the disk and "
            "its permissions"
        )
