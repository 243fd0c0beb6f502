"""A SQLite cache whose file is spoilt, held, gone, or full: it raises, or heals."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cache_entries import NOW, entry, keys_in
from cache_places import SqlitePlace

from agno_portkey.cache.entry import Evidence, Selection
from agno_portkey.cache.sqlite_file import is_busy
from agno_portkey.cache.sqlite_store import SqliteStore
from agno_portkey.cache.store import Store
from agno_portkey.errors import ConfigurationError

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


def uses(store: Store) -> list[Any]:
    """Each thing that a store does, to be called."""
    return [
        lambda: store.get("k", NOW),
        lambda: store.put(entry("new")),
        lambda: store.since("b", 0),
        lambda: store.delete(["k"]),
        lambda: store.select(EVERYTHING, NOW),
        lambda: store.learn(Evidence("", "k", 0.9, True, NOW)),
        lambda: store.evidence(0),
        lambda: store.lease("k", "me", 60, NOW),
        lambda: store.release("k", "me"),
        lambda: store.note(NOW, "ann", "everything", 1),
        lambda: store.notes(),
        lambda: store.figures(NOW),
    ]


def filled(place: SqlitePlace) -> None:
    store = place.open()
    for number in range(40):
        store.put(entry(f"{number}", answer="x" * 2000))
    store.put(entry())
    store.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"no database at all, but long enough to be one" * 200,
        os.urandom(9000),
        b"SQLite format 3\0",
    ],
    ids=["text", "random", "head"],
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    place: SqlitePlace, junk: bytes
) -> None:
    place.path.write_bytes(junk)
    with pytest.raises(
        ConfigurationError, match=r"^cache: no answers can be kept in .*give a file"
    ):
        place.open()
    assert place.path.read_bytes() == junk


def test_a_file_that_is_empty_is_one_to_be_filled(place: SqlitePlace) -> None:
    place.path.touch()
    store = place.open()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


@pytest.mark.parametrize("size", [100, 4096, 5000, 40_000])
def test_a_file_that_was_cut_off_raises_and_nothing_worse(place: SqlitePlace, size: int) -> None:
    filled(place)
    assert place.path.stat().st_size > 40_000
    os.truncate(place.path, size)
    with suppress(ConfigurationError):
        for use in uses(place.open()):
            with suppress(sqlite3.DatabaseError):
                use()
    place.path.unlink()
    assert keys_in(place.open(), "k") == []


def test_a_spoilt_page_raises_until_the_file_is_deleted(place: SqlitePlace) -> None:
    filled(place)
    held = bytearray(place.path.read_bytes())
    held[4096:] = os.urandom(len(held) - 4096)
    place.path.write_bytes(held)
    store = place.open()
    for use in uses(store)[:5]:
        with pytest.raises(sqlite3.DatabaseError):
            use()
    for each in place.path.parent.glob("cache.db*"):
        each.unlink()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


def test_a_file_that_is_spoilt_while_it_is_open(place: SqlitePlace) -> None:
    filled(place)
    store = place.open()
    assert store.get("k", NOW) is not None
    place.path.write_bytes(b"")
    for use in uses(store):
        with suppress(sqlite3.DatabaseError):
            use()
    store.put(entry("later"))
    assert keys_in(store, "later") == ["later"]


def test_tables_of_another_form_are_left_alone(place: SqlitePlace) -> None:
    with place.connection() as connection:
        connection.execute("CREATE TABLE agno_portkey_cache_0_entries (key TEXT)")
        connection.execute("INSERT INTO agno_portkey_cache_0_entries VALUES ('k')")
        connection.execute("CREATE TABLE sessions (id TEXT)")
    store = place.open()
    assert store.get("k", NOW) is None
    store.put(entry())
    store.delete(["k"])
    with place.connection() as connection:
        [(there,)] = connection.execute("SELECT count(*) FROM agno_portkey_cache_0_entries")
    assert there == 1


def test_a_foreign_table_by_our_name_is_never_misread(place: SqlitePlace) -> None:
    with place.connection() as connection:
        connection.execute("CREATE TABLE agno_portkey_cache_1_entries (key TEXT, answer TEXT)")
        connection.execute("INSERT INTO agno_portkey_cache_1_entries VALUES ('k', 'x')")
    with pytest.raises(ConfigurationError, match=r"tables by our names are not ours.*delete it"):
        place.open()
    with place.connection() as connection:
        [(there,)] = connection.execute("SELECT count(*) FROM agno_portkey_cache_1_entries")
    assert there == 1


def test_a_foreign_table_that_comes_in_while_it_is_open(place: SqlitePlace, tmp_path: Path) -> None:
    another = SqlitePlace(tmp_path / "another.db")
    with another.connection() as connection:
        connection.execute("CREATE TABLE agno_portkey_cache_1_leases (key BLOB)")
    store = place.open()
    store.close()
    os.replace(another.path, place.path)
    for use in uses(store):
        with pytest.raises(sqlite3.DatabaseError, match="not ours"):
            use()


def test_tables_that_are_dropped_are_made_again(place: SqlitePlace) -> None:
    filled(place)
    store = place.open()
    assert keys_in(store, "k") == ["k"]
    with place.connection() as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'agno%'")
        for (name,) in [row for row in names if "cache_1" in row[0]]:
            with suppress(sqlite3.OperationalError):
                connection.execute(f"DROP TABLE {name}")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.get("k", NOW)
    assert store.get("k", NOW) is None
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


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


def test_who_reads_does_not_wait_for_who_writes(place: SqlitePlace) -> None:
    filled(place)
    store = place.open(seconds=0.05)
    assert isinstance(store, SqliteStore)
    with store._writer.writing():
        assert keys_in(store, "k") == ["k"]
        assert len(store.since("b", 0)) == 41


@pytest.mark.parametrize("every", [True, False], ids=["with its log", "alone"])
def test_a_file_that_is_removed_while_it_is_open_is_made_anew(
    place: SqlitePlace, every: bool
) -> None:
    filled(place)
    one, other = place.open(), place.open()
    assert keys_in(one, "k") == keys_in(other, "k") == ["k"]
    for each in place.path.parent.glob("cache.db*" if every else "cache.db"):
        each.unlink()
    assert one.get("k", NOW) is None
    one.put(entry("new"))
    assert keys_in(other, "k", "new") == ["new"]
    other.put(entry("newer"))
    assert keys_in(one, "new", "newer") == ["new", "newer"]
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600


def test_a_file_that_is_replaced_is_read_anew(place: SqlitePlace, tmp_path: Path) -> None:
    filled(place)
    another = SqlitePlace(tmp_path / "another.db")
    writer = another.open()
    writer.put(entry("theirs"))
    writer.close()
    store = place.open()
    assert keys_in(store, "k", "theirs") == ["k"]
    os.replace(another.path, place.path)
    assert keys_in(store, "k", "theirs") == ["theirs"]


def test_a_folder_that_is_removed_raises_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    place = SqlitePlace(folder / "cache.db")
    store = place.open()
    store.put(entry())
    for each in [*folder.iterdir()]:
        each.unlink()
    folder.rmdir()
    for use in uses(store):
        with pytest.raises(FileNotFoundError):
            use()
    folder.mkdir()
    store.put(entry())
    assert keys_in(store, "k") == ["k"]
    place.close()


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
            "CREATE TRIGGER broken BEFORE INSERT ON agno_portkey_cache_1_contents "
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


def test_only_its_owner_can_read_a_new_file(place: SqlitePlace) -> None:
    before = os.umask(0)
    try:
        place.open().put(entry())
    finally:
        os.umask(before)
    for each in place.path.parent.glob("cache.db*"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


def test_a_closed_store_is_opened_again(place: SqlitePlace) -> None:
    store = place.open()
    store.put(entry())
    store.close()
    store.close()
    assert keys_in(store, "k") == ["k"]
    with closing(sqlite3.connect(place.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
