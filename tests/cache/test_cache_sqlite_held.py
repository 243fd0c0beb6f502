"""A SQLite cache that others hold, or that can't be written to: it raises, and loses nothing."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cache_entries import NOW, entry, keys_in, uses
from cache_places import SqlitePlace, filled

from agno_portkey.cache.entry import Selection
from agno_portkey.cache.sqlite_file import is_busy
from agno_portkey.cache.sqlite_store import SqliteStore

EVERYTHING = Selection(everything=True)
# Holds a file in a process of its own until it is told to let go.
HOLDING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SqlitePlace]:
    made = SqlitePlace(tmp_path / "cache.db")
    yield made
    made.close()


@pytest.fixture
def holding() -> Iterator[Any]:
    """Starts processes that hold a file; each lets go when it is called."""
    running: list[subprocess.Popen[str]] = []

    def hold(path: Path, *statements: str) -> Any:
        command = [sys.executable, "-c", HOLDING, str(path), *statements]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, **pipes)
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return lambda: process.communicate("go\n")

    yield hold
    for process in running:
        process.kill()
        process.communicate()


def test_while_another_process_writes_one_reads_and_the_rest_raises(
    place: SqlitePlace, holding: Any
) -> None:
    filled(place)
    store = place.open(seconds=0.05)
    let_go = holding(place.path, "BEGIN EXCLUSIVE")
    assert keys_in(store, "k", "0") == ["k", "0"]
    assert store.since("b", 0)
    assert len(store.select(EVERYTHING, NOW)) == 41
    writes = [use for place, use in enumerate(uses(store)) if place in (1, 3, 5, 7, 8, 9)]
    for write in writes:
        with pytest.raises(sqlite3.OperationalError, match="locked") as locked:
            write()
        assert is_busy(locked.value)
    let_go()
    for write in writes:
        write()
    assert keys_in(store, "new") == ["new"]


def test_a_file_that_another_process_keeps_for_itself(place: SqlitePlace, holding: Any) -> None:
    filled(place)
    let_go = holding(place.path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE")
    # It may let go: a store is made all the same.
    store = place.open(seconds=0.05)
    for use in uses(store):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use()
    let_go()
    for use in uses(store):
        use()
    assert keys_in(store, "new") == ["new"]


def test_a_new_file_that_another_process_keeps_for_itself(place: SqlitePlace, holding: Any) -> None:
    let_go = holding(place.path, "BEGIN EXCLUSIVE")
    store = place.open(seconds=0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        store.put(entry())
    let_go()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


def test_a_thread_does_not_wait_for_others_for_long(tmp_path: Path) -> None:
    store = SqliteStore(":memory:", max_entries=10, max_bytes=1 << 30, seconds=0.05)
    busy, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._writer.reading():
            busy.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    busy.wait()
    with pytest.raises(TimeoutError, match="other threads"):
        store.get("k", NOW)
    done.set()
    thread.join()
    assert store.get("k", NOW) is None
    store.close()


def test_what_is_deleted_is_gone_though_the_log_can_not_be_cut_then(
    place: SqlitePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(place)
    store: Any = place.open(seconds=0.05)
    reading = store._writer.reading

    def taken() -> Any:
        # As another thread would have it right after the transaction.
        if sys._getframe(1).f_code.co_name == "delete":
            raise TimeoutError("other threads are at it")
        return reading()

    monkeypatch.setattr(store._writer, "reading", taken)
    assert store.delete(["k"]) == 1
    assert keys_in(store, "k") == []


def test_who_reads_does_not_wait_for_who_writes(place: SqlitePlace) -> None:
    filled(place)
    store = place.open(seconds=0.05)
    assert isinstance(store, SqliteStore)
    with store._writer.writing():
        assert keys_in(store, "k") == ["k"]
        assert len(store.since("b", 0)) == 41


def in_a_child(work: Any, *arguments: Any) -> str:
    """What `work` says in a forked process, which may give up rights that this one needs."""
    told = multiprocessing.get_context("fork").SimpleQueue()
    child = multiprocessing.get_context("fork").Process(target=_told, args=(told, work, *arguments))
    child.start()
    child.join()
    return "" if told.empty() else str(told.get())


def _told(told: Any, work: Any, *arguments: Any) -> None:
    try:
        told.put(work(*arguments))
    except Exception as error:
        told.put(f"{type(error).__name__}: {error}")


def _unprivileged(work: Any, path: Path) -> Any:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    return work(SqlitePlace(path))


def _reads(place: SqlitePlace) -> list[str]:
    return keys_in(place.open(), "k")


@pytest.mark.parametrize("filled_before", [True, False])
def test_a_folder_that_may_not_be_written_to_is_refused(filled_before: bool) -> None:
    # One of pytest's may not be entered by others.
    with TemporaryDirectory() as folder:
        place = SqlitePlace(Path(folder, "cache.db"))
        if filled_before:
            filled(place)
            place.path.chmod(0o444)
        Path(folder).chmod(0o555)
        said = in_a_child(_unprivileged, _reads, place.path)
        Path(folder).chmod(0o755)
    assert said.startswith("ConfigurationError: cache: no answers can be kept in ")
    assert "may be written to" in said


def _fills_up(path: Path) -> str:
    place = SqlitePlace(path)
    store = place.open()
    store.put(entry())
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    put = 0
    try:
        while True:
            store.put(entry(f"{put}", answer="x" * 5000))
            put += 1
    except sqlite3.OperationalError as full:
        said = str(full)
    # What is there is still read, and room can be made.
    there = keys_in(store, "k", *map(str, range(put)))
    return f"{said}; {put > 5}, {len(there) == put + 1}"


def test_a_disk_that_is_full_raises_and_loses_nothing(place: SqlitePlace) -> None:
    said = in_a_child(_fills_up, place.path)
    assert said.endswith("; True, True"), said
    store = place.open()
    store.put(entry("new"))
    assert keys_in(store, "k", "0", "new") == ["k", "0", "new"]
    with place.connection() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_database_that_may_not_grow_raises_and_goes_on(place: SqlitePlace) -> None:
    store = place.open()
    assert isinstance(store, SqliteStore)
    store.put(entry())
    with store._writer.reading() as connection:
        connection.execute("PRAGMA max_page_count = 30")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.put(entry("large", answer="x" * 500_000))
    assert keys_in(store, "k", "large") == ["k"]
    store.put(entry("small"))
    assert keys_in(store, "small") == ["small"]


def test_what_fails_half_way_leaves_nothing_behind(place: SqlitePlace) -> None:
    store = place.open()
    store.put(entry(answer="before"))
    with place.connection() as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON agno_portkey_cache_2_contents "
            "BEGIN SELECT raise(FAIL, 'broken'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="broken"):
        store.put(entry(answer="after"))
    with place.connection() as connection:
        connection.execute("DROP TRIGGER broken")
    held = store.get("k", NOW)
    assert held is not None
    assert held.answer == "before"
    assert [each[:3] for each in store.figures(NOW)] == [("public", "", 1)]
