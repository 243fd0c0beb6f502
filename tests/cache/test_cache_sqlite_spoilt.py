"""A SQLite cache whose file is spoilt, another's, or gone: it raises, or begins anew."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cache_entries import NOW, entry, keys_in, uses
from cache_places import SqlitePlace, filled

from agno_portkey.errors import ConfigurationError


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SqlitePlace]:
    made = SqlitePlace(tmp_path / "cache.db")
    yield made
    made.close()


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
        connection.execute("CREATE TABLE agno_portkey_cache_2_entries (key TEXT, answer TEXT)")
        connection.execute("INSERT INTO agno_portkey_cache_2_entries VALUES ('k', 'x')")
    with pytest.raises(ConfigurationError, match=r"tables by our names are not ours.*delete it"):
        place.open()
    with place.connection() as connection:
        [(there,)] = connection.execute("SELECT count(*) FROM agno_portkey_cache_2_entries")
    assert there == 1


def test_a_foreign_table_that_comes_in_while_it_is_open(place: SqlitePlace, tmp_path: Path) -> None:
    another = SqlitePlace(tmp_path / "another.db")
    with another.connection() as connection:
        connection.execute("CREATE TABLE agno_portkey_cache_2_leases (key BLOB)")
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
        for (name,) in [row for row in names if "cache_2" in row[0]]:
            with suppress(sqlite3.OperationalError):
                connection.execute(f"DROP TABLE {name}")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        store.get("k", NOW)
    assert store.get("k", NOW) is None
    store.put(entry())
    assert keys_in(store, "k") == ["k"]


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


def test_only_its_owner_can_read_a_new_file(place: SqlitePlace) -> None:
    before = os.umask(0)
    try:
        place.open().put(entry())
    finally:
        os.umask(before)
    for each in place.path.parent.glob("cache.db*"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


@pytest.mark.parametrize("there", [True, False], ids=["empty file", "no file"])
def test_only_its_owner_can_read_what_a_link_names(
    place: SqlitePlace, tmp_path: Path, there: bool
) -> None:
    real = tmp_path / "elsewhere" / "real.db"
    real.parent.mkdir()
    if there:
        real.touch(mode=0o600)
    place.path.symlink_to(tmp_path / "link.db")
    (tmp_path / "link.db").symlink_to(real)
    before = os.umask(0)
    try:
        place.open().put(entry())
    finally:
        os.umask(before)
    assert place.path.is_symlink()
    for each in [*real.parent.iterdir(), *tmp_path.glob("cache.db?*")]:
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    assert keys_in(place.open(), "k") == ["k"]


@pytest.mark.parametrize("end", ["cache.db", "none/cache.db"], ids=["itself", "nowhere"])
def test_a_link_to_what_can_not_be_is_refused(place: SqlitePlace, end: str) -> None:
    place.path.symlink_to(place.path.parent / end)
    with pytest.raises(ConfigurationError, match=r"^cache: no answers can be kept in "):
        place.open()


def test_a_closed_store_is_opened_again(place: SqlitePlace) -> None:
    store = place.open()
    store.put(entry())
    store.close()
    store.close()
    assert keys_in(store, "k") == ["k"]
    with closing(sqlite3.connect(place.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
