"""Files that somebody has put in a log's place, and lines that are there to be stumbled over."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from audited import KEY, checked, log, numbers, written
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agno_portkey.cli.audit import app
from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.telemetry.audit import file, lines
from agno_portkey.telemetry.audit import log as log_module

# A log that was cut


@pytest.mark.parametrize("left", [0, 2, 4])
def test_a_log_that_was_cut_and_gone_on_with_is_not_gone_on_with_here(
    left: int, path: Path, tmp_path: Path
) -> None:
    made = written(path, 5)
    whole = path.read_bytes().splitlines(keepends=True)
    os.truncate(path, len(b"".join(whole[:left])))
    # By somebody who has the key, and knows of no checkpoint that is missed.
    (tmp_path / "none").mkdir()
    written(path, 9, begin=10, checkpoints=tmp_path / "none")
    assert path.stat().st_size > len(b"".join(whole))
    before = path.read_bytes()
    with pytest.raises(DatabaseGone, match="was cut"):
        made({"kind": "call"})
    assert path.read_bytes() == before


def test_what_others_add_meanwhile_is_no_cut(path: Path) -> None:
    one, other = written(path, 1), log(path)
    for number in range(1, 7):
        record = {"kind": "call", "data": {"number": number}}
        (one if number % 2 else other)(record)
    assert numbers(path) == [*range(7)]
    assert checked(path).ok


def test_a_line_that_is_taken_away_at_the_end_of_a_process_is_told(path: Path) -> None:
    made = written(path, 3)
    head = json.loads(path.read_bytes().splitlines()[-1])["hash"]
    with path.open("ab") as other:  # of a process that was killed
        other.write(b'{"seq":3,"prev_hash":"%s","acti' % head.encode())
    made.close()
    report = checked(path)
    assert (report.ok, report.mended, report.unanchored) == (True, [4], 0)


def test_two_checkpoints_of_one_line_that_differ_are_told(path: Path, tmp_path: Path) -> None:
    written(path, 3).close()
    kept = path.with_name("audit.jsonl.checkpoints")
    second = tmp_path / "second" / path.name
    second.parent.mkdir()
    written(second, 3, begin=7).close()
    other = second.with_name("audit.jsonl.checkpoints").read_bytes().splitlines(keepends=True)
    # What was before is known; that there was something else is not to be lost behind it.
    kept.write_bytes(other[-1] + kept.read_bytes())
    report = checked(path)
    told = [(each.where, each.line) for each in report.problems]
    assert ("checkpoints", 3) in told
    again = kept.read_bytes() + kept.read_bytes()[: -len(other[-1])]
    path.write_bytes(second.read_bytes())
    kept.write_bytes(other[-1] + again)
    assert not checked(path).ok


# What is no file


def _named(path: Path) -> Path:
    return path.with_name("audit.jsonl.checkpoints")


def _ends(does: Callable[[], Any]) -> Any:
    """What `does` comes to, or the error that it raises; it must not wait for ever."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(does())
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert came, "it waits for ever"
    return came[0]


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [os.mkfifo, _folder])
def test_a_pipe_or_folder_in_the_place_of_a_log_is_not_waited_for(
    make: Callable[[Path], None], path: Path
) -> None:
    make(path)
    for does in (lambda: checked(path), lambda: log(path)):
        error = _ends(does)
        assert isinstance(error, ConfigurationError)
        assert f"path: {path} is no file" in str(error)


@pytest.mark.parametrize("begun", [False, True])
def test_a_pipe_in_the_place_of_the_checkpoints_is_not_waited_for(begun: bool, path: Path) -> None:
    made = written(path, 3, every=4) if begun else log(path, every=4)
    _named(path).unlink(missing_ok=True)
    os.mkfifo(_named(path))
    reader = os.open(_named(path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        for does in (lambda: checked(path), lambda: [made({"kind": "call"}) for _ in range(9)]):
            error = _ends(does)
            assert isinstance(error, ConfigurationError)
            assert "checkpoints: " in str(error)
    finally:
        os.close(reader)


# Lines that are too long


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """The longest line, as if it were so short."""
    from agno_portkey.telemetry.audit import checking

    for module in (lines, checking, log_module):
        monkeypatch.setattr(module, "LONGEST", 2000)
    for module in (lines, checking):
        monkeypatch.setattr(module, "BLOCK", 64)
    return 2000


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("more", [0, 1, 63, 64, 5000])
def test_a_line_that_is_too_long_is_not_read_and_is_told(
    more: int, end: bytes, short: int, path: Path
) -> None:
    made = written(path, 3)
    last = path.read_bytes().splitlines(keepends=True)[-1]
    with path.open("ab") as other:
        other.write(b"x" * (short + more) + end)
    # One that is hardly too long may be read before it is refused.
    said = r"which no such log has" if more == 5000 else r"no such log has|no part of|is no line"
    with pytest.raises(ConfigurationError, match=said):
        made({"kind": "call"})
    report = checked(path)
    assert [(each.where, each.line) for each in report.problems] == [("log", 4)]
    with path.open("ab") as other:
        other.write(b"\n" * (not end) + last)
    assert [each.line for each in checked(path).problems] == [4, 5]


def test_many_lines_are_longer_than_one_may_be(short: int, path: Path) -> None:
    from agno_portkey.cli.audit_text import newest

    written(path, 30)
    assert path.stat().st_size > 4 * short
    found, end = newest(path, 30)
    assert (b"".join(found), end) == (path.read_bytes(), path.stat().st_size)
    log(path)({"kind": "call"})
    assert checked(path).ok


def test_a_log_whose_first_line_is_too_long(short: int, path: Path) -> None:
    path.write_bytes(b"x" * (3 * short))
    with pytest.raises(ConfigurationError):
        log(path)({"kind": "call"})


def test_a_checkpoint_that_is_too_long(path: Path) -> None:
    written(path, 3).close()
    kept = _named(path)
    kept.write_bytes(b'{"seq":' + b"1" * 200_000)
    assert not checked(path).ok


@given(st.lists(st.binary(max_size=200), max_size=8), st.integers(1, 70))
def test_lines_from_the_end_are_those_from_the_beginning(parts: list[bytes], block: int) -> None:
    data = b"\n".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        held = os.memfd_create("lines")
        try:
            os.write(held, data)
            found = [*lines.tail_of(held, len(data))]
        finally:
            os.close(held)
    assert found[0] == data.rpartition(b"\n")[2]
    assert b"".join(reversed(found)) == data
    assert all(each.endswith(b"\n") and each.count(b"\n") == 1 for each in found[1:])


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"])
def test_a_record_that_is_too_long_is_refused_and_the_longest_is_read(
    letter: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_LARGEST", 4000)
    for module in (lines, log_module):
        monkeypatch.setattr(module, "LONGEST", 2 * 4000 + 4096)
    size = len(json.dumps(letter)) - 2
    made = written(path, 1)
    fits = {"kind": "call", "role": letter * (3900 // size)}
    made(fits)
    with pytest.raises(ValueError, match="too long for an audit log"):
        made({**fits, "role": letter * (4000 // size)})
    made({"kind": "call"})
    log(path)({"kind": "call"})
    report = checked(path)
    assert (report.ok, report.lines) == (True, 4)


def test_the_longest_record_is_read_by_all(path: Path) -> None:
    made = written(path, 1)
    # Who it is of stands in its line twice.
    made({"kind": "call", "role": "x" * (lines._LARGEST - 100)})
    assert path.stat().st_size > 2 * (lines._LARGEST - 100)
    log(path)({"kind": "call"})
    made({"kind": "call"})
    report = checked(path)
    assert (report.ok, report.records) == (True, 4)


# Who waits


def test_no_more_than_so_many_wait_for_whoever_has_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_WAITING", 3)
    made = written(path, 1)
    held = os.open(path, os.O_RDONLY)
    file.take(held)
    begun = threading.Barrier(2)
    real = made._file.alone
    asked = []

    def alone(*given: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            begun.wait(30)
        return real(*given)

    monkeypatch.setattr(made._file, "alone", alone)
    first = threading.Thread(target=made, args=({"kind": "call"},), daemon=True)
    first.start()
    begun.wait(30)
    others = [
        threading.Thread(target=made, args=({"kind": "call"},), daemon=True) for _ in range(3)
    ]
    for each in others:
        each.start()
    while len(made._pending) < 3:
        assert all(each.is_alive() for each in others)
    error = _ends(lambda: made({"kind": "call"}))
    assert isinstance(error, OSError)
    assert "3 records wait for the audit log" in str(error)
    file.let_go(held)
    os.close(held)
    for each in (first, *others):
        each.join(30)
    made({"kind": "call"})
    assert checked(path).lines == 6


# What is written over


@pytest.mark.parametrize("make", [os.mkfifo, _folder])
def test_an_export_takes_the_place_of_files_alone(
    make: Callable[[Path], None], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path, 3).close()
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o600)
    to = tmp_path / "to"
    make(to)
    asked = ["export", str(path), "--to", str(to), "--key-file", str(tmp_path / "key")]
    result = CliRunner().invoke(app, asked, env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert "is no file" in result.output
    assert not to.is_file()
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".to")) == []


def test_a_line_that_is_too_long_is_not_followed(short: int, path: Path) -> None:
    from agno_portkey.cli.audit_text import follow

    written(path, 2)
    size = path.stat().st_size
    with path.open("ab") as other:
        other.write(b"x" * (short + 1))
    with pytest.raises(ConfigurationError, match="longer than any"):
        next(follow(path, size))
