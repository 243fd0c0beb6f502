"""Answers to lines that were asked again, in a file beside the journal: none is paid for twice.

They are as the provider gave them, so that what guards have masked is masked here, too.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from agno_portkey.alone import hold_alone
from agno_portkey.errors import ConfigurationError
from agno_portkey.knowledge.batch.journal import at_once, keep_name, require_file

__all__ = ["Retried"]


class Retried:
    """The file of one job's own calls; one process at a time asks, and any may read.

    A line that can't be read, or is another job's, is none: whoever wants it asks again.
    """

    def __init__(self, journal: str, job: str) -> None:
        self.path = f"{journal}.retried"
        self._job = job
        self._lock = threading.Condition()
        self._due = 0
        self._file: int | None = None
        self._torn = False

    def read(self) -> dict[int, Any]:
        """The last answer to each place."""
        try:
            with open(self.path, "rb", opener=at_once) as file:
                require_file(file.fileno(), self.path)
                text = file.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable("read", error) from error
        said = [self._answer(line) for line in text.split(b"\n")]
        return dict(each for each in said if each is not None)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While it lasts, nobody else asks; ConfigurationError if somebody does, or it can't be."""
        try:
            held = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._unusable("written", error) from error
        try:
            require_file(held, self.path)
            self._own(held)
            keep_name(self.path)
            self._file = held
            try:
                yield
            finally:
                with self._lock:
                    # Whoever is cancelled on a loop does not wait for the thread that keeps it.
                    self._lock.wait_for(lambda: self._due == 0)
                    self._file = None
        finally:
            os.close(held)

    def _own(self, held: int) -> None:
        try:
            hold_alone(held)
        except OSError:
            raise ConfigurationError(
                f"journal: another process asks lines of {self.path} again; wait for it"
            ) from None
        os.fchmod(held, 0o600)
        size = os.fstat(held).st_size
        if size and os.pread(held, 1, size - 1) != b"\n":
            # A kill cut it off; what comes is a line of its own.
            os.write(held, b"\n")

    def noting(self, place: int, answer: Any) -> Callable[[], None]:
        """What keeps `answer`: it is on the disk when that returns, and the file open till then."""
        with self._lock:
            self._due += 1

        def keep() -> None:
            try:
                self._note(place, answer)
            finally:
                with self._lock:
                    self._due -= 1
                    self._lock.notify_all()

        return keep

    def _note(self, place: int, answer: Any) -> None:
        line = json.dumps({"job": self._job, "place": place, "answer": answer}).encode() + b"\n"
        with self._lock:
            if self._file is None:
                raise RuntimeError("nobody asks")
            # Of one that the disk had no room for half may be there: the next begins a line.
            line, self._torn = b"\n" * self._torn + line, True
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
            self._torn = False

    def _answer(self, line: bytes) -> tuple[int, Any] | None:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return None
        match said:
            case {"job": self._job, "place": int(place), "answer": dict(answer)}:
                return place, answer
        return None

    def _unusable(self, what: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"journal: {self.path}, for what is asked again, can't be {what} "
            f"({type(error).__name__})"
        )
