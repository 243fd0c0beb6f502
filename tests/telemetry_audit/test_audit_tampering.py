"""Whatever is changed in a log or in its checkpoints is found, and said of the line it is in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import auditchain
import pytest
from auditchain.records import AuditRecord
from audited import KEY, OTHER, checked, log, numbers, written
from hypothesis import assume, given
from hypothesis import strategies as st

from agno_portkey.errors import ConfigurationError
from agno_portkey.telemetry.audit import Report, checking, verify
from agno_portkey.telemetry.audit.lines import line_of, record_of

LINES = 9
CHECKPOINTS = "audit.jsonl.checkpoints"


class Copies:
    """A log of nine lines with four checkpoints, the last of the last line; and changed copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / "audit.jsonl"
        written(path, LINES, every=3).close()
        self.log = path.read_bytes()
        self.checkpoints = path.with_name(CHECKPOINTS).read_bytes()
        self.lines = self.log.splitlines(keepends=True)
        self.changed = folder / "changed"
        self.changed.mkdir()

    def check(self, log: bytes, checkpoints: bytes | None = None) -> Report:
        path = self.changed / "audit.jsonl"
        path.write_bytes(log)
        kept = path.with_name(CHECKPOINTS)
        kept.unlink(missing_ok=True)
        if checkpoints is not None:
            kept.write_bytes(checkpoints)
        return checked(path)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(tmp_path_factory.mktemp("copies"))


def said(report: Report) -> list[tuple[str, int | None]]:
    assert not report.ok
    return [(each.where, each.line) for each in report.problems]


def test_an_untouched_one_is_as_it_was_written(copies: Copies) -> None:
    report = copies.check(copies.log, copies.checkpoints)
    assert (report.ok, report.lines, report.records, report.checkpoints) == (True, 9, 9, 4)
    assert (report.torn, report.mended, report.backward, report.unanchored) == (0, [], [], 0)
    assert report.head == json.loads(copies.lines[-1])["hash"]
    assert copies.check(copies.log).unanchored == 9


@given(at=st.integers(0), flip=st.integers(1, 255), anchored=st.booleans())
def test_a_changed_byte_anywhere(copies: Copies, at: int, flip: int, anchored: bool) -> None:
    at %= len(copies.log)
    changed = bytearray(copies.log)
    changed[at] ^= flip
    report = copies.check(bytes(changed), copies.checkpoints if anchored else None)
    line = copies.log[:at].count(b"\n") + 1
    assert ("log", line) in said(report)


@given(at=st.integers(0), byte=st.binary(min_size=1, max_size=3))
def test_bytes_that_were_added_anywhere(copies: Copies, at: int, byte: bytes) -> None:
    at %= len(copies.log) + 1
    # As the next line begins, which a kill can leave.
    assume(at < len(copies.log) or not b'{"seq":9'.startswith(byte))
    assert not copies.check(copies.log[:at] + byte + copies.log[at:]).ok


@given(at=st.integers(0))
def test_a_byte_that_was_taken_away_before_the_end(copies: Copies, at: int) -> None:
    at %= len(copies.log) - 1
    assert not copies.check(copies.log[:at] + copies.log[at + 1 :]).ok


@given(left=st.integers(0))
def test_a_tail_that_was_cut_off_with_checkpoints(copies: Copies, left: int) -> None:
    left %= len(copies.log)
    report = copies.check(copies.log[:left], copies.checkpoints)
    whole = copies.log[:left].count(b"\n")
    assert said(report) == [("log", None)]
    assert f"it has {whole} whole lines, and had 9 or more" in report.problems[0].why


@given(left=st.integers(0))
def test_a_tail_that_was_cut_off_without_any(copies: Copies, left: int) -> None:
    """It is not missed; where the cut is in the middle of a line, as a kill's, that is told."""
    left %= len(copies.log)
    report = copies.check(copies.log[:left])
    rest = copies.log[:left].rpartition(b"\n")[2]
    assert (report.ok, report.torn, report.checkpoints) == (True, len(rest), 0)


def test_a_tail_that_no_checkpoint_has_seen_is_counted(copies: Copies) -> None:
    kept = copies.checkpoints.splitlines(keepends=True)
    report = copies.check(copies.log, b"".join(kept[:-1]))
    assert (report.ok, report.checkpoints, report.unanchored) == (True, 3, 2)


def test_a_log_that_is_gone(copies: Copies) -> None:
    copies.check(b"", copies.checkpoints)
    (copies.changed / "audit.jsonl").unlink()
    assert said(checked(copies.changed / "audit.jsonl"))[0] == ("log", None)
    (copies.changed / CHECKPOINTS).unlink()
    with pytest.raises(ConfigurationError, match="there is no"):
        checked(copies.changed / "audit.jsonl")


@pytest.mark.parametrize(("one", "other"), [(0, 1), (3, 4), (2, 7), (7, 8)])
def test_lines_that_were_swapped(one: int, other: int, copies: Copies) -> None:
    lines = [*copies.lines]
    lines[one], lines[other] = lines[other], lines[one]
    found = said(copies.check(b"".join(lines)))
    assert {("log", one + 1), ("log", other + 1)} <= set(found)


@pytest.mark.parametrize("place", range(LINES - 1))
def test_a_line_that_was_taken_out_of_the_middle(place: int, copies: Copies) -> None:
    report = copies.check(b"".join(copies.lines[:place] + copies.lines[place + 1 :]))
    assert said(report) == [("log", place + 1)]
    assert f"what was line {place + 1} is missing before it" in report.problems[0].why


@pytest.mark.parametrize("place", range(LINES))
def test_a_line_that_is_there_twice(place: int, copies: Copies) -> None:
    report = copies.check(b"".join([*copies.lines[: place + 1], *copies.lines[place:]]))
    assert said(report)[0] == ("log", place + 2)
    assert "in another place than it was written" in report.problems[0].why


def changed(line: bytes, **fields: Any) -> AuditRecord:
    record = record_of(line)
    assert record is not None
    return dataclasses.replace(record, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": "2020-01-01T00:00:00.000000Z"},
        {"actor": "another"},
        {"action": "end"},
        {"subject": "another run"},
        {"metadata": {"kind": "call", "data": {"number": 7}}},
        {"hash": "f" * 64},
        {"hash": "\u00e9" * 64},
        {"key_id": ""},
        {"key_id": "another"},
        {"signer_id": "somebody"},
        {"signature": "00"},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_a_field_that_was_changed_in_a_line_that_is_well_written(
    fields: dict[str, Any], copies: Copies
) -> None:
    lines = [*copies.lines]
    lines[4] = line_of(changed(lines[4], **fields))
    assert said(copies.check(b"".join(lines)))[0] == ("log", 5)


@pytest.mark.parametrize("prev_hash", ["f" * 64, "\u00e9"])
def test_a_link_that_was_changed(prev_hash: str, copies: Copies) -> None:
    lines = [*copies.lines]
    lines[4] = line_of(changed(lines[4], prev_hash=prev_hash))
    assert said(copies.check(b"".join(lines))) == [("log", 5)]


def spaces(line: bytes) -> bytes:
    return line.replace(b',"action"', b', "action"')


def another_order(line: bytes) -> bytes:
    told = json.loads(line)
    return json.dumps({"hash": told.pop("hash"), **told}, separators=(",", ":")).encode() + b"\n"


def another_field(line: bytes) -> bytes:
    return line.replace(b'{"seq"', b'{"note":"forged","seq"')


def another_spelling(line: bytes) -> bytes:
    return line.replace(b'"call"', b'"c\\u0061ll"', 1)


def a_field_twice(line: bytes) -> bytes:
    return line.replace(b'"action":"call"', b'"action":"gate","action":"call"')


@pytest.mark.parametrize(
    "change", [spaces, another_order, another_field, another_spelling, a_field_twice]
)
def test_what_the_library_lets_pass(change: Callable[[bytes], bytes], copies: Copies) -> None:
    """It seals values; a line has to be as it was written, to the byte."""
    lines = [*copies.lines]
    lines[4] = change(lines[4])
    assert lines[4] != copies.lines[4]
    assert said(copies.check(b"".join(lines))) == [("log", 5)]

    async def load() -> list[AuditRecord]:
        return await auditchain.JsonlBackend(copies.changed / "audit.jsonl").load()

    found = asyncio.run(load())
    assert auditchain.verify_chain(found, keyring={found[0].key_id: KEY}).ok


@pytest.mark.parametrize("text", [b"[1]\n", b"null\n", b"\n", b"{}\n", b"[" * 100_000 + b"\n"])
def test_a_line_that_is_none(text: bytes, copies: Copies) -> None:
    lines = [*copies.lines]
    lines[4] = text
    report = copies.check(b"".join(lines))
    # What comes after it is as it was written.
    assert (said(report), report.records) == ([("log", 5)], 8)


@pytest.mark.parametrize("key", [None, OTHER])
@pytest.mark.parametrize("claims", [True, False])
def test_a_line_that_was_added_by_somebody_without_the_key(
    key: bytes | None, claims: bool, copies: Copies
) -> None:
    last = record_of(copies.lines[-1])
    assert last is not None
    added = changed(copies.lines[-1], seq=9, prev_hash=last.hash, hash="")
    if not claims:
        added = dataclasses.replace(added, key_id="" if key is None else "another")
    sealed = dataclasses.replace(added, hash=auditchain.compute_record_hash(added, key))
    report = copies.check(copies.log + line_of(sealed), copies.checkpoints)
    assert said(report) == [("log", 10)]
    # Nobody goes on from it.
    with pytest.raises(ConfigurationError, match="not one to go on from"):
        log(copies.changed / "audit.jsonl")({"kind": "call"})


@pytest.mark.parametrize(
    "rest", [b"x", b"\0\0\0", b'{"seq":9,"prev_hash":"00000000000000000000', b'{"seq":8,']
)
def test_a_part_of_a_line_that_nobody_here_began(rest: bytes, copies: Copies) -> None:
    text = copies.log + rest
    assert said(copies.check(text, copies.checkpoints)) == [("log", 10)]
    with pytest.raises(ConfigurationError, match="no part of a line"):
        log(copies.changed / "audit.jsonl")({"kind": "call"})
    assert (copies.changed / "audit.jsonl").read_bytes() == text


def test_a_line_that_begins_well_and_goes_on_with_what_none_has(copies: Copies) -> None:
    begins = f'{{"seq":9,"prev_hash":"{json.loads(copies.lines[-1])["hash"]}",'.encode()
    assert copies.check(copies.log + begins + b'"action":"ca').torn
    for junk in (b"\0", b"\xff", b'"action":1}x', b'"action":1} '):
        assert said(copies.check(copies.log + begins + junk)) == [("log", 10)]


def test_a_line_of_another_log_with_the_same_key(copies: Copies, tmp_path: Path) -> None:
    path = tmp_path / "another.jsonl"
    written(path, LINES)
    lines = [*copies.lines]
    lines[4] = path.read_bytes().splitlines(keepends=True)[4]
    report = copies.check(b"".join(lines))
    assert said(report) == [("log", 5), ("log", 6)]
    assert "does not follow from the line before it" in report.problems[0].why


# Checkpoints


@pytest.mark.parametrize("rest", [b"x", b"\0", b'{"seq":9} ', b'{"sqe'])
def test_what_follows_the_last_checkpoint(rest: bytes, copies: Copies) -> None:
    assert said(copies.check(copies.log, copies.checkpoints + rest)) == [("checkpoints", 5)]


def test_a_checkpoint_that_is_written_otherwise(copies: Copies) -> None:
    for old, new in ((b'{"seq"', b'{ "seq"'), (b'{"seq"', b'{"seq":7,"seq"'), (b"}\n", b"} ")):
        kept = copies.checkpoints[::-1].replace(old[::-1], new[::-1], 1)[::-1]
        assert said(copies.check(copies.log, kept)) == [("checkpoints", 4)]


@given(at=st.integers(0), flip=st.integers(1, 255))
def test_a_changed_byte_in_the_checkpoints(copies: Copies, at: int, flip: int) -> None:
    at %= len(copies.checkpoints)
    kept = bytearray(copies.checkpoints)
    kept[at] ^= flip
    line = copies.checkpoints[:at].count(b"\n") + 1
    assert ("checkpoints", line) in said(copies.check(copies.log, bytes(kept)))


@given(at=st.integers(0), byte=st.binary(min_size=1, max_size=3))
def test_bytes_that_were_added_to_the_checkpoints(copies: Copies, at: int, byte: bytes) -> None:
    at %= len(copies.checkpoints)
    kept = copies.checkpoints[:at] + byte + copies.checkpoints[at:]
    assert not copies.check(copies.log, kept).ok


def test_a_part_of_a_checkpoint_that_a_kill_left_is_nothing(copies: Copies) -> None:
    kept = copies.checkpoints.splitlines(keepends=True)
    for size in range(len(kept[-1])):
        report = copies.check(copies.log, b"".join(kept[:-1]) + kept[-1][:size])
        whole = size == len(kept[-1]) - 1
        assert (report.ok, report.checkpoints) == (True, 4 if whole else 3)


def test_a_log_that_was_written_anew_with_the_key(copies: Copies, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written(path, 9, begin=100)
    report = copies.check(path.read_bytes(), copies.checkpoints)
    anchored = [("log", 1), ("log", 4), ("log", 7), ("log", 9)]
    assert said(report) == anchored
    assert "line 1 of the checkpoints tells" in report.problems[0].why


def test_checkpoints_that_were_asked_for_and_are_not_there(copies: Copies) -> None:
    copies.check(copies.log)
    report = checked(copies.changed / "audit.jsonl", checkpoints=copies.changed)
    assert said(report) == [("checkpoints", None)]


def test_checkpoints_are_found_in_a_folder_or_by_their_file(copies: Copies, tmp_path: Path) -> None:
    copies.check(copies.log)
    shutil.copy(copies.folder / CHECKPOINTS, tmp_path / "kept")
    shutil.copy(copies.folder / CHECKPOINTS, tmp_path / CHECKPOINTS)
    for given_ in (tmp_path, tmp_path / "kept"):
        assert checked(copies.changed / "audit.jsonl", checkpoints=given_).checkpoints == 4


# Clocks, and readers


def test_a_clock_that_was_set_back_is_written_as_it_was_and_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [f"2026-05-01T00:00:0{second}.000000Z" for second in (5, 6, 2, 3, 1)]
    clock = iter(times)
    monkeypatch.setattr("auditchain.log._utcnow", lambda: next(clock))
    written(path, 5)
    report = checked(path)
    assert [json.loads(line)["ts"] for line in path.read_text().splitlines()] == times
    assert report.ok
    assert report.backward == [(3, times[1], times[2]), (5, times[3], times[4])]


def test_a_log_can_be_verified_while_it_is_written(path: Path) -> None:
    written(path, 1, every=1)
    done = threading.Event()

    def write() -> None:
        written(path, 300, begin=1, every=1)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [0]
    while not done.is_set():
        report = checked(path)
        assert report.ok, report.problems
        seen.append(report.records)
    writer.join()
    assert seen == sorted(seen)
    assert numbers(path) == list(range(301))


def test_a_line_that_is_being_written_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(path, 3)
    half, asked = threading.Event(), threading.Event()
    real_write, real_take = os.write, checking.take

    def slow(file: int, data: bytes) -> int:
        real_write(file, data[:50])
        half.set()
        asked.wait(60)
        return 50 + real_write(file, data[50:])

    def take(file: int, **how: Any) -> None:
        asked.set()
        real_take(file, **how)

    monkeypatch.setattr(os, "write", slow)
    monkeypatch.setattr(checking, "take", take)
    writer = threading.Thread(target=made, args=({"kind": "call"},))
    writer.start()
    half.wait(60)
    report = checked(path)
    writer.join()
    assert (report.ok, report.lines, report.torn) == (True, 4, 0)


def test_a_writer_that_hangs_does_not_hold_up_a_reader(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agno_portkey.telemetry.audit.checking._PATIENCE", 0.01)
    made = written(path, 3)
    with made._file.alone():
        assert verify(path, key=KEY).ok


def test_more_problems_than_are_told_are_counted(path: Path) -> None:
    written(path, 150)
    path.write_bytes(path.read_bytes().replace(b'"call"', b'"gate"'))
    report = checked(path)
    assert (report.wrong, len(report.problems), report.records) == (150, 100, 0)
