"""A search never misses a text in silence: what parted table and words is mended, or told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from agno.vectordb.lancedb import LanceDb
from searched import Opens, Words, by_words, doc

from agno_portkey.knowledge import SearchUnavailable
from agno_portkey.knowledge.search import words as words_file

CAT, DOG, OWL = "The cats are sitting", "A dog barks loudly", "An owl sees by night"

KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from searched import Words, doc
    from agno.vectordb.lancedb import LanceDb
    from agno_portkey.knowledge import HybridSearch
    from agno_portkey.knowledge.search import words

    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    search = HybridSearch(LanceDb(uri={uri!r}, table_name="docs", embedder=Words()))
    words.{at} = die
    {act}
"""


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "lance" / "docs.words.db"


@pytest.mark.parametrize("at", ["put", "remove", "set_stamp"])
@pytest.mark.parametrize(
    ("act", "left"),
    [
        (f'search.insert("h2", [doc({DOG!r}, "dog")])', {CAT, DOG}),
        (f'search.upsert("h", [doc({DOG!r}, "dog")])', {DOG}),
        ('search.update_metadata("c", {"kind": "changed"})', {CAT}),
        ('search.delete_by_name("cat")', set()),
    ],
)
def test_after_a_kill_between_the_writes_all_is_found(
    lance: Opens, tmp_path: Path, at: str, act: str, left: set[str]
) -> None:
    lance().insert("h", [doc(CAT, "cat", "c", kind="pet")])
    uri = str(tmp_path / "lance")
    program = textwrap.dedent(KILLED).format(
        tests=str(Path(__file__).parent), uri=uri, at=at, act=act
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    # Not each write comes by each place.
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr.decode()
    if at == "set_stamp":
        assert done.returncode == -signal.SIGKILL
    search = lance()
    assert by_words(search, "cats dog") == left
    if "changed" in act:
        assert by_words(search, "cats", filters={"kind": "changed"}) == {CAT}


def test_a_write_that_fails_half_way_is_followed(
    lance: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = lance()
    search.insert("h", [doc(CAT)])
    real: Any = search.vector_db.insert

    def half(*args: Any, **options: Any) -> None:
        real(*args, **options)
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(search.vector_db, "insert", half)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        search.insert("h2", [doc(DOG)])
    assert by_words(search, "dog cats") == {CAT, DOG}


def test_words_that_can_not_be_written_leave_nothing_out(
    lance: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = lance()
    with monkeypatch.context() as patched:

        def full(*args: Any) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        patched.setattr(words_file, "put", full)
        with pytest.raises(SearchUnavailable, match="disk is full"):
            search.insert("h", [doc(CAT)])
        with pytest.raises(SearchUnavailable, match="disk is full"):
            search.search("cat")
    assert by_words(search, "cats") == {CAT}


def test_what_others_write_is_followed(lance: Opens, tmp_path: Path, embedder: Words) -> None:
    search = lance()
    search.insert("h", [doc(CAT, "cat")])
    plain = LanceDb(uri=str(tmp_path / "lance"), table_name="docs", embedder=embedder)
    plain.insert("h2", [doc(DOG)])
    assert by_words(search, "dog") == {DOG}
    plain.table.checkout_latest()  # type: ignore[union-attr]
    plain.delete_by_name("cat")
    assert by_words(search, "cats") == set()
    # A table made anew may have as many versions as the old one had.
    plain.drop()
    for hash_ in ("h", "h2", "h3"):
        again = LanceDb(uri=str(tmp_path / "lance"), table_name="docs", embedder=embedder)
        again.insert(hash_, [doc(OWL + hash_)])
    assert by_words(search, "owl cats dog") == {OWL + "h", OWL + "h2", OWL + "h3"}


@pytest.mark.parametrize("how", ["absent", "noise", "cut", "foreign"])
def test_a_file_that_is_spoilt_is_made_anew(lance: Opens, tmp_path: Path, how: str) -> None:
    lance().insert("h", [doc(CAT), *(doc(f"filler text {n}") for n in range(200))])
    file = file_of(tmp_path)
    spoil(file, how)
    search = lance()
    assert by_words(search, "cats") == {CAT}
    search.insert("h2", [doc(DOG)])
    assert by_words(lance(), "dog cats") == {CAT, DOG}
    assert how == "absent" or file.with_name(f"{file.name}.broken").exists()


def test_one_that_lost_its_log_under_a_reader_is_made_anew(lance: Opens, tmp_path: Path) -> None:
    """SQLite looks for pages in a log that is gone, and finds that they end too early."""
    search = lance()
    search.insert("h", [doc(CAT), *(doc(f"filler text {n}") for n in range(200))])
    file = file_of(tmp_path)
    with closing(sqlite3.connect(file)) as reader:
        assert reader.execute("SELECT count(*) FROM search_rows").fetchone() == (201,)
        assert file.with_name(f"{file.name}-wal").stat().st_size
        for end in ("-wal", "-shm"):
            file.with_name(file.name + end).unlink()
        os.truncate(file, 5000)
        assert by_words(lance(), "cats") == {CAT}
    assert file.with_name(f"{file.name}.broken").exists()


def test_it_is_mended_where_it_breaks_while_open(lance: Opens, tmp_path: Path) -> None:
    search = lance()
    search.insert("h", [doc(CAT)])
    for how in ("absent", "foreign"):
        spoil(file_of(tmp_path), how)
        assert by_words(search, "cats") == {CAT}
        assert search.rebuild() == 1
        spoil(file_of(tmp_path), how)
        assert search.rebuild() == 1


def test_two_threads_that_meet_a_broken_file_make_it_anew_once(
    lance: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance().insert("h", [doc(CAT), *(doc(f"filler text {n}") for n in range(50))])
    spoil(file_of(tmp_path), "noise")
    search = lance()
    both, met, put_aside = threading.Barrier(2), threading.local(), []
    stamp, set_aside = words_file.Words.stamp, words_file.Words.set_aside

    def seen(words: words_file.Words) -> str | None:
        try:
            return stamp(words)
        except words_file.Broken:
            if not hasattr(met, "once"):
                met.once = both.wait(60)
            raise

    def noted(words: words_file.Words) -> None:
        put_aside.append(words)
        set_aside(words)

    monkeypatch.setattr(words_file.Words, "stamp", seen)
    monkeypatch.setattr(words_file.Words, "set_aside", noted)
    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(lambda _: by_words(search, "cats"), range(2))]
    assert found == [{CAT}, {CAT}]
    assert len(put_aside) == 1


@pytest.mark.parametrize("how", ["absent", "foreign"])
@pytest.mark.parametrize("filters", [None, {"kind": "pet"}])
def test_a_file_that_is_made_anew_meanwhile_leaves_nothing_out(
    lance: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: Any, how: str
) -> None:
    """Between the look at the file and the search in it others begin it anew, or spoil it."""
    search = lance()
    search.insert("h", [doc(CAT, kind="pet")])
    chunks: Any = search._chunks
    ready = chunks.ready

    def begun_anew() -> None:
        ready()
        spoil(file_of(tmp_path), how)

    monkeypatch.setattr(chunks, "ready", begun_anew)
    for kind in ("keyword", "vector"):
        found = search.find("cats", search_type=kind, filters=filters, limit=9)
        assert [hit.document.content for hit in found] == [CAT]


def spoil(file: Path, how: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        # Whatever was written is in the file itself.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    if how == "absent":
        file.unlink()
    elif how == "noise":
        file.write_bytes(b"no database" * 1000)
    elif how == "cut":
        # Within its second page.
        file.write_bytes(file.read_bytes()[:5000])
    else:
        file.unlink()
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE search_rows (mine TEXT)")
        connection.close()


def test_a_file_that_is_held_is_told_and_not_passed_over(
    lance: Opens, tmp_path: Path, embedder: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = lance()
    search.insert("h", [doc(CAT)])
    chunks: Any = search._chunks
    chunks._words = words_file.Words(str(file_of(tmp_path)), seconds=0.01)
    holder = sqlite3.connect(file_of(tmp_path), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert by_words(search, "cats") == {CAT}
    LanceDb(uri=str(tmp_path / "lance"), table_name="docs", embedder=embedder).insert(
        "h2", [doc(DOG)]
    )
    with pytest.raises(SearchUnavailable, match="another process or thread holds it"):
        search.search("dog")
    with pytest.raises(SearchUnavailable):
        search.insert("h3", [doc(OWL)])
    holder.execute("ROLLBACK")
    holder.close()
    assert by_words(search, "dog owl") == {DOG}


def test_two_processes_write_at_once(lance: Opens, tmp_path: Path) -> None:
    lance().insert("h", [doc(CAT)])
    program = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, {tests!r})
        from searched import Words, doc
        from agno.vectordb.lancedb import LanceDb
        from agno_portkey.knowledge import HybridSearch
        search = HybridSearch(LanceDb(uri={uri!r}, table_name="docs", embedder=Words()))
        for n in range(5):
            search.insert(f"{who} {{n}}", [doc(f"{who} {{n}}")])
        """
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                program.format(
                    tests=str(Path(__file__).parent), uri=str(tmp_path / "lance"), who=who
                ),
            ],
            env={**os.environ, "PYTHONPATH": path},
        )
        for who in ("ann", "bob")
    ]
    assert [each.wait() for each in running] == [0, 0]
    assert len(by_words(lance(), "ann bob")) == 10


def test_triggers_that_are_gone_are_made_anew(postgres_search: Opens) -> None:
    search = postgres_search()
    search.insert("h", [doc(CAT)])
    engine = search.vector_db.db_engine
    for statement in (
        'ALTER TABLE ai.docs DISABLE TRIGGER "words_kept_2_english"',
        "DROP FUNCTION ai.docs_portkey_kept() CASCADE",
        "DROP TABLE ai.docs_portkey_words",
    ):
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        # Without its table nobody can write past it.
        by = search if "TABLE ai.docs_portkey_words" in statement else search.vector_db
        by.insert(statement, [doc(DOG + statement)])
        assert DOG + statement in by_words(search, "dog cats")
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE ai.docs")
    assert by_words(search, "dog cats") == set()


def test_a_failed_write_leaves_no_words(postgres_search: Opens) -> None:
    search = postgres_search()
    search.insert("h", [doc(CAT, "cat")])
    engine = search.vector_db.db_engine
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE ai.docs SET content = 'dogs'")
        connection.rollback()
    assert by_words(search, "dog cats") == {CAT}
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ai.docs SET content = 'dogs'")
    assert by_words(search, "dog cats") == {"dogs"}


def test_a_table_that_is_not_agnos_is_told(postgres_search: Opens) -> None:
    search = postgres_search()
    with search.vector_db.db_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ai.docs RENAME COLUMN embedding TO vectors")
    with pytest.raises(SearchUnavailable, match="42703"):
        search.search("cat")
