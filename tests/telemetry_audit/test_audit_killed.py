"""What a kill, a full disk and an interruption leave: no line that was acknowledged is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from audited import KEY, checked, child, log, numbers, written

from agno_portkey.errors import DatabaseGone
from agno_portkey.telemetry.audit import AuditLog

HERE = Path(__file__).parent

# For each line that it is told, two processes write, each in four threads, until they are killed;
# they say each number once it is acknowledged.
WRITERS = """if True:
    import os, sys, threading
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import log
    def write(made, number):
        while True:
            made({"kind": "call", "data": {"number": number}, "padding": "x" * 2000})
            os.write(1, b"%d\\n" % number)
            number += 4
    for turn in sys.stdin:
        pids = []
        for place in (0, 1):
            pids.append(os.fork())
            if not pids[-1]:
                made = log(Path(sys.argv[2]), every=5)
                first = 1_000_000 * (2 * int(turn) + place)
                for number in range(first + 1, first + 4):
                    threading.Thread(target=write, args=(made, number)).start()
                write(made, first)
        os.write(1, b"%d %d pids\\n" % tuple(pids))
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [9, 9]
        os.write(1, b"all over\\n")
"""


def test_a_kill_in_the_middle_loses_no_acknowledged_line(path: Path) -> None:
    acknowledged: set[int] = set()
    with child(WRITERS, HERE, path) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for turn in range(12):
            writers.stdin.write(f"{turn}\n")
            writers.stdin.flush()
            # Another number of lines each time, so that they are killed somewhere else.
            seen: list[int] = []
            pids: list[int] = []
            for line in writers.stdout:
                if line == "all over\n":
                    break
                if line.endswith(" pids\n"):
                    pids = [int(each) for each in line.split()[:2]]
                else:
                    seen.append(int(line))
                both = {number // 1_000_000 for number in seen} == {2 * turn, 2 * turn + 1}
                if pids and both and len(seen) > 7 * turn:
                    for pid in pids:
                        os.kill(pid, signal.SIGKILL)
                    pids = []
            acknowledged.update(seen)
            report = checked(path)
            assert report.ok, report.problems
            assert set(seen) <= set(stored(path))
    written(path, 1, begin=7)
    report = checked(path)
    assert (report.ok, report.torn) == (True, 0)
    there = numbers(path)
    assert acknowledged <= set(there)
    assert len(there) - there.count(7) == len({*there} - {7})


def stored(path: Path) -> list[int]:
    """The numbers of the whole lines."""
    lines = path.read_bytes().rpartition(b"\n")[0].splitlines()
    return [each["meta"]["data"].get("number") for each in map(json.loads, lines)]


# For each case that it is told, a process is killed in the middle of a write; so many bytes are
# written before, counted from the end if that is below 0.
HALF = """if True:
    import json, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import written
    def killed(path, count, which):
        made = written(Path(path), 3, every=4)
        real = os.write
        def half(file, data):
            if os.readlink(f"/proc/self/fd/{file}").endswith(which):
                real(file, data[:count])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(file, data)
        os.write = half
        made({"kind": "call", "data": {"number": 3}})
        made({"kind": "call", "data": {"number": 4}})
    for case in sys.stdin:
        pid = os.fork()
        if not pid:
            killed(*json.loads(case))
        print(os.waitpid(pid, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def killer() -> Iterator[subprocess.Popen[str]]:
    with child(HALF, HERE) as process:
        yield process


def halved(
    killer: subprocess.Popen[str], path: Path, count: int, which: str = "audit.jsonl"
) -> None:
    assert killer.stdin is not None
    assert killer.stdout is not None
    killer.stdin.write(json.dumps([str(path), count, which]) + "\n")
    killer.stdin.flush()
    assert int(killer.stdout.readline()) == signal.SIGKILL


@pytest.mark.parametrize("count", [1, 8, 40, 100, -30, -2])
def test_a_line_that_a_kill_broke_off_is_told_and_taken_away(
    count: int, path: Path, killer: subprocess.Popen[str]
) -> None:
    halved(killer, path, count)
    before = path.read_bytes()
    rest = before.rpartition(b"\n")[2]
    report = checked(path)
    assert (report.ok, report.lines, report.torn) == (True, 3, len(rest))
    written(path, 1, begin=9)
    report = checked(path)
    assert (report.ok, report.lines, report.torn, report.mended) == (True, 5, 0, [4])
    assert numbers(path) == [0, 1, 2, 9]
    assert path.read_bytes().startswith(before[: -len(rest)])
    told = json.loads(path.read_bytes().splitlines()[3])
    assert told["action"] == "repaired"
    assert told["meta"]["data"]["bytes"] == len(rest)


def test_a_line_whose_end_alone_is_missing_is_kept(
    path: Path, killer: subprocess.Popen[str]
) -> None:
    """Whoever cuts the end off an acknowledged line does not get the line taken away."""
    halved(killer, path, -1)
    report = checked(path)
    assert (report.ok, report.lines) == (True, 3)
    assert report.torn > 0
    written(path, 1, begin=9)
    report = checked(path)
    assert (report.ok, report.mended, report.torn) == (True, [], 0)
    assert numbers(path) == [0, 1, 2, 3, 9]


@pytest.mark.parametrize("count", [1, 30, -1])
def test_a_checkpoint_that_a_kill_broke_off(
    count: int, path: Path, killer: subprocess.Popen[str]
) -> None:
    halved(killer, path, count, ".checkpoints")
    report = checked(path)
    # Without its end it is as good as whole.
    assert (report.ok, report.lines, report.checkpoints) == (True, 5, 2 if count == -1 else 1)
    made = written(path, 1, begin=9)
    made.close()
    report = checked(path)
    assert (report.ok, report.unanchored) == (True, 0)
    kept = path.with_name("audit.jsonl.checkpoints").read_text().splitlines()
    assert [json.loads(line)["seq"] for line in kept] == [0, 5]


def test_a_cut_that_looks_like_a_kill_is_told_by_a_checkpoint(path: Path) -> None:
    written(path, 4).close()
    path.write_bytes(path.read_bytes()[:-50])
    report = checked(path)
    assert not report.ok
    assert "it was cut" in report.problems[0].why
    with pytest.raises(DatabaseGone, match="has 3 lines, and had 4"):
        written(path, 1)


FULL = """if True:
    import resource, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import written
    path = Path(sys.argv[2])
    made = written(path, 3)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    for _ in range(3):
        try:
            made({"kind": "call", "data": {"number": 7}})
        except OSError as error:
            print(error.errno, path.stat().st_size)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    written(path, 2, begin=3)
    made({"kind": "call", "data": {"number": 5}})
"""


def test_a_disk_that_is_full_leaves_no_part_of_a_line(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, HERE, path], capture_output=True, text=True, check=True
    )
    size = sum(map(len, path.read_bytes().splitlines(keepends=True)[:3]))
    assert done.stdout.splitlines() == [f"{errno.EFBIG} {size}"] * 3
    assert (checked(path).ok, checked(path).mended) == (True, [])
    assert numbers(path) == [0, 1, 2, 3, 4, 5]


def test_where_no_part_can_be_taken_away_the_next_writer_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = written(path, 2), os.write

    def full(file: int, data: bytes) -> int:
        real(file, data[:30])
        raise OSError(errno.ENOSPC, "no room")

    def refused(file: int, size: int) -> None:
        raise OSError(errno.EIO, "can't be cut")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", full)
        broken.setattr(os, "ftruncate", refused)
        with pytest.raises(OSError, match="can't be cut"):
            made({"kind": "call"})
    # The part is cut off, and then again there is no room for what tells of it.
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", full)
        with pytest.raises(OSError, match="no room"):
            made({"kind": "call"})
    made({"kind": "call", "data": {"number": 2}})
    report = checked(path)
    assert (report.ok, report.torn, report.mended) == (True, 0, [3])
    assert numbers(path) == [0, 1, 2]


def test_what_the_disk_does_not_keep_is_not_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(path, 2, sync=True)

    def lost(file: int) -> None:
        raise OSError(errno.EIO, "lost")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lost)
        with pytest.raises(OSError, match="lost"):
            made({"kind": "call"})
    assert checked(path).lines == 2
    made({"kind": "call", "data": {"number": 2}})
    assert (checked(path).ok, numbers(path)) == (True, [0, 1, 2])


@pytest.mark.parametrize("sync", [True, False])
def test_it_is_on_the_disk_before_it_is_acknowledged(
    sync: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, real = [], os.fsync

    def noted(file: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{file}"), os.fstat(file).st_size))
        real(file)

    monkeypatch.setattr(os, "fsync", noted)
    made = AuditLog(path, key=KEY, sync=sync)
    made({"kind": "call"})
    one = path.stat().st_size
    made({"kind": "call"})
    kept = path.with_name("audit.jsonl.checkpoints")
    whole = [
        (str(path), one),
        (str(path.parent), path.parent.stat().st_size),
        (str(kept), kept.stat().st_size),
        (str(path), path.stat().st_size),
    ]
    assert synced == (whole if sync else [])


READ_ONLY = """if True:
    import os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from audited import checked, log
    path = Path(sys.argv[2])
    made = log(path)
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        made({"kind": "call"})
    except OSError as error:
        print(type(error).__name__)
    print(checked(path).ok)
"""


def test_a_log_that_may_only_be_read_is_refused_and_can_be_verified() -> None:
    # Not in the folder of this test, which others than its owner don't get to.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        written(path, 2).close()
        path.chmod(0o444)
        path.with_name("audit.jsonl.checkpoints").chmod(0o444)
        path.parent.chmod(0o555)
        # Whoever it is run as could not write down what of it was covered, either.
        env = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, HERE, path], capture_output=True, text=True, env=env
        )
        assert (done.stdout.split(), done.stderr) == (["PermissionError", "True"], "")
        assert numbers(path) == [0, 1]
        path.parent.chmod(0o755)


def test_whoever_writes_for_others_and_is_interrupted_acknowledges_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(path, 1)
    real, began, go_on = made._file.append_many, threading.Event(), threading.Event()
    told: list[Any] = []

    async def slow(records: Any) -> None:
        began.set()
        go_on.wait(60)
        await real(records)

    async def interrupted(records: Any) -> None:
        raise KeyboardInterrupt

    def write(number: int) -> None:
        try:
            made({"kind": "call", "data": {"number": number}})
            told.append(number)
        except BaseException as error:
            told.append(type(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2, 3)]
    monkeypatch.setattr(made._file, "append_many", slow)
    threads[0].start()
    began.wait(60)
    for thread in threads[1:]:
        thread.start()
    while len(made._pending) < 2:
        pass
    monkeypatch.setattr(made._file, "append_many", interrupted)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(map(str, told)) == ["1", str(KeyboardInterrupt), str(OSError)]
    monkeypatch.undo()
    made({"kind": "call", "data": {"number": 4}})
    assert (checked(path).ok, numbers(path)) == (True, [0, 1, 4])


def test_the_end_of_a_process_does_not_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_portkey.telemetry.audit.log._AT_EXIT", 0.05)
    made, another = written(path, 2), log(path)
    with another._file.alone(), pytest.raises(TimeoutError, match="another process"):
        made.close()
    with made._turn, pytest.raises(TimeoutError, match="other threads"):
        made.close()
    made.close()
    assert checked(path).unanchored == 0
