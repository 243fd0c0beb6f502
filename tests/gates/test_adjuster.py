"""An adjuster by itself: one object, and what it can not read moves nothing and is told."""

from __future__ import annotations

import copy
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from adjusting_scene import a_history

from agno_portkey import Event, Gate
from agno_portkey.gates import Adjust
from agno_portkey.gates.adjusting import Thresholds
from agno_portkey.gates.books import Books, books_of
from agno_portkey.gates.history import History

GATE = Gate(name="release", adjust=Adjust(auto=True, every=1))


def books_in(file: Path, told: list[Event]) -> Books:
    for each in a_history([0.9] * 60):
        History(str(file)).put(each)
    return books_of(str(file), gates=[GATE], swarm="Release", observers=[told.append])


def test_a_copy_of_it_is_the_same(tmp_path: Path) -> None:
    adjuster = books_in(tmp_path / "agno.db", []).adjuster
    assert adjuster is not None
    assert copy.deepcopy([adjuster])[0] is adjuster


def test_versions_that_were_spoilt_are_told_and_not_built_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, told = tmp_path / "agno.db", list[Event]()
    books = books_in(file, told)
    assert isinstance(books.thresholds, Thresholds)
    assert books.adjuster is not None
    books.thresholds.put("release", "judgement", 0.8, by="ann")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE agno_portkey_gate_thresholds SET threshold = 7")
    told.clear()
    books.adjuster.decided()
    [event] = told
    assert (event.kind, event.data) == ("adjustment", {"gate": "release", "state": "failed"})
    assert event.verdict is not None
    assert "AdjustmentRefused: version 1" in event.verdict.reason
    assert "its thresholds stay as they are" in caplog.text
    with closing(sqlite3.connect(file)) as connection:
        kept = connection.execute("SELECT version FROM agno_portkey_gate_thresholds").fetchall()
    assert kept == [(1,)]
