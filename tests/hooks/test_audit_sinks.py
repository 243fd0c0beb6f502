"""Where an audit's lines go: shared files, and sinks that raise, hang, break off and lie."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from agno.agent import Agent
from agno.run.base import RunStatus
from desk import FORMS, play

from agno_portkey import Event, PortkeyModel
from agno_portkey.errors import ConfigurationError
from agno_portkey.hooks import AuditHook
from agno_portkey.testing import EmbeddedProvider


def hooked(model: PortkeyModel, audit: AuditHook) -> Agent:
    return Agent(name="A", model=model, pre_hooks=[audit], post_hooks=[audit])


class Broken:
    """A sink that fails with what it was given; from the `spare`-th record on."""

    def __init__(self, spare: int = 0) -> None:
        self.spare = spare

    def __call__(self, record: dict[str, Any]) -> None:
        self.spare -= 1
        if self.spare < 0:
            raise RuntimeError(f"no room for {record}")


@pytest.mark.parametrize("form", FORMS)
def test_a_run_whose_start_cant_be_recorded_is_refused(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    out = play(hooked(portkey_model, AuditHook(Broken(), words=True)), form, "a private matter")
    said = "the audit record can't be written (RuntimeError): see the log"
    assert out.content == said
    assert portkey_provider.calls == []


@pytest.mark.parametrize("form", FORMS)
def test_a_run_whose_end_cant_be_recorded_gives_no_answer(
    form: str, portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    portkey_provider.reply("the answer")
    out = play(hooked(portkey_model, AuditHook(Broken(spare=1))), form)
    assert "the audit record can't be written" in str(out.content)
    assert "the answer" not in str(out.content)
    assert len(portkey_provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
def test_where_it_is_not_required_a_failure_is_logged(
    form: str, portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    audit = AuditHook(Broken(), required=False)
    out = play(hooked(portkey_model, audit), form)
    assert out.status == RunStatus.completed
    assert audit.flush()
    logged = [r for r in caplog.records if r.name == "agno_portkey"]
    assert len(logged) == 2


@pytest.mark.parametrize("required", [True, False])
def test_a_folder_that_is_gone(
    required: bool, tmp_path: Path, portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    audit = AuditHook(folder / "audit.jsonl", required=required)
    folder.rmdir()
    out = hooked(portkey_model, audit).run("Hi")
    assert (out.status == RunStatus.error) is required
    assert "No such file or directory" in caplog.text


def test_a_pipe_that_nobody_reads_is_not_waited_for(
    tmp_path: Path, portkey_model: PortkeyModel
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    out = hooked(portkey_model, AuditHook(pipe)).run("Hi")
    assert out.status == RunStatus.error


def test_a_required_sink_that_hangs_is_given_up(
    portkey_model: PortkeyModel, portkey_provider: EmbeddedProvider
) -> None:
    go_on = threading.Event()
    try:
        audit = AuditHook(lambda record: go_on.wait(60), timeout=0.05)
        out = hooked(portkey_model, audit).run("Hi")
    finally:
        go_on.set()
    assert "(TooLate)" in str(out.content)
    assert portkey_provider.calls == []


def test_another_that_hangs_holds_up_nobody(portkey_model: PortkeyModel) -> None:
    go_on, seen = threading.Event(), []

    def slow(record: dict[str, Any]) -> None:
        go_on.wait(60)
        seen.append(record["kind"])

    audit = AuditHook(slow, required=False, timeout=60)
    try:
        assert hooked(portkey_model, audit).run("Hi").status == RunStatus.completed
        assert seen == []
        assert not audit.flush(0)
    finally:
        go_on.set()
    assert audit.flush(60)
    assert seen == ["start", "end"]


def test_too_many_that_wait_are_let_go(
    monkeypatch: pytest.MonkeyPatch, portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agno_portkey.hooks.sinks._WAITING", 2)
    go_on, seen = threading.Event(), []

    def slow(record: dict[str, Any]) -> None:
        go_on.wait(60)
        seen.append(record)

    audit = AuditHook(slow, required=False, timeout=60)
    agent = hooked(portkey_model, audit)
    try:
        for _ in range(3):
            assert agent.run("Hi").status == RunStatus.completed
    finally:
        go_on.set()
    assert audit.flush(60)
    # One may be in hand beside the two that wait.
    assert 2 <= len(seen) <= 3
    assert "2 records wait for" in caplog.text


@pytest.mark.parametrize("required", [True, False])
def test_a_sink_may_be_async(required: bool, portkey_model: PortkeyModel) -> None:
    seen = []

    async def sink(record: dict[str, Any]) -> None:
        seen.append(record["kind"])

    audit = AuditHook(sink, required=required)
    play(hooked(portkey_model, audit), "arun")
    assert audit.flush(60)
    assert seen == ["start", "end"]


def test_a_sink_that_tampers_with_a_record_changes_no_run(
    portkey_provider: EmbeddedProvider,
) -> None:
    model = PortkeyModel(base_url=portkey_provider.url, tags={"team": "red"})

    def tampers(record: dict[str, Any]) -> None:
        record["tags"]["team"] = "blue"

    hooked(model, AuditHook(tampers)).run("Hi")
    sent = json.loads(portkey_provider.calls[0].headers["x-portkey-metadata"])
    assert sent["team"] == "red"


def test_an_observer_refuses_nothing(
    portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    portkey_model.observers = [AuditHook(Broken())]
    assert Agent(model=portkey_model).run("Hi").status == RunStatus.completed
    assert "observer" in caplog.text


@pytest.mark.parametrize(
    ("to", "options", "said"),
    [
        (7, {}, "to: a path or a function"),
        ("no/such/folder/audit.jsonl", {}, "to: the folder no/such/folder does not exist"),
        ("/", {}, "to: a file, and / is a folder"),
        (print, {"timeout": 0}, "timeout: seconds above 0"),
        (print, {"timeout": True}, "timeout: seconds above 0"),
        (print, {"timeout": "5"}, "timeout: seconds above 0"),
        (print, {"required": "no"}, "required: true or false"),
        (print, {"words": 1}, "words: true or false"),
    ],
)
def test_what_cant_be_meant_is_refused(to: Any, options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        AuditHook(to, **options)


# One file and many writers

LONG = "words that take long to write " * 10_000


def written(file: Path) -> list[int]:
    """The numbers in the lines of a file, each of which has to be one JSON object."""
    return [json.loads(line)["data"]["number"] for line in file.read_text().splitlines()]


def test_threads_do_not_break_each_others_lines(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"

    def work(first: int) -> None:
        audit = AuditHook(file, words=True)
        for number in range(first, first + 20):
            audit(Event("call", data={"number": number, "words": LONG}))

    threads = [threading.Thread(target=work, args=(i * 20,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written(file)) == list(range(160))


WRITER = """
import sys
from agno_portkey import Event
from agno_portkey.hooks import AuditHook
audit = AuditHook(sys.argv[1], words=True)
sys.stdin.read(1)
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    audit(Event("call", data={"number": number, "words": "long to write " * 20_000}))
"""


def test_nor_do_processes(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file), str(i * 50)], stdin=subprocess.PIPE
        )
        for i in range(3)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"x")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert sorted(written(file)) == list(range(150))


LIMITED = """
import resource, sys
from agno_portkey import Event
from agno_portkey.hooks import AuditHook
audit = AuditHook(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
audit(Event("whole", data={"number": 1}))
from pathlib import Path
size = Path(sys.argv[1]).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
for _ in range(3):
    try:
        audit(Event("broken", data={"number": 2}))
    except OSError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
audit(Event("whole", data={"number": 3}))
audit(Event("whole", data={"number": 4}))
"""


def test_a_line_that_broke_off_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(file)], capture_output=True, text=True, check=True
    )
    assert "only 10 of" in done.stdout
    assert done.stdout.count("\n") == 3
    first, broken, *rest = file.read_text().splitlines()
    assert len(broken) == 10
    assert [json.loads(line)["data"]["number"] for line in (first, *rest)] == [1, 3, 4]


def test_so_it_is_with_a_pipe_that_is_full(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    audit = AuditHook(pipe, words=True)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match=r"only \d+ of \d+ bytes were written"):
            audit(Event("broken", data={"words": LONG}))
        with pytest.raises(BlockingIOError):
            audit(Event("broken"))
        assert os.read(reader, 1 << 20)
        audit(Event("whole"))
        audit(Event("whole"))
        text = os.read(reader, 1 << 20).decode()
    finally:
        os.close(reader)
    nothing, *whole = text.splitlines()
    assert nothing == ""
    assert [json.loads(line)["kind"] for line in whole] == ["whole", "whole"]


FORKED = """
import os, sys, time
from agno_portkey import Event
from agno_portkey.hooks import AuditHook
def slow(record):
    time.sleep(0.05)
    with open(sys.argv[1], "a") as file:
        file.write(record["kind"] + "\\n")
audit = AuditHook(slow, required=False)
audit(Event("parent"))
audit.flush(60)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    for _ in range(3):
        audit(Event("last"))
else:
    audit(Event("child"))
    os._exit(0 if audit.flush(60) else 1)
"""


def test_what_waits_is_written_in_a_child_and_at_the_end_of_a_process(tmp_path: Path) -> None:
    file = tmp_path / "seen.txt"
    subprocess.run([sys.executable, "-c", FORKED, str(file)], check=True, timeout=60)
    assert file.read_text().split() == ["parent", "child", "last", "last", "last"]


def test_the_thread_of_another_process_is_not_relied_on() -> None:
    seen: list[str] = []
    audit = AuditHook(lambda record: seen.append(record["kind"]), required=False)
    audit(Event("parent"))
    assert audit.flush(60)
    audit._sink._pid = -1  # as it is in a child process
    audit(Event("child"))
    assert audit.flush(60)
    assert seen == ["parent", "child"]
    assert AuditHook(seen.append).flush()


def test_a_child_does_not_wait_for_what_its_parent_has_to_write() -> None:
    go_on = threading.Event()
    audit = AuditHook(lambda record: go_on.wait(60), required=False, timeout=60)
    audit(Event("parent"))
    assert not audit.flush(0)
    own, audit._sink._pid = audit._sink._pid, -1  # as it is in a child process
    assert audit.flush(0)
    audit._sink._pid = own
    go_on.set()
    assert audit.flush(60)


def test_what_no_thread_could_write_is_written_with_the_next_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    seen: list[str] = []
    audit = AuditHook(lambda record: seen.append(record["kind"]), required=False)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            audit(Event("first"))
    audit(Event("second"))
    assert audit.flush(60)
    assert seen == ["first", "second"]


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditHook(file)
    audit(Event("before"))
    file.rename(tmp_path / "audit.jsonl.1")
    audit(Event("after"))
    assert json.loads(file.read_text())["kind"] == "after"


def test_it_says_in_the_log_what_it_does_not_say_in_the_run(
    portkey_model: PortkeyModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="agno_portkey"):
        out = hooked(portkey_model, AuditHook(Broken(), words=True)).run("a private matter")
    assert "private" not in str(out.content)
    assert "no room for" in caplog.text
