"""AuditLog: each record is a sealed line bound to the one before, whoever and how many write it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import auditchain
import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from audited import KEY, OTHER, checked, child, log, numbers, written
from hypothesis import given
from hypothesis import strategies as st

from agno_portkey import Event, PortkeyModel, Verdict
from agno_portkey.errors import ConfigurationError, DatabaseGone
from agno_portkey.gates.clearance.keys import new_key
from agno_portkey.hooks import AuditHook
from agno_portkey.telemetry.audit import KEY_VARIABLE, AuditLog, file, verify
from agno_portkey.testing import EmbeddedProvider

TABLE = (Path(__file__).parents[2] / "docs/guide/events.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", TABLE, re.MULTILINE)
KINDS = {kind: row for kinds, row in ROWS for kind in re.findall(r"\w+", kinds) if kind != "kind"}
SECRET = "wordsofthem"
# Of what stands in the table these are names and states, and not what somebody has said.
NAMES = {
    *("provider", "model", "option_index", "cache_status", "trace_id", "finish_reason", "error"),
    *("status", "target", "before", "state", "stage", "side", "mode", "plan_digest", "decision"),
    *("tool", "clearance", "by", "outcome", "job", "check", "gate", "kind", "tags", "scope"),
}


def test_the_table_of_events_is_read() -> None:
    assert {"call", "embedding", "gate", "guard", "approval", "adjustment", "stop"} <= KINDS.keys()


# Key changes and refusals of access are told by what comes after.
@pytest.mark.parametrize("kind", [*KINDS, "key", "access"])
def test_each_kind_of_event_is_a_sealed_line_without_words(kind: str, path: Path) -> None:
    hook = AuditHook(log(path))
    fields = re.findall(r"`(\w+)`", KINDS.get(kind, ""))
    data = {name: f"{SECRET} {SECRET}" for name in fields if name not in NAMES}
    verdict = Verdict(False, "safety", (SECRET,), evidence={"partial": SECRET, "said": [SECRET]})
    hook(Event(kind, "Writer", "Desk", "run-1", verdict, {**data, "reason": SECRET, "tokens": 3}))
    report = checked(path)
    assert (report.ok, report.kinds) == (True, {kind: 1})
    [stored] = map(json.loads, path.read_text().splitlines())
    assert (stored["action"], stored["actor"], stored["subject"]) == (kind, "Writer", "run-1")
    record = stored["meta"]
    assert (record["swarm"], record["data"]) == ("Desk", {"tokens": 3})
    assert record["verdict"]["reasons_sha256"].startswith("sha256:")
    assert SECRET not in path.read_text()


def test_a_threshold_and_an_override_say_who_did_it(path: Path) -> None:
    hook = AuditHook(log(path))
    who = {"by": "ada@desk", "override": True, "clearance": "c-1"}
    hook(Event("approval", None, "Desk", "run-1", Verdict(True, "safety"), who))
    change = {"gate": "safety", "check": "judge", "kind": "tightened", "state": "applied"}
    moved = {**change, "by": "ada@desk", "before": 0.7, "threshold": 0.8, "version": 2}
    hook(Event("adjustment", swarm="Desk", data={**moved, "reason": SECRET}))
    told = [json.loads(line)["meta"]["data"] for line in path.read_text().splitlines()]
    assert told == [who, moved]


def test_a_run_is_in_it_from_its_start_to_its_end(
    path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply(f"{SECRET} of the answer")
    audit = AuditHook(AuditLog(path, key=KEY))
    portkey_model.observers = [audit]
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    asyncio.run(agent.arun(f"{SECRET} of the question", user_id="ada"))
    report = checked(path)
    assert report.ok
    stored = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["action"] for each in stored] == ["start", "attempt", "call", "end"]
    assert [each["seq"] for each in stored] == [0, 1, 2, 3]
    assert stored[0]["actor"] == "ada"
    assert SECRET not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("required", [True, False])
def test_a_log_that_cant_be_written_refuses_the_run_where_it_is_required(
    required: bool, path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(written(path, 3), required=required)
    path.unlink()
    agent = Agent(name="A", model=portkey_model, pre_hooks=[audit], post_hooks=[audit])
    run = agent.run("Hi")
    assert audit.flush(60)
    assert run.status == (RunStatus.error if required else RunStatus.completed)
    assert len(portkey_provider.calls) == (0 if required else 1)
    assert not path.exists()


def test_who_has_it_for_too_long_refuses_the_run(
    path: Path, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    audit = AuditHook(written(path, 1), timeout=0.1)
    script = """if True:
        import fcntl, sys
        with open(sys.argv[1], "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            print("held", flush=True)
            sys.stdin.read()
    """
    with child(script, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        run = Agent(name="A", model=portkey_model, pre_hooks=[audit]).run("Hi")
        assert other.communicate("")[1] == ""
    assert "(TooLate)" in str(run.content)
    assert portkey_provider.calls == []


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


def test_the_library_itself_verifies_it(path: Path) -> None:
    made = log(path)
    made({"kind": "call", "name": "line\u2028separator\x85 \ud800 ü \U0001f600 \x1b[31m"})
    written(path, 5)
    made.close()

    async def records() -> list[auditchain.AuditRecord]:
        return await auditchain.JsonlBackend(path).load()

    found = asyncio.run(records())
    key_id = found[0].key_id
    assert auditchain.verify_chain(found, keyring={key_id: KEY}).ok
    assert not auditchain.verify_chain(found, keyring={key_id: OTHER}).ok
    assert found[0].metadata["name"] == "line\u2028separator\x85 ? ü \U0001f600 \x1b[31m"


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=8,
)


@given(records=st.lists(st.dictionaries(st.text(st.characters(codec=None)), anything), max_size=5))
def test_whatever_json_can_say_is_kept_and_verified(
    records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    made = log(path)
    for record in records:
        made(record)
    if records:
        report = checked(path)
        assert (report.ok, report.records) == (True, len(records))
    else:
        assert not path.exists()


@pytest.mark.parametrize(
    "record", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}, {"x": b""}]
)
def test_what_json_cant_say_is_refused_and_spoils_nothing(record: Any, path: Path) -> None:
    made = written(path, 2)
    with pytest.raises((ValueError, TypeError)):
        made(record)
    made({"kind": "call", "data": {"number": 2}})
    assert checked(path).ok
    assert numbers(path) == [0, 1, 2]


# Keys


def test_without_a_key_one_is_made_for_its_owner_alone(path: Path, home: Path) -> None:
    AuditLog(path)({"kind": "call"})
    kept = home / "agno-portkey" / "audit.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    key = base64.urlsafe_b64decode(kept.read_bytes())
    assert len(key) == 32
    assert [each.name for each in kept.parent.iterdir()] == ["audit.key"]
    assert verify(path).ok
    assert verify(path, key=key).ok
    AuditLog(path)({"kind": "call"})
    assert verify(path).records == 2


def test_processes_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    script = """if True:
        import sys
        from agno_portkey.telemetry.audit import AuditLog
        sys.stdin.read(1)
        AuditLog(sys.argv[1], sync=False)({"kind": "call"})
    """
    writers = [child(script, tmp_path / f"{place}.jsonl") for place in range(2)]
    for writer in writers:
        assert writer.communicate("x")[1] == ""
    assert all(verify(tmp_path / f"{place}.jsonl").ok for place in range(2))


def test_the_environment_holds_a_key(path: Path, home: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(KEY_VARIABLE, base64.b64encode(KEY).decode())
    AuditLog(path)({"kind": "call"})
    assert checked(path).ok
    assert not home.exists()


def test_a_log_whose_key_is_gone_is_not_gone_on_with(path: Path, home: Path) -> None:
    AuditLog(path)({"kind": "call"})
    (home / "agno-portkey" / "audit.key").unlink()
    for use in (AuditLog, verify):
        with pytest.raises(ConfigurationError, match=r"there is no .*audit\.key"):
            use(path)
    assert not (home / "agno-portkey" / "audit.key").exists()


def test_another_key_is_refused_before_a_run_depends_on_it(path: Path) -> None:
    written(path, 1)
    with pytest.raises(ConfigurationError, match=r"line of .* it is sealed with another key"):
        log(path, key=OTHER)
    assert KEY.decode() not in repr(log(path)) + repr(log(path)._key)
    report = checked(path, key=OTHER)
    assert not report.ok
    assert "sealed with another key" in str(report.problems[0])


def test_a_key_file_that_others_can_read_is_refused(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "key"
    kept.write_bytes(KEY)
    kept.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        AuditLog(path, key_file=kept)
    kept.chmod(0o600)
    AuditLog(path, key_file=kept)({"kind": "call"})
    assert checked(path).ok
    with pytest.raises(ConfigurationError, match="can't be read"):
        AuditLog(path, key_file=tmp_path)
    with pytest.raises(ConfigurationError, match="can't be made"):
        AuditLog(tmp_path / "another.jsonl", key_file="/proc/no/such/key")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"key": "c2hvcnQ="}, "key: 32 bytes"),
        ({"key": "no base64!"}, "key: 32 bytes"),
        ({"key": b""}, "key: 32 bytes"),
        ({"key": 7}, "key: 32 bytes"),
        ({"key_file": "x"}, "give one of key"),
        ({"every": 0}, "every: a number"),
        ({"every": True}, "every: a number"),
        ({"sync": 1}, "sync: true or false"),
        ({"checkpoints": "/no/such/folder/x"}, "checkpoints: the folder /no/such/folder"),
    ],
)
def test_what_cant_be_meant(options: dict[str, Any], said: str, path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        log(path, **options)


def test_paths_that_cant_be_meant(path: Path) -> None:
    for wrong in ("/no/such/folder/audit.jsonl", path.parent, "/dev/full"):
        with pytest.raises(ConfigurationError, match="path:"):
            log(Path(wrong))
    with pytest.raises(ConfigurationError, match="another file than the log"):
        log(path, checkpoints=path)
    path.write_text('{"kind": "of another"}\n')
    with pytest.raises(ConfigurationError, match="is no audit log"):
        log(path)


def test_whoever_has_the_public_key_alone_can_verify_a_signed_log(path: Path) -> None:
    pair, another = new_key(), new_key()
    signed = AuditLog(path, signing_key=pair.private, every=2, sync=False)
    for number in range(4):
        signed({"kind": "call", "data": {"number": number}})
    signed.close()
    report = verify(path, public_key=pair.public)
    assert (report.ok, report.records, report.checkpoints) == (True, 4, 3)
    assert not verify(path, public_key=another.public).ok
    assert not checked(path).ok
    with pytest.raises(ConfigurationError, match="one log has one key"):
        log(path)
    text = path.read_text()
    forged = json.loads(text.splitlines()[3])
    path.write_text(text.replace(forged["signature"], forged["signature"].upper()))
    assert [each.line for each in verify(path, public_key=pair.public).problems] == [4]
    path.write_text(text.replace('"number":3', '"number":4'))
    assert [each.line for each in verify(path, public_key=pair.public).problems] == [4]


# What is not there any more


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def put_back(path: Path) -> None:
    copy = path.read_bytes()
    path.rename(path.with_suffix(".1"))
    path.write_bytes(copy)


@pytest.mark.parametrize("change", [moved, emptied, cut, put_back])
def test_a_log_that_was_moved_or_cut_is_not_begun_anew(
    change: Callable[[Path], None], path: Path
) -> None:
    made = written(path, 3)
    change(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(DatabaseGone, match="begin another log"):
        made({"kind": "call"})
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_file_that_is_put_in_its_place_while_it_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path, 2)
    away = path.with_suffix(".1")
    real = file.take

    def late(held: int, **how: Any) -> None:
        if not away.exists() and os.path.samestat(os.fstat(held), path.stat()):
            put_back(path)
        real(held, **how)

    monkeypatch.setattr(file, "take", late)
    written(path, 1, begin=2)
    assert (numbers(path), numbers(away)) == ([0, 1, 2], [0, 1])


@pytest.mark.parametrize("change", [moved, emptied, cut])
def test_nor_by_another_process_that_knows_the_checkpoints(
    change: Callable[[Path], None], path: Path, tmp_path: Path
) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    written(path, 3, checkpoints=apart).close()
    assert [each.name for each in apart.iterdir()] == ["audit.jsonl.checkpoints"]
    change(path)
    with pytest.raises(DatabaseGone, match="begin another log"):
        log(path, checkpoints=apart)({"kind": "call"})


def test_a_folder_for_checkpoints_is_made(path: Path, tmp_path: Path) -> None:
    for name in ("one.jsonl", "two.jsonl"):
        written(path.with_name(name), 2, checkpoints=tmp_path / "apart").close()
        assert checked(path.with_name(name), checkpoints=tmp_path / "apart").checkpoints == 2
    made = sorted(each.name for each in (tmp_path / "apart").iterdir())
    assert made == ["one.jsonl.checkpoints", "two.jsonl.checkpoints"]
    written(path, 2, checkpoints=tmp_path / "a.file").close()
    assert (tmp_path / "a.file").is_file()


def test_the_checkpoints_of_another_log_are_refused(path: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    written(path, 1, checkpoints=apart)
    second = tmp_path / "second" / path.name
    second.parent.mkdir()
    written(second, 1)
    with pytest.raises(DatabaseGone, match="another one than its checkpoints are of"):
        log(second, checkpoints=apart)({"kind": "call"})


def test_checkpoints_are_written_at_the_first_line_then_every_so_many_and_at_the_end(
    path: Path,
) -> None:
    made = written(path, 9, every=4)
    kept = path.with_name("audit.jsonl.checkpoints")
    assert [json.loads(line)["seq"] for line in kept.read_text().splitlines()] == [0, 4, 8]
    made({"kind": "call"})
    made.close()
    made.close()
    made.checkpoint()
    assert [json.loads(line)["seq"] for line in kept.read_text().splitlines()] == [0, 4, 8, 9]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_that_is_due_and_cant_be_written_is_owed(path: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    apart.mkdir()
    made = written(path, 4, every=4, checkpoints=apart)
    away = apart.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            made({"kind": "call"})
    away.rename(apart)
    made({"kind": "call"})
    report = checked(path, checkpoints=apart)
    assert (report.ok, report.records, report.unanchored) == (True, 7, 0)


def test_one_that_ends_without_closing_writes_its_checkpoint(path: Path) -> None:
    script = """if True:
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from audited import written
        written(Path(sys.argv[2]), 5)
    """
    subprocess.run([sys.executable, "-c", script, Path(__file__).parent, path], check=True)
    assert checked(path).unanchored == 0
