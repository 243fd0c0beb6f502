"""A process that forks while a thread writes to SQLite has a child that can write as well."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from agno_portkey.forks import _Uses

# The fork is asked for while the thread is in its transaction, and waits for that to end.
CODE = """
import os, sys, threading, warnings
from sqlalchemy import Column, Integer, MetaData, Table
from agno_portkey.sql import SqlTable

warnings.simplefilter("ignore")
rows = Table("rows", MetaData(), Column("id", Integer, primary_key=True))
table = SqlTable(f"sqlite:///{sys.argv[1]}", rows, seconds=2)
table.make()
within, asked = threading.Event(), threading.Event()
os.register_at_fork(before=asked.set)

def put(*ids):
    with table.writing() as connection:
        for id in ids:
            connection.execute(rows.insert().values(id=id))
            if id == 1:
                within.set()
                asked.wait(30)

thread = threading.Thread(target=put, args=(1, 2))
thread.start()
within.wait(30)
if (child := os.fork()) == 0:
    try:
        put(3)
        os._exit(0)
    finally:
        os._exit(1)
thread.join()
put(4)
status = os.waitpid(child, 0)[1]
with table.connection() as connection:
    print(status, *sorted(connection.execute(rows.select()).scalars()))
"""


def test_a_child_is_not_locked_out_by_what_its_parent_was_doing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", dedent(CODE), str(tmp_path / "rows.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["0", "1", "2", "3", "4"], ended.stderr


def test_who_forks_within_a_use_waits_for_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.register_at_fork", lambda **_: None)
    uses, within, done = _Uses(), threading.Event(), threading.Event()

    def use() -> None:
        with uses.one(), uses.one():
            within.set()
            done.wait(30)

    thread = threading.Thread(target=use)
    with uses.one():
        thread.start()
        assert within.wait(30)
        done.set()
        uses.hold()
        assert len(uses._by) == 1
        uses.let_go()
        with uses.one():
            pass
    thread.join()
    assert not uses._by


def test_a_use_that_never_ends_holds_no_fork_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.register_at_fork", lambda **_: None)
    monkeypatch.setattr("agno_portkey.forks._PATIENCE", 0.01)
    uses, within, done = _Uses(), threading.Event(), threading.Event()

    def use() -> None:
        with uses.one():
            within.set()
            done.wait(30)

    thread = threading.Thread(target=use)
    thread.start()
    assert within.wait(30)
    uses.hold()
    uses.let_go()
    uses.hold()
    # As in the child: nobody who is there was there before.
    uses.begin_anew()
    with uses.one():
        assert len(uses._by) == 1
    done.set()
    thread.join()
