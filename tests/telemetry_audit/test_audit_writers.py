"""Whoever writes into one log, and however many: threads, coroutines, processes and forks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from audited import KEY, checked, child, log, numbers

from agno_portkey.telemetry.audit import AuditLog


def test_fifty_threads_make_one_chain_and_each_has_its_record(path: Path) -> None:
    made = log(path, every=7)
    begin = threading.Barrier(50)

    def write(first: int) -> None:
        begin.wait()
        for number in range(first, first + 20):
            made({"kind": "call", "data": {"number": number}})
            with lock:
                seen.append(number)

    seen: list[int] = []
    lock = threading.Lock()
    threads = [threading.Thread(target=write, args=(20 * place,)) for place in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = checked(path)
    assert (report.ok, report.records, report.backward) == (True, 1000, [])
    assert sorted(numbers(path)) == sorted(seen) == list(range(1000))


def test_fifty_coroutines_at_once_make_one_chain(path: Path) -> None:
    made = log(path)

    async def write(number: int) -> None:
        await asyncio.to_thread(made, {"kind": "call", "data": {"number": number}})

    async def all_of_them() -> None:
        await asyncio.gather(*(write(number) for number in range(50)))

    asyncio.run(all_of_them())
    assert checked(path).ok
    assert sorted(numbers(path)) == list(range(50))


def test_threads_that_wait_are_written_with_one_fsync(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = AuditLog(path, key=KEY, every=1000)
    made({"kind": "first"})
    calls, began, go_on, real = [], threading.Event(), threading.Event(), os.fsync

    def slow(file: int) -> None:
        calls.append(file)
        began.set()
        go_on.wait(60)
        real(file)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=made, args=({"kind": "call"},)) for _ in range(20)]
    threads[0].start()
    began.wait(60)
    for thread in threads[1:]:
        thread.start()
    while len(made._pending) < 19:
        pass
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 2
    assert checked(path).kinds == {"first": 1, "call": 20}


WRITER = """if True:
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import log
    made = log(Path(sys.argv[2]), every=11)
    print("ready", flush=True)
    sys.stdin.read(1)
    for number in range(int(sys.argv[3]), int(sys.argv[3]) + 100):
        made({"kind": "call", "data": {"number": number}})
"""


def test_processes_make_one_chain(path: Path) -> None:
    here = Path(__file__).parent
    writers = [child(WRITER, here, path, 100 * place) for place in range(3)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("x")
        writer.stdin.flush()
    assert [writer.communicate()[1] for writer in writers] == [""] * 3
    report = checked(path)
    assert (report.ok, report.records, report.unanchored) == (True, 300, 0)
    assert sorted(numbers(path)) == list(range(300))


FORKED = """if True:
    import os, sys, threading
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import log
    made = log(Path(sys.argv[2]))
    made({"kind": "parent"})
    forks = []
    def forking():
        # Forked by another thread while this one writes, a child has its lock, taken, and its file.
        child = os.fork()
        if not child:
            made({"kind": "child"})
            os.read(hold, 1)
            os._exit(0)
        forks.append(child)
    hold, let = os.pipe()
    append = made._file.append_many
    async def slow(records):
        thread = threading.Thread(target=forking)
        thread.start()
        thread.join()
        made._file.append_many = append
        await append(records)
    made._file.append_many = slow
    made({"kind": "parent"})
    made({"kind": "parent"})
    os.write(let, b"x")
    assert os.waitpid(forks[0], 0)[1] == 0
    made({"kind": "parent"})
"""


def test_a_child_that_is_forked_in_the_middle_of_a_line_writes_lines_of_its_own(path: Path) -> None:
    here = Path(__file__).parent
    subprocess.run([sys.executable, "-c", FORKED, here, path], check=True, timeout=60)
    report = checked(path)
    assert (report.ok, report.kinds) == (True, {"parent": 4, "child": 1})
