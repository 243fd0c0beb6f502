"""A SQLite database that is kept open, over a fork, and until its file is another."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from functools import cache

from agno_portkey.errors import ConfigurationError

__all__ = ["MEMORY", "Link", "OthersTables", "is_busy", "is_full", "place_of"]

MEMORY = ":memory:"
_FULL = ("SQLITE_FULL", "SQLITE_IOERR")
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


class OthersTables(sqlite3.DatabaseError):
    """What is in the file by our names was made by somebody else."""


def place_of(path: str) -> str:
    """The absolute path of a file, or `:memory:`; ConfigurationError for what can be none."""
    if not path.strip() or "\0" in path:
        raise ConfigurationError("cache: the path of a file is needed")
    return path if path == MEMORY else os.path.abspath(path)


def is_busy(error: BaseException) -> bool:
    """Whether somebody else holds the database, and another try may do."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return isinstance(error, TimeoutError) or name.startswith(_BUSY)


def is_full(error: BaseException) -> bool:
    """Whether the disk takes nothing more, or fails: it may do so for a while only."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.startswith(_FULL) or getattr(error, "errno", None) in (ENOSPC, EDQUOT)


class Link:
    """One connection that the threads of a process use in turn.

    It is opened when it is needed, and anew where the file at `path` is another one, or after what
    it held could not be read. `schema` is run where nothing is that the glob `names` names. Whoever
    waits longer than `seconds` for other threads has TimeoutError, for other processes
    sqlite3.OperationalError.
    """

    def __init__(self, path: str, *, schema: Sequence[str], names: str, seconds: float) -> None:
        self.path = path
        self._schema, self._names, self._seconds = schema, names, seconds
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None
        weakref.finalize(self, _close, self._open)
        _forks().watch(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=self._seconds):
            raise TimeoutError(f"{self.path}: other threads are at it")
        try:
            yield self._connection()
        except sqlite3.Error as error:
            if self.path != MEMORY and not is_busy(error):
                self._drop()
            raise
        finally:
            self._lock.release()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self.reading() as connection, _transaction(connection):
            yield connection

    def close(self) -> None:
        with self._lock:
            self._drop()

    def hold(self) -> None:
        """Before a fork: a file that is open in two processes by one opening would be spoilt."""
        self._lock.acquire()
        if self.path != MEMORY:
            self._drop()

    def let_go(self) -> None:
        self._lock.release()

    def _connection(self) -> sqlite3.Connection:
        if self._open and (self.path == MEMORY or _file_at(self.path) == self._file):
            return self._open[0]
        self._drop()
        if self.path != MEMORY:
            # For its owner alone, also where a link names it. SQLite's locks end when any
            # descriptor of the file is closed, so one that is there is not touched.
            with suppress(FileExistsError):
                os.close(os.open(os.path.realpath(self.path), os.O_CREAT | os.O_EXCL, 0o600))
        self._file = _file_at(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._seconds, isolation_level=None, check_same_thread=False
        )
        self._open.append(connection)
        try:
            self._set_up(connection)
        except BaseException:
            self._drop()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        # Asked first, for what is others' is not changed.
        made = self._made(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # What is deleted is not to be read in the file.
        connection.execute("PRAGMA secure_delete = ON")
        if not made:
            with _transaction(connection):
                # Another may have been faster.
                if not self._made(connection):
                    for statement in self._schema:
                        connection.execute(statement)

    def _made(self, connection: sqlite3.Connection) -> bool:
        there = "SELECT sql FROM sqlite_master WHERE name GLOB ? AND sql IS NOT NULL"
        found = {statement for (statement,) in connection.execute(there, (self._names,))}
        if found - {*self._schema}:
            raise OthersTables("tables by our names are not ours")
        return bool(found)

    def _drop(self) -> None:
        _close(self._open)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Forks:
    """Has all links closed while the process forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._held: list[Link] = []

    def watch(self, link: Link) -> None:
        with self._lock:
            self._links.add(link)

    def before(self) -> None:
        self._lock.acquire()
        self._held = list(self._links)
        for link in self._held:
            link.hold()

    def after(self) -> None:
        for link in self._held:
            link.let_go()
        self._held = []
        self._lock.release()


@cache
def _forks() -> _Forks:
    forks = _Forks()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=forks.before, after_in_parent=forks.after, after_in_child=forks.after
        )
    return forks
