"""Where an audit's records go: a file of JSON lines, or a function."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Protocol

from agno_portkey.errors import ConfigurationError
from agno_portkey.workers import Failed, Job, race

__all__ = ["Behind", "Called", "LineFile", "Record", "Sink"]

Record = dict[str, Any]

# Records that wait for a slow function; what comes after them is let go.
_WAITING = 1_000
# Records that are handed on in one go, where the function takes several.
_TOGETHER = 256
# Seconds that the end of the process waits for them.
_AT_EXIT = 5.0
# A named pipe that nobody reads is an error at once, where it would be waited for.
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK


class Sink(Protocol):
    """Takes one record; raises if it can't."""

    def __call__(self, record: Record, /) -> None: ...


class LineFile:
    """Appends each record to a file as one line of JSON, in one write.

    Threads and processes may share the file. It is opened for each line, so that a log rotation
    can move it away, and made readable for its owner only.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"to: the folder {self.path.parent} does not exist")
        if self.path.is_dir():
            raise ConfigurationError(f"to: a file, and {self.path} is a folder")
        self._torn = False

    def __call__(self, record: Record, /) -> None:
        # ASCII: half a surrogate pair, which is no UTF-8, can be written and read again too.
        line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        if self._torn:
            # What was written last broke off in the middle.
            line = b"\n" + line
        file = os.open(self.path, _APPENDING, 0o600)
        try:
            written = os.write(file, line)
        finally:
            os.close(file)
        if written < len(line):
            self._torn = True
            raise OSError(f"{self.path}: only {written} of {len(line)} bytes were written")
        self._torn = False


class Called:
    """Calls a function with each record on another thread, and waits until it is done.

    A coroutine that it returns is awaited there. `TimeoutError` after `timeout` seconds.
    """

    def __init__(self, function: Callable[[Record], Any], timeout: float) -> None:
        self.function = function
        self.timeout = timeout

    def __call__(self, record: Record, /) -> None:
        job = Job(lambda: self.function(record), self.timeout)
        [outcome] = race([job], lambda place, outcome: False)
        if isinstance(outcome, Failed):
            raise outcome.error

    def several(self, records: list[Record]) -> list[BaseException | None]:
        """Hand on all of `records`, in order: what kept each from being taken, if anything did.

        In one go, and within one `timeout`, where the function has `several` (as an `AuditLog`).
        """
        # Of its type: a mock has whatever it is asked for.
        together = getattr(type(self.function), "several", None)
        if together is None:
            return [self._alone(record) for record in records]
        job = Job(lambda: together(self.function, records), self.timeout)
        [outcome] = race([job], lambda place, outcome: False)
        if isinstance(outcome, Failed):
            return [outcome.error] * len(records)
        return list(outcome)

    def _alone(self, record: Record) -> BaseException | None:
        try:
            self(record)
        except BaseException as error:
            return error
        return None

    def __repr__(self) -> str:
        return f"Called({self.function!r})"


class Behind:
    """Hands records on to `sink`, in order, on a thread of its own; nobody waits for it.

    What has come while others were written is handed on together.
    """

    def __init__(self, sink: Called) -> None:
        self.sink = sink
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._queue: Queue[Record] = Queue(_WAITING)
        self._working = False

    def __call__(self, record: Record, /) -> None:
        if self._pid != os.getpid():
            self._begin()  # a child process has none of its parent's threads
        try:
            self._queue.put_nowait(record)
        except Full:
            raise OSError(f"{_WAITING} records wait for {self.sink!r} already") from None
        with self._lock:
            if self._working:
                return
            # Where no thread can be had, the next record tries again.
            threading.Thread(target=self._work, daemon=True, name="agno-portkey-audit").start()
            self._working = True
        atexit.register(self.flush, _AT_EXIT)

    def _work(self) -> None:
        queue = self._queue
        while True:
            records = [queue.get()]
            with suppress(Empty):
                while len(records) < _TOGETHER:
                    records.append(queue.get_nowait())
            try:
                for error in self.sink.several(records):
                    if error is not None:
                        self._failed(error)
            except BaseException as error:
                self._failed(error)
            finally:
                for _ in records:
                    queue.task_done()

    def _failed(self, error: BaseException) -> None:
        logging.getLogger("agno_portkey").error(
            "audit: %r failed", self.sink, exc_info=(type(error), error, error.__traceback__)
        )

    def flush(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for what is under way; whether all of it is done."""
        if self._pid != os.getpid():
            return True  # what waits is the parent's, and so may be whoever holds the lock
        done = self._queue.all_tasks_done
        with done:
            return done.wait_for(lambda: not self._queue.unfinished_tasks, timeout)
