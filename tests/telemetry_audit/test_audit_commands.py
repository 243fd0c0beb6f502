"""`agno-portkey audit`: verify, export and tail."""

from __future__ import annotations

import base64
import csv
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from audited import KEY, OTHER, checked, log, written
from rich.cells import cell_len
from typer.testing import CliRunner

from agno_portkey.cli import app
from agno_portkey.errors import DatabaseGone
from agno_portkey.gates.clearance.keys import new_key
from agno_portkey.hooks import AuditHook
from agno_portkey.hooks.sinks import LineFile
from agno_portkey.telemetry.audit import KEY_VARIABLE, AuditLog
from agno_portkey.verdict import Event

EVIL = "\x1b[31m\x1b]0;owned\x07\u202e=1+1"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(KEY).decode())


def run(*arguments: object, code: int = 0, width: int = 80) -> str:
    result = CliRunner().invoke(
        app, ["audit", *map(str, arguments)], env={"COLUMNS": str(width), "TERM": "dumb"}
    )
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def kept(path: Path) -> Path:
    """A log of gate, call and start records, as hooks write them."""
    made = log(path)
    verdict = {"passed": False, "source": "safety", "score": 0.4}
    made({"kind": "start", "role": "Planner", "status": "running", "model": "gpt-4o-mini"})
    made({"kind": "call", "role": "Planner", "data": {"model": "gpt-4o-mini", "provider": "o"}})
    made({"kind": "gate", "role": None, "swarm": "Desk", "verdict": verdict, "data": {}})
    made({"kind": "call", "role": EVIL, "data": {"error": EVIL, "tags": {"a": EVIL}}})
    made.close()
    return path


def test_what_is_as_it_was_written_is_said_with_its_counts(kept: Path) -> None:
    shown = run("verify", kept)
    assert "4 lines, as they were written" in shown.replace("\n", "")
    assert [line.split() for line in shown.splitlines()[1:5]] == [
        ["kind", "records"],
        *(["call", "2"], ["gate", "1"], ["start", "1"]),
    ]
    assert "checkpoint" not in shown
    assert checked(kept).head in shown  # type: ignore[operator]
    told = json.loads(run("verify", kept, "--format", "json"))
    assert (told["ok"], told["kinds"]) == (True, {"start": 1, "call": 2, "gate": 1})


def test_a_line_that_was_changed_is_named(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes().replace(b'"swarm":"Desk"', b'"swarm":"Dusk"'))
    shown = run("verify", kept, code=1)
    assert "log line 3: its content was changed" in shown
    assert "3 of 4 lines are as they were written" in shown
    told = json.loads(run("verify", kept, "--format", "json", code=1))
    assert (told["ok"], told["problems"][0]["line"]) == (False, 3)


def test_what_was_cut_is_named_and_what_nobody_would_miss(kept: Path, tmp_path: Path) -> None:
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[:3]))
    shown = run("verify", kept, code=1)
    assert "it has 3 whole lines, and had 4 or more" in shown
    assert "1 line or more were cut off at its end; the 3 lines that are left are as they" in shown
    assert "3 of 3" not in shown
    assert "What to do: leave the file" in shown
    written(kept.with_name("audit2.jsonl"), 3)
    assert "The last 2 lines came after the last of 1 checkpoint" in run(
        "verify", kept.with_name("audit2.jsonl")
    )
    kept.with_name("audit.jsonl.checkpoints").unlink()
    shown = run("verify", kept)
    assert f"There are no checkpoints in {kept}.checkpoints: if lines were cut off" in shown
    assert "there are none in" in run("verify", kept, "--checkpoints", tmp_path, code=1)


def test_notes_are_no_problems(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditchain.log._utcnow", lambda: "2020-01-01T00:00:00.000000Z")
    with kept.open("ab") as file:
        file.write(b'{"seq":4,')
    assert "After the last line: 9 bytes that a kill left" in run("verify", kept)
    log(kept)({"kind": "call"})
    shown = run("verify", kept)
    assert "log line 5: the clock was set back before it, from 2" in shown
    assert "log line 5: a line that a kill had left unfinished was taken away here" in shown


def test_what_cant_be_told(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    assert "there is no" in run("verify", tmp_path / "none.jsonl", code=2)
    assert "there is no" in run("verify", kept, "--key-file", file, code=2)
    file.write_bytes(OTHER)
    file.chmod(0o600)
    shown = run("verify", kept, "--key-file", file, code=1)
    assert shown.count("sealed with another key (") == 1
    assert "log lines 1 to 4: it is sealed with another key (" in shown
    assert "What to do: give the key that the log was begun with" in shown
    assert "There are no checkpoints" not in shown
    file.write_bytes(KEY)
    monkeypatch.delenv(KEY_VARIABLE)
    assert "as they were written" in run("verify", kept, "--key-file", file).replace("\n", "")
    assert "there is no" in run("verify", kept, code=2)
    assert "is no file" in run("verify", tmp_path, "--key-file", file, code=2)


def plain(path: Path) -> Path:
    """A file of the same records that an `AuditHook` writes by itself, with no seal."""
    write = LineFile(path)
    for number in range(3):
        write({"kind": "call", "role": "Planner", "data": {"number": number}})
    return path


@pytest.mark.parametrize("keyed", [True, False])
def test_lines_that_were_never_sealed_are_called_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, keyed: bool
) -> None:
    if not keyed:
        monkeypatch.delenv(KEY_VARIABLE)
    plain(path)
    said = f"{path}: its 3 lines were never sealed (a plain file): there is nothing to verify"
    shown = run("verify", path, code=3)
    assert said in shown
    assert "for a sealed log give an AuditLog" in shown
    assert "is not as it was written" not in shown
    assert said in run("export", path, "--to", path.with_name("out"), code=3)
    # What a kill has left of a line is no seal.
    with path.open("ab") as file:
        file.write(b'{"kind": "ca')
    assert said in run("verify", path, code=3)


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"{}", 3), (b'{"a":' * 100_000, 3), (b"[]", 1), (b"\0", 1), (b"\xff{", 1)],
    ids=["empty", "deep", "list", "zero", "no text"],
)
def test_odd_lines_never_pass(path: Path, line: bytes, code: int) -> None:
    plain(path)
    with path.open("ab") as file:
        file.write(line + b"\n")
    run("verify", path, code=code)
    # No record at all is none of a plain file.
    if line != b"{}":
        path.write_bytes(line + b"\n")
        run("verify", path, code=1)


def test_a_log_whose_seals_were_taken_away_never_passes(kept: Path) -> None:
    sealed = [json.loads(line) for line in kept.read_bytes().splitlines()]
    checkpoints = kept.with_name("audit.jsonl.checkpoints")

    def rewritten(lines: list[Any]) -> None:
        kept.write_text("".join(json.dumps(line) + "\n" for line in lines))

    bare = [line["meta"] for line in sealed]
    rewritten(bare)
    # The checkpoints tell that it was sealed.
    assert "is not as it was written" in run("verify", kept, code=1)
    checkpoints.unlink()
    assert "somebody has taken all seals and checkpoints away" in run("verify", kept, code=3)
    # One seal that is left, or a part of one, and the rest is missed.
    for left in (sealed[1], {"seq": 1}, {"hash": "0"}, {"key_id": "0"}, {"signature": "0"}):
        rewritten([*bare[:1], left, *bare[2:]])
        assert "is not as it was written" in run("verify", kept, code=1)
    for part in (b'{"seq":1,"prev', b'{"a": 1, "prev_hash": "'):
        rewritten(bare)
        with kept.open("ab") as file:
            file.write(part + b"\n")
        assert "is not as it was written" in run("verify", kept, code=1)


def test_a_missing_log_is_named_before_a_missing_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    shown = run("verify", tmp_path / "none.jsonl", code=2)
    assert f"there is no {tmp_path / 'none.jsonl'}" in shown
    assert "key_file" not in shown


def test_a_signed_log_is_verified_with_the_public_key(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    pair = new_key()
    AuditLog(path, signing_key=pair.private)({"kind": "call"})
    (tmp_path / "public").write_text(pair.public + "\n")
    shown = run("verify", path, "--public-key", tmp_path / "public")
    assert "1 line, as they were written" in shown.replace("\n", "")
    assert "a public Ed25519 key is needed" in run("verify", path, "--public-key", path, code=2)


# Export


def exported(kept: Path, *options: object, code: int = 0) -> list[dict[str, Any]]:
    out = kept.with_name("out.jsonl")
    run("export", kept, "--to", out, *options, code=code)
    assert out.stat().st_mode & 0o777 == 0o600
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_records_are_written_into_another_file(kept: Path) -> None:
    told = exported(kept)
    stored = [json.loads(line) for line in kept.read_bytes().splitlines()]
    assert [each["record"] for each in told] == [each["meta"] for each in stored]
    assert [each["hash"] for each in told] == [each["hash"] for each in stored]
    assert [each["line"] for each in told] == [1, 2, 3, 4]
    assert [each["line"] for each in exported(kept, "--kind", "gate", "--kind", "start")] == [1, 3]


def test_by_the_time_at_which_they_were_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = iter(f"2026-05-0{day}T00:00:00.000000Z" for day in (1, 2, 3))
    monkeypatch.setattr("auditchain.log._utcnow", lambda: next(days))
    written(path, 3)
    assert [each["line"] for each in exported(path, "--since", "2026-05-02")] == [2, 3]
    assert [each["line"] for each in exported(path, "--until", "2026-05-02T02:00+02:00")] == [1]
    assert exported(path, "--since", "1h") == []
    assert "is no time" in run("export", path, "--to", path, "--since", "soon", code=1)


def test_a_table_holds_nothing_that_a_spreadsheet_runs(path: Path) -> None:
    made = log(path)
    verdict = {"passed": True, "source": "safety"}
    made({"kind": "gate", "role": "=1+1", "swarm": "@x", "verdict": verdict, "data": {"n": 1}})
    out = path.with_name("out.csv")
    run("export", path, "--to", out, "--format", "csv")
    [told] = csv.DictReader(out.read_text().splitlines())
    assert (told["role"], told["swarm"], told["kind"], told["passed"]) == (
        *("'=1+1", "'@x"),
        *("gate", "True"),
    )
    assert (told["line"], told["source"], told["data"]) == ("1", "safety", '{"n": 1}')


def test_what_was_changed_is_left_out_and_told(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes().replace(b'"swarm":"Desk"', b'"swarm":"Dusk"'))
    assert [each["line"] for each in exported(kept, code=1)] == [1, 2, 4]
    out = kept.with_name("out.jsonl")
    assert "log line 3: its content was changed" in run("export", kept, "--to", out, code=1)


def test_the_log_itself_is_not_written_over(kept: Path, tmp_path: Path) -> None:
    before = kept.read_bytes()
    checkpoints = kept.with_name("audit.jsonl.checkpoints")
    (tmp_path / "link").symlink_to(kept)
    for to in (kept, tmp_path / "link", checkpoints):
        assert "name another file" in run("export", kept, "--to", to, code=2)
    assert kept.read_bytes() == before
    assert checked(kept).checkpoints == 2
    assert "No such file" in run("export", kept, "--to", "/no/such/folder/x", code=2)
    assert not list(tmp_path.glob(".*"))


# Tail


def test_the_newest_are_shown_in_columns_that_fit(kept: Path) -> None:
    shown = run("tail", kept)
    rows = shown.splitlines()
    assert len(rows) == 4
    assert all(cell_len(row) <= 80 for row in rows)
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row.split()[3] for row in rows] == ["start", "call", "gate", "call"]
    assert "refused by safety" in rows[2]
    assert "status=running" in rows[0]
    assert run("tail", kept, "-n", 1).splitlines() == rows[3:]
    assert run("tail", kept, "-n", 0) == ""


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_obeys_nothing_of_it(kept: Path, width: int) -> None:
    shown = run("tail", kept, width=width) + run("verify", kept, width=width)
    forged = b'"key_id":"\\u001b[31m\\u202e'
    kept.write_bytes(kept.read_bytes().replace(b'"key_id":"', forged, 1))
    shown += run("verify", kept, width=width, code=1)
    assert "sealed with another key" in shown
    assert all(each.isprintable() or each == "\n" for each in shown)


def test_wide_letters_keep_the_columns(path: Path) -> None:
    log(path)({"kind": "call", "role": "漢字漢字漢字漢字漢字", "data": {"model": "漢字" * 40}})
    [row] = run("tail", path).splitlines()
    assert cell_len(row) <= 80
    assert cell_len(row[: row.index("model=")]) == 49


def test_lines_that_are_none_are_shown_as_such(kept: Path) -> None:
    with kept.open("ab") as file:
        file.write(b"\x1b[31mforged\n[1]\n")
    assert run("tail", kept, "-n", 2).count("this is no line that such a log writes") == 2


def test_only_the_lines_asked_for_are_read_from_the_end(path: Path) -> None:
    log(path)({"kind": "big", "words": "x" * 200_000})
    written(path, 300)
    for number in (1, 150, 299, 300, 301, 400):
        rows = run("tail", path, "-n", number).splitlines()
        first = max(1, 302 - number)
        assert [int(row.split()[0]) for row in rows] == list(range(first, 302))


def following(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from agno_portkey.cli import main; main()"),
            *("audit", "tail", "-f", "-n", "1", str(path)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_what_comes_is_followed_until_it_is_interrupted(kept: Path) -> None:
    with following(kept) as tail:
        assert tail.stdout is not None
        assert "call" in tail.stdout.readline()
        for number in (7, 8):
            log(kept)({"kind": "stop", "role": f"Writer {number}"})
            assert f"Writer {number}" in tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        assert tail.communicate() == ("", "")
        assert tail.returncode == 0


def test_a_log_that_is_cut_while_it_is_followed(kept: Path) -> None:
    with following(kept) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline()
        kept.write_bytes(b"")
        assert "was cut" in tail.communicate()[1]
        assert tail.returncode == 2


def test_there_has_to_be_one(tmp_path: Path) -> None:
    assert "there is no log at" in run("tail", tmp_path / "none", code=2)


# What is told


def test_a_kind_that_is_none_is_refused_and_nothing_is_written(kept: Path) -> None:
    out = kept.with_name("out.csv")
    told = run("export", kept, "--to", out, "--kind", "gate", "--kind", "gat", code=2)
    assert "no record is of the kind 'gat'" in told
    assert "This log has call, gate, start" in told
    assert not out.exists()
    assert not list(kept.parent.glob(".out*"))
    # One that hooks write, and that did not come.
    assert exported(kept, "--kind", "guard") == []


def test_a_table_has_the_figures_of_calls_and_scores_of_gates(path: Path) -> None:
    made = log(path)
    figures = {"model": "m", "provider": "p", "input_tokens": 5, "output_tokens": 6, "cost": 0.5}
    made({"kind": "call", "data": {**figures, "total_tokens": 11, "seconds": 0.25}})
    verdict = {"passed": True, "source": "safety", "score": 0.4}
    made({"kind": "gate", "verdict": {**verdict, "evidence": {"plan_digest": "sha256:ab"}}})
    made({"kind": "judgement", "data": {"score": 7, "plan_digest": "sha256:cd"}})
    made({"kind": "tool", "data": {"passed": True, "source": "nobody"}})
    out = path.with_name("out.csv")
    run("export", path, "--to", out, "--format", "csv")
    call, gate, judgement, tool = csv.DictReader(out.read_text().splitlines())
    assert {name: call[name] for name in figures} == {n: str(v) for n, v in figures.items()}
    assert (call["total_tokens"], call["seconds"]) == ("11", "0.25")
    assert (gate["score"], gate["plan_digest"], gate["passed"]) == ("0.4", "sha256:ab", "True")
    assert (judgement["score"], judgement["plan_digest"]) == ("7", "sha256:cd")
    assert (tool["passed"], tool["source"]) == ("", "")


@pytest.mark.parametrize("option", ["--key-file", "--public-key"])
def test_a_key_in_place_of_a_path_is_told_and_not_shown(kept: Path, option: str) -> None:
    for key in (base64.b64encode(OTHER).decode(), new_key().public):
        told = run("verify", kept, option, key, code=2)
        assert "this is a key, and the path of a file is needed" in told.replace("\n", " ")
        assert key not in told
    assert "No such file" in run("verify", kept, "--public-key", "nofile", code=2)


def test_a_log_that_is_gone_is_told_once(kept: Path) -> None:
    kept.unlink()
    shown = run("verify", kept, code=1)
    assert shown.count("4 lines or more") == 2  # where, and what it comes to
    assert "was cut" not in shown


def test_an_unreadable_line_that_a_checkpoint_knows_is_not_a_cut(kept: Path) -> None:
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join([b"x\n", *lines[1:]]))
    shown = run("verify", kept, code=1)
    assert "log line 1: it is not as this log writes a line" in shown
    assert "cut" not in shown


def test_in_a_pipe_nothing_is_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    log(path)({"kind": "call", "role": "R" * 40, "data": {"error": "E" * 300}})
    told = CliRunner().invoke(app, ["audit", "tail", str(path)])
    assert "R" * 40 in told.output
    assert "E" * 300 in told.output


def test_a_narrow_terminal_shows_a_record_in_two_lines(kept: Path) -> None:
    rows = run("tail", kept, width=40).splitlines()
    assert len(rows) == 8
    assert all(cell_len(row) <= 40 for row in rows)
    assert rows[1].split(",")[0].strip() == "Planner"


# Behind a run


def test_what_waits_is_written_with_few_fsyncs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is held up until all others wait: 900 records, 256 of them at a time."""
    synced, began, go_on, real = [], threading.Event(), threading.Event(), os.fsync

    def slow(file: int) -> None:
        synced.append(file)
        began.set()
        assert go_on.wait(60)
        real(file)

    made = log(path, sync=True, every=10_000)
    audit = AuditHook(made, required=False, timeout=60)
    monkeypatch.setattr(os, "fsync", slow)
    audit(Event("call", role="0"))
    assert began.wait(60)
    for number in range(1, 900):
        audit(Event("call", role=str(number)))
    go_on.set()
    assert audit.flush(60)
    rows = [json.loads(line)["meta"]["role"] for line in path.read_bytes().splitlines()]
    assert rows == [str(number) for number in range(900)]
    # Four for the others; the first one has those of the file, its folder and its checkpoint.
    assert len(synced) <= 4 + 4


def test_one_that_cant_be_written_keeps_none_of_the_others_out(path: Path) -> None:
    made = log(path)
    good: dict[str, Any] = {"kind": "call"}
    told = made.several([good, {"kind": float("nan")}, good])
    assert [type(each) for each in told] == [type(None), ValueError, type(None)]
    assert checked(path).records == 2
    path.unlink()
    told = made.several([good, good])
    assert [type(each) for each in told] == [DatabaseGone, DatabaseGone]
    assert made.several([]) == []
