"""Rows are written beside the run, and kept until they are there, whatever their database does."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.db.in_memory import InMemoryDb
from ledger_rows import rows

from agno_portkey.errors import LedgerUnavailable
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.telemetry.ledger import writer as module
from agno_portkey.telemetry.ledger.store import MemoryStore
from agno_portkey.verdict import Event, tell

EVENT = {"input_tokens": 1, "output_tokens": 2, "model": "gpt-4o-mini"}


def event(**data: Any) -> Event:
    return Event("attempt", "Writer", data={**EVENT, **data})


class Slow(MemoryStore):
    """A store whose writes wait for `gate`, and raise `error` if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = threading.Event(), threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.goes: list[int] = []

    def put(self, rows: Any) -> list[Any]:
        self.asked.set()
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        self.goes.append(len(rows))
        return super().put(rows)


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.005)


def over(store: Slow, **options: Any) -> Ledger:
    ledger = Ledger(InMemoryDb(), **options)
    ledger._store = ledger._writer._store = store
    return ledger


def test_who_tells_does_not_wait_for_a_database_that_hangs(store: Slow) -> None:
    ledger = over(store)
    store.gate.clear()
    for number in range(500):
        ledger(event(run=str(number)))
    assert store.asked.wait(60)
    assert ledger.waiting == 500
    with pytest.raises(LedgerUnavailable, match="500 rows of the ledger are not written after"):
        ledger.flush(0.01)
    store.gate.set()
    ledger.flush(60)
    assert [row["run"] for row in rows(ledger)] == [str(number) for number in range(500)]
    assert ledger.waiting == ledger.lost == 0
    # In a few goes, and not one by one.
    assert len(store.goes) < 20


def test_a_database_that_raises_is_tried_again_until_it_takes_them(
    store: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = over(store)
    store.error = OSError("disk on fire")
    for number in range(3):
        ledger(event(run=str(number)))
    with pytest.raises(LedgerUnavailable, match=r"3 rows .* OSError"):
        ledger.flush(0.2)
    store.error = None
    ledger.flush(60)
    assert [row["run"] for row in rows(ledger)] == ["0", "1", "2"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the ledger can't be written (memory): OSError"]


def test_what_finds_no_room_is_counted_and_said(
    store: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = over(store, limit=5)
    store.gate.clear()
    for _ in range(12):
        ledger(event())
    assert (ledger.waiting, ledger.lost) == (5, 7)
    store.gate.set()
    ledger.flush(60)
    while ledger.waiting or len(rows(ledger)) < 6:
        ledger.flush(60)
    [lost] = rows(ledger, kind="lost")
    assert lost["requests"] == 7
    assert len(rows(ledger, kind="attempt")) == 5
    assert [each.lost for each in ledger.sums("kind") if each.lost] == [7]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "the ledger is full (5 rows wait for memory)" in record.getMessage()


def test_a_row_that_can_not_be_kept_is_counted(
    store: Slow, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = over(store)
    monkeypatch.setattr(store, "put", lambda given: [given[0]])
    ledger(event())
    ledger.flush(60)
    assert (ledger.lost, ledger.waiting) == (1, 0)
    assert "1 rows of the ledger can't be kept" in caplog.text


def test_an_event_that_can_not_be_read_is_counted_and_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise RuntimeError("odd")

    ledger = Ledger(InMemoryDb())
    tell([ledger], Event("attempt", data=Odd()))
    assert (ledger.lost, rows(ledger)) == (1, [])
    assert "the ledger can't book an event 'attempt'" in caplog.text


def test_what_is_not_written_yet_is_not_left_out_of_what_was_spent(store: Slow) -> None:
    ledger = over(store, timeout=0.05)
    key = (("run", "r"),)
    store.gate.clear()
    ledger(event(run="r"))
    with pytest.raises(LedgerUnavailable, match="1 rows of the ledger are not written"):
        ledger.read(key)
    store.gate.set()
    ledger.flush(60)
    assert ledger.read(key).tokens == 3


def test_nothing_blocks_an_event_loop(store: Slow) -> None:
    ledger = over(store)
    store.gate.clear()

    async def told() -> int:
        ledger(event())
        store.gate.set()
        return await asyncio.to_thread(lambda: ledger.flush(60) or ledger.waiting)

    assert asyncio.run(told()) == 0


def test_many_threads_tell_at_once(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"), timeout=30)
    threads = [
        threading.Thread(target=lambda: [ledger(event()) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush(60)
    assert [row["seq"] for row in rows(ledger)] == [*range(1, 401)]


def test_only_what_takes_something_is_booked() -> None:
    ledger = Ledger(InMemoryDb())
    for kind in ("call", "guard", "cache", "contract", "gate", "search", "budget"):
        ledger(Event(kind, data=EVENT))
    assert rows(ledger) == []


def test_the_same_event_told_twice_is_one() -> None:
    ledger = Ledger(InMemoryDb())
    tell([ledger, ledger], event())
    tell([ledger], event())
    assert len(rows(ledger)) == 2


PROCESS = """
import sys
from agno_portkey.telemetry.ledger import Ledger
from agno_portkey.verdict import Event
ledger = Ledger(sys.argv[1], timeout=30)
event = lambda: Event("attempt", data={"input_tokens": 1, "output_tokens": 2, "model": "gpt-4o"})
"""


def run_in_process(code: str, database: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROCESS + code, database],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )


def test_a_process_that_ends_has_written_what_it_heard(database: str) -> None:
    run_in_process("for _ in range(300): ledger(event())", database)
    assert len(rows(Ledger(database, timeout=30))) == 300


def test_a_process_that_ends_says_what_it_lost(tmp_path: Path) -> None:
    code = """
from agno_portkey.telemetry.ledger import writer
import threading
writer._AT_THE_END = 0.05
class Hangs:
    place = "x"
    def put(self, rows): threading.Event().wait()
ledger._writer._store = Hangs()
for _ in range(3): ledger(event())
"""
    done = run_in_process(code, str(tmp_path / "ledger.db"))
    assert "3 rows of the ledger are lost" in done.stderr


def test_a_fork_writes_its_own_rows_and_not_its_parents(tmp_path: Path) -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore")
ledger(event())
ledger._writer.lock.acquire()  # somebody holds it at that moment
pid = os.fork()
if pid == 0:
    ledger(event())
    ledger.flush(30)
    os._exit(0)
ledger._writer.lock.release()
assert os.waitpid(pid, 0)[1] == 0
ledger(event())
"""
    path = str(tmp_path / "ledger.db")
    run_in_process(code, path)
    found = rows(Ledger(path, timeout=30))
    assert len(found) == 3
    assert sorted(row["seq"] for row in found) == [1, 1, 2]


def test_it_stays_in_its_process() -> None:
    ledger = Ledger(InMemoryDb())
    assert copy.deepcopy(ledger) is ledger
    with pytest.raises(TypeError, match="a Ledger stays in its process"):
        pickle.dumps(ledger)


def test_a_system_without_threads_loses_nothing(
    store: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = over(store)

    def none(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        ledger(event())
    ledger.flush(60)
    assert len(rows(ledger)) == 1
